"""Both contracts are good enough to make clients from, with four generators as they come.

Each client is compiled or type-checked strictly, together with a program that uses it as its
developers would (tests/clients/generated), and the program is run against the service.
"""

import json
import re
import secrets
import shutil
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.support import samples
from tests.support.bodies import Part
from tests.support.canaries import CANARIES
from tests.support.patience import patient
from tests.support.programs import (
    GENERATED_CLIENTS,
    needs_guzzle,
    needs_java,
    needs_npm,
    needs_php,
    run_program,
)
from tests.support.running import Running
from tests.support.spark import Assignment, SignedIn, Spark, submission

CONTRACTS = {"spark": "openapi.json", "main_app": "internal.json"}
OPENAPI = Path(__file__).parents[2] / "openapi"
JAR = files("openapi_generator_cli") / "openapi-generator.jar"
# Without its WEBHOOKS: that part of it makes clients of them, which do not compile.
PARTS = "--global-property apis,models,supportingFiles"
GENERATE = f"java -jar {JAR} generate -i contract.json -o client -g"
NODE_MODULES = "--additional-properties importFileExtension=.js"
PACKAGE = "--meta none --output-path client --config <(echo 'post_hooks: []')"  # no formatter
STEPS = {
    "php": [
        f"{GENERATE} php {PARTS} --invoker-package Optio\\\\Client",
        "find client -name '*.php' -print0 | xargs -0 -n 1 php -l",
    ],
    "typescript-fetch": [
        f"{GENERATE} typescript-fetch {NODE_MODULES} {PARTS},skipFormModel=false",
        "node_modules/.bin/tsc",
    ],
    "openapi-fetch": [
        "node_modules/.bin/openapi-typescript contract.json -o client/schema.d.ts",
        "node_modules/.bin/tsc",
    ],
    "python": [
        f"openapi-python-client generate --fail-on-warning --path contract.json {PACKAGE}",
        "mypy --strict --config-file= --cache-dir=/dev/null *.py client",
    ],
}
RUNS = {
    "php": ("php", "{}.php"),
    "typescript-fetch": ("node", "built/{}.js"),
    "openapi-fetch": ("node", "built/{}.js"),
    "python": (sys.executable, "{}.py"),
}
SENDS_FORMS = {"openapi-fetch", "python"}  # openapi-generator takes the first of two media types

soak = pytest.mark.soak
each_generator = pytest.mark.parametrize(
    "generator",
    [
        pytest.param("php", marks=[soak, needs_java, needs_php, needs_guzzle]),
        pytest.param("typescript-fetch", marks=[soak, needs_java, needs_npm]),
        pytest.param("openapi-fetch", marks=[soak, needs_npm]),
        pytest.param("python", marks=soak),
    ],
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "gauge.png"
    path.write_bytes(samples.png())
    return path


@pytest.fixture
async def homework(spark: Spark, student: SignedIn, assignment: Assignment) -> dict[str, Any]:
    """What was answered to a text with a picture."""
    part = Part("file", samples.png(), filename="gauge.png")
    answer = await spark.submit_form(submission(student, assignment), part)
    said: dict[str, Any] = answer.json()
    return said


@each_generator
async def test_a_generated_client_hands_in_homework(
    generator: str, server: Running, picture: Path, tmp_path: Path
) -> None:
    folder = await _make(generator, "spark", tmp_path / "made")
    student = f"student_{secrets.token_hex(6)}"
    email = f"{student}@example.com"
    CANARIES.release(email)
    secret = server.settings.spark_webhook_secret
    assert secret is not None
    said = await _run(
        *(generator, "spark", folder),
        *(f"course_{secrets.token_hex(6)}", student, email, str(picture)),
        OPTIO_URL=server.url,
        OPTIO_WEBHOOK_SECRET=secret.get_secret_value(),
    )
    with_file = {"files": ["gauge.png"]} if generator in SENDS_FORMS else {}
    assert said == with_file | {
        "course": 1,
        "enrolled": 1,
        "rehearsed": ["dry_run", "create"],
        "recorded": ["success", 1],
        "refused": "user_not_found",
    }


@each_generator
async def test_a_generated_client_reads_and_saves_evidence(
    generator: str,
    server: Running,
    student: SignedIn,
    homework: dict[str, Any],
    picture: Path,
    tmp_path: Path,
) -> None:
    folder = await _make(generator, "main_app", tmp_path / "made")
    said = await _run(
        *(generator, "main_app", folder),
        *(student.access_token, student.user_id),
        *(homework["task_id"], homework["completion_id"], str(picture)),
        OPTIO_URL=server.url,
        OPTIO_KEY=server.settings.internal_api_keys[0].get_secret_value(),
    )
    completed_at = said["completed"].pop(1)
    assert 0 <= time.time() - completed_at < patient(600)
    size = len(samples.png())
    assert said == {
        "active": [True, student.user_id],
        "unknown": False,
        "completed": [100, ["text", "image"], [size]],
        "missing": "not_found",
        "read": [["text", "spark"], ["image", "spark"]],
        "saved": "completed",
        "stale": "evidence_changed",
        "uploaded": size,
        "shown": [["text", "spark"], ["image", "spark"], ["image", "student"]],
    }


@soak
@pytest.mark.parametrize("program", CONTRACTS)
async def test_every_operation_has_a_function_of_its_name(program: str, tmp_path: Path) -> None:
    folder = await _make("python", program, tmp_path / "made")
    contract = json.loads((OPENAPI / CONTRACTS[program]).read_text())
    expected = {
        f"{operation['tags'][0].replace('-', '_')}/{_snake(operation['operationId'])}"
        for methods in contract["paths"].values()
        for operation in methods.values()
    }
    made = (folder / "client" / "api").glob("*/[!_]*.py")
    assert {f"{path.parent.name}/{path.stem}" for path in made} == expected


async def _make(generator: str, program: str, folder: Path) -> Path:
    """A folder with the client, checked, and what a developer writes around it."""
    _lay_out(generator, program, folder)
    for step in STEPS[generator]:
        ended = await run_program("bash", "-c", step, env={}, folder=folder)
        assert ended.code == 0, f"{step}\n{ended.output}\n{ended.errors}"
    return folder


def _lay_out(generator: str, program: str, folder: Path) -> None:
    folder.mkdir()
    (folder / "node_modules").symlink_to(GENERATED_CLIENTS / "node_modules")
    shutil.copy(OPENAPI / CONTRACTS[program], folder / "contract.json")
    for place in (GENERATED_CLIENTS, GENERATED_CLIENTS / generator):
        for path in place.glob("*.*"):
            if path.stem not in CONTRACTS.keys() - {program}:
                shutil.copy(path, folder)


async def _run(
    generator: str, program: str, folder: Path, *words: str, **env: str
) -> dict[str, Any]:
    command, script = RUNS[generator]
    ended = await run_program(command, script.format(program), *words, env=env, folder=folder)
    assert (ended.code, ended.errors) == (0, ""), ended.errors
    said: dict[str, Any] = json.loads(ended.output)
    return said


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
