"""The blocks of code in Spark's guides run as they are printed, in their order: in one shell, in a
checkout, against the service.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import MEBIBYTE, Settings
from tests.support.canaries import CANARIES
from tests.support.checkout import PROJECT, make_checkout
from tests.support.ports import free_port
from tests.support.programs import needs_node, needs_php, run_program
from tests.support.running import Running

GUIDES = ("guide.md", "receiving.md", "deep-linking.md")
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"php": ("php", "php"), "js": ("node", "mjs"), "python": ("python3", "py")}
SHOWN = {"json", "http", "text"}
BETWEEN = "\x1e\n"
STORES = ("DATABASE_", "S3_", "AWS_")
# By their settings, as the page says them.
LIMITS = {
    "rate_limit_webhook": "| {:,} signed messages a minute",
    "rate_limit_webhook_failures": "; {} refused ones from one address",
    "rate_limit_course_failures": "of courses and of rosters {};",
    "rate_limit_sso": "; {} sign-ins of one student",
    "max_text_bytes": "`submission_text` {} MiB",
    "max_json_bytes": "JSON {} MiB",
    "max_body_bytes": "a form {} MiB",
    "max_parts": "in {} parts",
    "max_files": "At most {} files",
    "max_file_bytes": "of at most {} MiB",
    "body_idle_seconds": "no pause of {} s",
    "inbox_retention_days": "in\nthe last {} days",
}
# What runs beside the shell ends with it.
PRELUDE = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"

needs_tools = pytest.mark.skipif(
    None in map(shutil.which, ("bash", "curl", "openssl")),
    reason="bash, curl or openssl is missing",
)


def blocks(name: str) -> list[tuple[str, str]]:
    return BLOCK.findall((PROJECT / "docs" / name).read_text())


@pytest.mark.parametrize("name", GUIDES)
def test_a_block_says_what_it_is(name: str) -> None:
    assert {kind for kind, _ in blocks(name)} <= {"sh", *PROGRAMS, *SHOWN}
    for kind, text in blocks(name):
        assert kind != "json" or json.loads(text)


def test_the_guide_knows_the_limits() -> None:
    guide = (PROJECT / "docs/guide.md").read_text()
    for name, words in LIMITS.items():
        default = Settings.model_fields[name].default
        shown = default // MEBIBYTE if name.endswith("_bytes") else default
        assert words.format(shown) in guide


@pytest.fixture
def folder(server: Running) -> Iterator[Path]:
    """A checkout whose service runs."""
    with make_checkout() as checkout:
        (checkout.folder / ".venv").symlink_to(sys.prefix)
        checkout.local.mkdir()
        sso, webhook = server.settings.spark_sso_secret, server.settings.spark_webhook_secret
        assert sso
        assert webhook
        (checkout.local / "secrets.env").write_text(
            f"SPARK_SSO_SECRET={sso.get_secret_value()}\n"
            f"SPARK_WEBHOOK_SECRET={webhook.get_secret_value()}\n"
        )
        yield checkout.folder


async def run(name: str, folder: Path, server: Running, env: dict[str, str]) -> list[str]:
    """What each block prints. Ports are those that are free here."""
    script = [PRELUDE]
    for number, (kind, text) in enumerate(blocks(name)):
        if kind in PROGRAMS:
            program, ending = PROGRAMS[kind]
            (folder / f"block{number}.{ending}").write_text(text)
            script += [f"{program} block{number}.{ending}\n", "printf '\\036\\n'\n"]
        elif kind == "sh":
            script += [text, "printf '\\036\\n'\n"]
    port = free_port()
    whole = "".join(script).replace("http://127.0.0.1:8000", server.url)
    words = whole.replace("127.0.0.1:9000", f"127.0.0.1:{port}")
    ended = await run_program("bash", "-c", words, env=env, folder=folder)
    assert ended.code == 0, ended.output + ended.errors
    return ended.output.split(BETWEEN)[:-1]


def answers(outputs: list[str]) -> list[dict[str, Any]]:
    lines = "\n".join(outputs).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


@needs_php
@needs_node
@needs_tools
async def test_the_guide_leads_a_newcomer_to_homework(
    server: Running, folder: Path, browser: httpx.AsyncClient
) -> None:
    outputs = await run("guide.md", folder, server, {})
    assert [bool(output) for output in outputs] == [False] + [True] * (len(outputs) - 1)
    said = answers(outputs)
    assert [answer["key"] for answer in said[:3]] == ["current"] * 3
    for answer in said:
        assert answer.get("status") in (None, "success", "dry_run"), answer
        assert answer.get("problems", []) == answer.get("warnings", []) == [], answer
    assert [answer["revision"] for answer in said if "revision" in answer] == [1, 2, 3, 4]
    assert len(said[-1]["items"]) == 4
    [link] = re.findall(r"^http\S+/spark/sso\?token=\S+$", "\n".join(outputs), re.MULTILINE)
    CANARIES.release(link.partition("token=")[2])
    assert (await browser.get(link)).status_code == 302


@pytest.mark.soak  # a command takes its time to start
@needs_php
@needs_tools
async def test_the_page_on_receiving_shows_a_grade_on_its_way(
    server: Running, folder: Path
) -> None:
    stores = {name: value for name, value in os.environ.items() if name.startswith(STORES)}
    received, _ = await run("receiving.md", folder, server, stores)
    assert "Spark took it." in received
    [grade] = json.loads((folder / "gradebook.json").read_text())["grades"].values()
    assert grade["score"] == 87.5


@needs_php
async def test_the_page_on_deep_links_asks_for_a_choice(server: Running, folder: Path) -> None:
    secret = server.settings.spark_sso_secret
    assert secret
    env = {"OPTIO_URL": server.url, "OPTIO_SHARED_SECRET": secret.get_secret_value()}
    [asked] = answers(await run("deep-linking.md", folder, server, env))
    CANARIES.release(asked["url"].partition("token=")[2])
    assert asked["url"].startswith(f"{server.url}/spark/deep-link?token=")
