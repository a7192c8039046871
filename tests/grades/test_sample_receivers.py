"""The receivers of docs/samples take what the service sends, as whoever copies them runs them."""

import asyncio
import json
import re
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from app.clock import new_id, utc_now
from app.jobs.call_spark import SparkApi
from tests.conftest import create_assignment
from tests.grades.conftest import Grading
from tests.support.elsewhere import run_elsewhere
from tests.support.patience import patient
from tests.support.ports import free_port
from tests.support.programs import SEARCHED, needs_node, needs_php, run_program
from tests.support.spark import encoded, submission

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
PAGE = SAMPLES.parent / "receiving.md"
KEY, SECRET = (secrets.token_hex(32) for _ in range(2))

Command = Callable[[int], list[str]]


def node(_: int) -> list[str]:
    return ["node", str(SAMPLES / "receive.mjs")]


def php(port: int) -> list[str]:
    return ["php", "-S", f"127.0.0.1:{port}", str(SAMPLES / "receive.php")]


def python(_: int) -> list[str]:
    return [sys.executable, str(SAMPLES / "receive.py")]


RECEIVERS = [
    pytest.param(node, marks=needs_node, id="node"),
    pytest.param(php, marks=needs_php, id="php"),
    pytest.param(python, id="python"),
]
each_receiver = pytest.mark.parametrize("receiver", RECEIVERS, indirect=True)


@dataclass(frozen=True)
class Receiver:
    url: str
    file: Path

    @property
    def book(self) -> dict[str, Any]:
        book: dict[str, Any] = json.loads(self.file.read_text())
        return book

    @property
    def scores(self) -> list[float]:
        return [grade["score"] for grade in self.book["grades"].values()]


@pytest.fixture
async def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with _run(request.param, tmp_path / "gradebook.json") as running:
        yield running


@asynccontextmanager
async def _run(command: Command, file: Path) -> AsyncIterator[Receiver]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *command(port),
        env={
            "PATH": SEARCHED,
            "PORT": str(port),
            "GRADEBOOK": str(file),
            "OPTIO_API_KEY": KEY,
            "OPTIO_OUTBOUND_SECRET": SECRET,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(patient(30)):
            while not await _listens(port):  # noqa: ASYNC110 - neither tells
                await asyncio.sleep(0.05)
        yield Receiver(f"http://127.0.0.1:{port}", file)
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def sending(
    grading: Grading, receiver: Receiver, secret: str = SECRET, **more: Any
) -> AsyncIterator[Grading]:
    """The service, with the receiver for its Spark."""
    async with run_elsewhere(
        grading.elsewhere.running.settings,
        spark_api_url=receiver.url,
        spark_api_key=SecretStr(KEY),
        spark_outbound_secret=SecretStr(secret),
        **more,
    ) as elsewhere:
        yield replace(grading, elsewhere=elsewhere)


@each_receiver
async def test_a_sample_receiver_keeps_the_newest_score(
    grading: Grading, receiver: Receiver
) -> None:
    async with sending(grading, receiver) as at:
        student, assignment = await at.student(), await create_assignment(at.sessions)
        task_id = await at.task_of(student, assignment)
        given = [await at.give(student, task_id, 50)]
        await at.work_off()
        given.append(await at.give(student, task_id, 87.5))
        await at.work_off()
        assert receiver.scores == [87.5]
        assert (await at.state(given[1].json()["id"]))["state"] == "delivered"
        assert (await at.ask("POST", f"grades/{given[1].json()['id']}/send")).status_code == 202
        await at.work_off()
    assert len(receiver.book["answered"]) == 2


@each_receiver
async def test_a_sample_receiver_takes_a_receipt(grading: Grading, receiver: Receiver) -> None:
    student, missing = await grading.student(), f"assignment_{uuid4().hex}"
    other = await create_assignment(grading.sessions)
    early = submission(student, other, spark_assignment_id=missing, spark_course_id=...)
    await grading.elsewhere.spark.submit(encoded(early))
    query = {"spark_user_id": student.spark_user_id}
    [delivery] = (await grading.ask("GET", "deliveries", params=query)).json()["items"]
    await create_assignment(grading.sessions, spark_assignment_id=missing)
    async with sending(grading, receiver) as at:
        await at.ask("POST", f"deliveries/{delivery['id']}/replay")
        await at.work_off()
    [receipt] = receiver.book["receipts"]
    assert (receipt["spark_user_id"], receipt["state"]) == (student.spark_user_id, "recorded")


@each_receiver
async def test_a_sample_receiver_knows_who_calls(grading: Grading, receiver: Receiver) -> None:
    await _check_who_calls(grading, receiver)


@needs_php
async def test_what_the_page_verifies_with_knows_who_calls(
    grading: Grading, tmp_path: Path
) -> None:
    [block] = re.findall(r"^```php\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    program = tmp_path / "verify.php"
    program.write_text(block)
    words = ["php", "-S", "127.0.0.1:{}", str(program)]
    async with _run(
        lambda port: [word.format(port) for word in words], tmp_path / "no_book"
    ) as receiver:
        await _check_who_calls(grading, receiver)


async def _check_who_calls(grading: Grading, receiver: Receiver) -> None:
    """Also while the secret is changed: the new one first, then the one it knows."""
    new = SecretStr(secrets.token_hex(32))
    rotation = {"spark_outbound_secret_previous": SecretStr(SECRET)}
    for secret, more, code in (
        (SECRET, {}, "delivered"),
        (new.get_secret_value(), {}, "spark_401"),
        (new.get_secret_value(), rotation, "delivered"),
    ):
        async with sending(grading, receiver, secret, **more) as at:
            tested = await at.ask("POST", "targets/spark/test")
            assert tested.json()["code"] == code
    assert not receiver.file.exists()


@pytest.mark.parametrize("command", [RECEIVERS[0], RECEIVERS[2]])
async def test_a_sample_receiver_says_what_it_needs(command: Command) -> None:
    """What PHP's own server runs says so to its log, at each call."""
    program, *words = command(0)
    ended = await run_program(program, *words, env={"PORT": "70000"})
    assert (ended.code, ended.output) == (2, "")
    assert ended.errors == "Set PORT, GRADEBOOK, OPTIO_API_KEY and OPTIO_OUTBOUND_SECRET.\n"


@each_receiver
async def test_a_sample_receiver_refuses_what_is_old(grading: Grading, receiver: Receiver) -> None:
    """A call that was recorded, and a score that was overtaken on its way."""
    settings = grading.elsewhere.running.settings.model_copy(
        update={
            "spark_api_url": receiver.url,
            "spark_api_key": SecretStr(KEY),
            "spark_outbound_secret": SecretStr(SECRET),
        }
    )
    moments = [datetime.now(tz=UTC).replace(microsecond=micro) for micro in (0, 999, 1_000)]
    async with httpx.AsyncClient(trust_env=False) as client:
        spark_api = SparkApi(settings, client, now=utc_now, new_id=new_id)
        old = SparkApi(
            settings, client, now=lambda: utc_now() - timedelta(minutes=6), new_id=new_id
        )
        codes = []
        for version in (2, 1, 3):
            grade = {
                "spark_user_id": "s",
                "spark_course_id": None,
                "spark_assignment_id": "a",
                "score": version,
                "scored_at": moments[version - 1].isoformat(),
                "version": version,
            }
            body = json.dumps(grade).encode()
            assert (await old.call("POST", "/grades", "g", body)).outcome.code == "spark_401"
            call = await spark_api.call("POST", "/grades", f"g.{version}", body)
            codes.append(call.outcome.code)
    assert codes == ["delivered", "superseded", "delivered"]
    assert receiver.scores == [3]
