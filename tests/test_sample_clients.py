"""The clients of docs/samples do what the guide says, as whoever copies them would run them."""

import hashlib
import json
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.canaries import CANARIES
from tests.support.fault_proxy import Act, Aim, run_proxy
from tests.support.sample_clients import Client, each_client, said
from tests.support.samples import jpeg, pdf

RETRY_AFTER_SECONDS = 1
LARGE_BYTES = 3 * 1024 * 1024  # more than what libcurl sends without asking first


@pytest.fixture
def env(server: Any) -> dict[str, str]:
    return {
        "OPTIO_URL": server.url,
        "OPTIO_WEBHOOK_SECRET": server.settings.spark_webhook_secret.get_secret_value(),
    }


@pytest.fixture
def homework(student: Any, assignment: Any) -> tuple[str, ...]:
    """The arguments of a text that nobody handed in before."""
    text = f"Café notes, see http://example.org/a/b ✓ {secrets.token_hex(8)}"
    CANARIES.release(text)
    return (
        student.spark_user_id,
        assignment.spark_course_id,
        assignment.spark_assignment_id,
        text,
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    contents = {
        "Café drawing.jpg": jpeg(),
        'a "quoted" name.pdf': pdf(),
        "essay.txt": b"All work and no play.\n" * (LARGE_BYTES // 22),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tuple(str(tmp_path / name) for name in contents)


@each_client
async def test_a_sample_client_hands_in_a_text_once(
    client: Client, env: dict[str, str], homework: tuple[str, ...]
) -> None:
    first, again = [said(await client(*homework, env=env)) for _ in range(2)]
    assert (first["status"], first["revision"], first["duplicate"]) == ("success", 1, False)
    assert (again["completion_id"], again["duplicate"]) == (first["completion_id"], True)


@each_client
async def test_a_sample_client_hands_in_files_that_its_signature_covers(
    client: Client, env: dict[str, str], homework: tuple[str, ...], files: tuple[str, ...]
) -> None:
    answer = said(await client(*homework, *files, env=env))
    kept = [(file["name"], file["sha256"]) for file in answer["files"]]
    assert kept == [(Path(file).name, _sha256(file)) for file in files]


@each_client
@pytest.mark.parametrize(
    ("act", "status"),
    [(Act.ANSWER, 503), (Act.ANSWER, 429), (Act.LOSE_ANSWER, 0)],
    ids=["unavailable", "too many", "answer lost"],
)
async def test_a_sample_client_sends_the_same_message_again(
    client: Client,
    act: Act,
    status: int,
    env: dict[str, str],
    homework: tuple[str, ...],
    files: tuple[str, ...],
) -> None:
    url = urlsplit(env["OPTIO_URL"])
    async with run_proxy(str(url.hostname), url.port or 80) as network:
        aim = network.aim(Aim(act, b"POST /", status=status, retry_after=RETRY_AFTER_SECONDS))
        ended = await client(*homework, *files[:2], env=env | {"OPTIO_URL": network.url})
    assert ended.code == 0, ended.errors
    answer = json.loads(ended.output)
    assert (answer["revision"], answer["duplicate"]) == (1, act is Act.LOSE_ANSWER)
    assert re.fullmatch(rf"attempt 1: {status} \w+: .+; again in \d+ s\n", ended.errors)
    first, second = map(_headers, aim.heads)
    assert first["webhook-id"] == second["webhook-id"]
    waited = int(second["webhook-timestamp"]) - int(first["webhook-timestamp"])
    assert waited >= RETRY_AFTER_SECONDS
    assert first["webhook-signature"] != second["webhook-signature"]


@each_client
async def test_a_dry_run_of_a_sample_client_keeps_nothing(
    client: Client, env: dict[str, str], homework: tuple[str, ...], files: tuple[str, ...]
) -> None:
    rehearsed = [
        said(await client("--dry-run", *homework, *more, env=env)) for more in ((), files, ())
    ]
    assert [(one["would"], one["problems"]) for one in rehearsed] == [("create", [])] * 3


@each_client
async def test_a_dry_run_of_a_sample_client_shows_every_problem(
    client: Client, env: dict[str, str], homework: tuple[str, ...], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><html><script>alert(1)</script></html>")
    ended = await client("--dry-run", "nobody", *homework[1:], str(page), env=env)
    answer = json.loads(ended.output)
    assert (ended.code, answer["would"]) == (1, "refuse")
    codes = {problem["code"] for problem in answer["problems"]}
    assert codes >= {"user_not_found", "file_type_not_allowed"}


@each_client
@pytest.mark.parametrize("with_files", [False, True])
async def test_a_sample_client_shows_what_is_wrong_with_its_secret(
    client: Client,
    with_files: bool,  # noqa: FBT001 - a parameter of the test
    server: Any,
    env: dict[str, str],
    homework: tuple[str, ...],
    files: tuple[str, ...],
) -> None:
    """The usual mix-up; the client does not try it again."""
    other = server.settings.spark_sso_secret.get_secret_value()
    words = (*homework, *files) if with_files else homework
    ended = await client(*words, env=env | {"OPTIO_WEBHOOK_SECRET": other})
    assert (ended.code, ended.output) == (1, "")
    assert ended.errors.startswith("401 signature_invalid: Invalid signature\n")
    assert "The key is the SSO secret: use the webhook secret." in ended.errors


@each_client
async def test_a_sample_client_names_the_files_at_fault(
    client: Client, env: dict[str, str], homework: tuple[str, ...], tmp_path: Path
) -> None:
    for name in ("page.html", "other.html"):
        (tmp_path / name).write_text("<!DOCTYPE html><html><script>alert(1)</script></html>")
    words = [str(tmp_path / name) for name in ("page.html", "other.html")]
    ended = await client(*homework, *words, env=env)
    assert ended.code == 1
    assert ended.errors.startswith("400 file_type_not_allowed: ")
    assert re.findall(r"^(.*): file_type_not_allowed$", ended.errors, re.MULTILINE) == [
        "page.html",
        "other.html",
    ]


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value for name, value in lines}


def _sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
