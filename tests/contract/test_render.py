"""The blueprint names only what exists here, and no secret's value (OPERATOR row 3)."""

import hashlib
import hmac
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import SecretStr
from typer.testing import CliRunner

from app.cli import commands
from app.cli.secrets import fingerprints
from app.settings import Settings

BLUEPRINT = yaml.safe_load(Path("render.yaml").read_text())
SERVICES: list[dict[str, Any]] = [
    service
    for project in BLUEPRINT["projects"]
    for environment in project["environments"]
    for service in environment["services"]
]
BUILT = [service for service in SERVICES if service["type"] != "keyvalue"]
SECRETS = {name for name, it in Settings.model_fields.items() if "SecretStr" in str(it.annotation)}


@pytest.mark.parametrize("service", BUILT, ids=lambda service: str(service["name"]))
def test_each_variable_is_a_setting_and_no_secret_has_a_value(service: dict[str, Any]) -> None:
    variables = {it["key"].lower(): it for it in service["envVars"]}
    assert variables.keys() - {"port"} <= Settings.model_fields.keys()
    assert not [name for name in SECRETS & variables.keys() if "value" in variables[name]]
    assert variables["database_transaction_pooler"]["value"] == "false"  # `migrate` refuses it


@pytest.mark.parametrize("service", BUILT, ids=lambda service: str(service["name"]))
def test_each_command_exists(service: dict[str, Any]) -> None:
    line = service.get("preDeployCommand") or service["dockerCommand"]
    python, flag, package, command = shlex.split(line)
    assert (python, flag, package) == ("python", "-m", "app")
    assert command in typer.main.get_group(commands).commands


def test_each_deploy_waits_for_checks_and_each_rate_store_is_its_own_environments() -> None:
    assert {service["autoDeployTrigger"] for service in BUILT} == {"checksPass"}
    for environment in BLUEPRINT["projects"][0]["environments"]:
        names = {service["name"] for service in environment["services"]}
        for service in environment["services"]:
            for variable in service.get("envVars", ()):
                assert variable.get("fromService", {}).get("name", next(iter(names))) in names


def test_checks_are_those_of_ci_on_the_system_whose_packages_it_names() -> None:
    job = yaml.safe_load(Path(".github/workflows/ci.yml").read_text())["jobs"]["ci"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert job["container"]["image"].endswith("-bookworm")  # Ubuntu has chromium as a snap alone
    assert "chromium" in Path(".ci/run").read_text()


def test_secrets_are_compared_by_eight_digits_and_never_shown(settings: Settings) -> None:
    made = CliRunner().invoke(commands, ["secrets", "make"]).stdout
    secret = made.splitlines()[0].partition("=")[2]
    lines = fingerprints(settings.model_copy(update={"spark_sso_secret": SecretStr(secret)}))
    digest = hmac.new(secret.encode(), b"spark-fingerprint", hashlib.sha256).hexdigest()
    assert f"SPARK_SSO_SECRET {digest[:8]}" in lines
    assert secret not in str(lines)
