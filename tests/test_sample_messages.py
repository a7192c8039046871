"""What else the clients of docs/samples do: other messages, sign-in links, and wrong words."""

import asyncio
import json
import re
import secrets
from typing import Any

import httpx
import pytest

from tests.support.canaries import CANARIES
from tests.support.courses import course
from tests.support.patience import patient
from tests.support.ports import free_port
from tests.support.programs import SEARCHED
from tests.support.running import Running
from tests.support.sample_clients import Client, each_client, each_sample, said

HOMEWORK = ("nobody", "course", "assignment", "It rained.")
TRACES = re.compile(r"Traceback|Stack trace|^ +at |Warning:|Fatal", re.MULTILINE)


@pytest.fixture
def env(server: Running) -> dict[str, str]:
    sso, webhook = server.settings.spark_sso_secret, server.settings.spark_webhook_secret
    assert sso
    assert webhook
    return {
        "OPTIO_URL": server.url,
        "OPTIO_SHARED_SECRET": sso.get_secret_value(),
        "OPTIO_WEBHOOK_SECRET": webhook.get_secret_value(),
    }


@pytest.fixture
def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


@each_client
async def test_a_sample_client_announces_a_course_and_asks_what_became_of_homework(
    client: Client, env: dict[str, str]
) -> None:
    async def to(route: str, message: dict[str, Any], *flags: str) -> dict[str, Any]:
        return said(await client(*flags, "--to", route, json.dumps(message), env=env))

    rain, student = course("rain"), f"student_{secrets.token_hex(6)}"
    names = {"spark_course_id": rain["spark_course_id"], "spark_user_id": student}
    person = {"email": f"{student}@example.com", "given_name": "Ada", "family_name": "Example"}
    CANARIES.release(person["email"])
    assert (await to("course", rain, "--dry-run"))["would"] == "create"
    assert (await to("course", rain))["task_count"] == 1
    roster = names | person | {"action": "enroll"}
    assert (await to("roster", roster))["enrolled"] == 1
    early = await client(student, names["spark_course_id"], "later", "It rained.", env=env)
    assert (early.code, early.errors[:25]) == (1, "400 assignment_not_found:")
    [webhook_id] = re.findall(r"^webhook-id: (\S+)$", early.errors, re.MULTILINE)
    [sent] = (await to("deliveries", {"webhook_ids": [webhook_id]}))["items"]
    assert (sent["code"], sent["waiting_for"]) == ("assignment_not_found", "course")
    rain["assignments"].append({"spark_assignment_id": "later", "title": "Later"})
    assert (await to("course", rain))["task_count"] == 2
    assert (await to("deliveries/replay", {"delivery_id": sent["id"]}))["revision"] == 1


@each_client
async def test_a_sample_client_tries_its_secret(client: Client, env: dict[str, str]) -> None:
    answer = said(await client("--to", "ping", "{}", env=env))
    assert (answer["scheme"], answer["key"]) == ("v1", "current")


@each_client
async def test_a_sample_client_does_not_repeat_what_stays_refused(
    client: Client, env: dict[str, str]
) -> None:
    """409 is worth another attempt only while the first one runs."""
    rain = course("rain")
    said(await client("--to", "course", json.dumps(rain), env=env))
    listed = said(await client("--to", "deliveries", "{}", env=env))["items"]
    which = next(each["id"] for each in listed if each["route"] == "/spark/webhook/course")
    replay = ("--to", "deliveries/replay", json.dumps({"delivery_id": which}))
    ended = await client(*replay, env=env)
    assert (ended.code, ended.output) == (1, "")
    assert ended.errors.startswith("409 not_replayable: ")


@each_client
async def test_a_sample_client_says_at_once_that_nobody_answers(
    client: Client, env: dict[str, str], nowhere: str
) -> None:
    ended = await client("--dry-run", *HOMEWORK, env=env | {"OPTIO_URL": nowhere})
    assert (ended.code, ended.output) == (1, "")
    assert ended.errors.startswith("0 no_answer_of_optio: ")
    assert not TRACES.search(ended.errors)


@each_client
@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("200 OK", "<!doctype html><title>School</title>"),
        ("404 Not Found", '{"code": 5, "errors": ["gone"], "warnings": 1}'),
        ("403 Forbidden", '["no"]'),
        ("405 Method Not Allowed", ""),
    ],
    ids=["page", "object", "list", "nothing"],
)
async def test_a_sample_client_takes_nobody_elses_word_for_ours(
    client: Client, env: dict[str, str], status: str, text: str
) -> None:
    """OPTIO_URL leads to a front end or a proxy: homework that never arrived is not done."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        writer.write(f"{head}{text}".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        ended = await client("--to", "ping", "{}", env=env | {"OPTIO_URL": url})
    assert (ended.code, ended.output) == (1, "")
    assert ended.errors.startswith(f"{status[:3]} no_answer_of_optio: {text}\n")
    assert not TRACES.search(ended.errors)


@each_client
async def test_a_sample_client_has_a_line_for_each_attempt_in_vain(
    client: Any, env: dict[str, str], nowhere: str
) -> None:
    """The next ones would take two minutes."""
    process = await asyncio.create_subprocess_exec(
        *client.args,
        *HOMEWORK,
        env=env | {"PATH": SEARCHED, "OPTIO_URL": nowhere},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr
        async with asyncio.timeout(patient(30)):
            line = (await process.stderr.readline()).decode()
    finally:
        process.kill()
        await process.wait()
    assert re.fullmatch(r"attempt 1: 0 no_answer_of_optio: .+; again in \d s\n", line)


@each_client
@pytest.mark.parametrize(
    ("words", "changes", "why"),
    [
        ((), {"OPTIO_URL": ""}, "Set OPTIO_URL and OPTIO_WEBHOOK_SECRET."),
        (HOMEWORK, {"OPTIO_WEBHOOK_SECRET": ""}, "Set OPTIO_URL and OPTIO_WEBHOOK_SECRET."),
        (HOMEWORK, {"OPTIO_URL": "127.0.0.1:8000"}, "OPTIO_URL begins with "),
        (HOMEWORK[:3], {}, "These arguments do not fit:"),
        (("--dryrun", *HOMEWORK), {}, "These arguments do not fit:"),
        (("--to", "ping"), {}, "These arguments do not fit:"),
        ((*HOMEWORK, "no such file.pdf"), {}, "no such file.pdf"),
        ((*HOMEWORK, "/"), {}, "read"),
    ],
    ids=["nothing", "secret", "address", "too few", "option", "message", "file", "folder"],
)
async def test_a_sample_client_tells_how_it_is_called(
    client: Client,
    env: dict[str, str],
    words: tuple[str, ...],
    changes: dict[str, str],
    why: str,
) -> None:
    ended = await client(*words, env=env | changes)
    assert (ended.code, ended.output) == (2, "")
    assert why in ended.errors
    assert "[--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]" in ended.errors
    assert "[--dry-run] --to ROUTE JSON" in ended.errors
    assert not TRACES.search(ended.errors)


@each_sample("launch")
async def test_a_sample_makes_a_link_that_signs_in(
    client: Client, env: dict[str, str], browser: httpx.AsyncClient
) -> None:
    student = f"student_{secrets.token_hex(6)}"
    words = (student, f"{student}@example.com", "Ada", "Ex\xe4mple", "unknown_course")
    ended = await client(*words, env=env)
    assert (ended.code, ended.errors) == (0, "")
    link = ended.output.strip()
    token = link.partition("token=")[2]
    CANARIES.release(token, words[1])
    rehearsed = await browser.post("/spark/sso?dry_run=true", data={"token": token})
    claims = rehearsed.json()["claims"]
    assert (claims["sub"], claims["family_name"]) == (student, "Ex\xe4mple")
    assert rehearsed.json()["courses"]["unknown"] == ["unknown_course"]
    assert (await browser.get(link)).status_code == 302


@each_sample("launch")
async def test_a_sample_that_makes_links_tells_how_it_is_called(
    client: Client, env: dict[str, str]
) -> None:
    for words, given in ((("42", "ada@example.com"), env), (("42", "a", "b", "c"), {})):
        ended = await client(*words, env=given)
        assert (ended.code, ended.output) == (2, "")
        assert "STUDENT EMAIL GIVEN_NAME FAMILY_NAME [COURSE ...]" in ended.errors
        assert not TRACES.search(ended.errors)
