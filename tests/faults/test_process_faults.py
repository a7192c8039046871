"""The process ends, or parts of it fail (FAULTS L, P160, P266, P267)."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from app.main import open_resources
from app.settings import Settings
from app.worker import run_worker, sweep
from tests.faults.conftest import Faulty
from tests.support.bodies import Part
from tests.support.canaries import CANARIES
from tests.support.fault_proxy import ALWAYS, Act, Aim, run_proxy
from tests.support.forked import Forked, Forks, open_forks
from tests.support.homework import Homework, note, sign_in, write_homework
from tests.support.invariants import NO_FAULTS, Answered, find_faults
from tests.support.locks import hold
from tests.support.patience import patient
from tests.support.processes import environment, open_files
from tests.support.stored import eventually
from tests.support.stores import Stores

MEBIBYTE = 1024 * 1024
STRACE = shutil.which("strace")
SOAK = "SOAK" in os.environ


@pytest.fixture
def leased(settings_of_stores: Settings) -> Settings:
    """Leases end soon after a kill; one connection, so that each request writes the same."""
    return settings_of_stores.model_copy(
        update={"delivery_lease_seconds": 1, "upload_lease_seconds": 2, "database_pool_size": 1}
    )


@pytest.fixture
async def forks(leased: Settings, tmp_path: Path) -> AsyncIterator[Forks]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    async with open_forks(environment(leased) | {"TMPDIR": str(temporary)}, tmp_path) as opened:
        yield opened


class Writer:
    """Writes the homework of new students, who sign in at the process they are told of."""

    def __init__(self, client: httpx.AsyncClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def write(self, serving: Forked, files: Sequence[Part] = ()) -> Homework:
        assert self._settings.spark_webhook_secret
        student = await sign_in(self._client, serving.url, self._settings)
        return write_homework(self._settings.spark_webhook_secret, student, files)


@pytest.fixture
async def writer(leased: Settings) -> AsyncIterator[Writer]:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        yield Writer(client, leased)


def notes(count: int) -> list[Part]:
    return [note(2000) for _ in range(count)]


async def until_answered(homework: Homework, serving: Forked) -> Answered:
    """As a sender repeats what was not answered."""
    async with asyncio.timeout(patient(30)):
        while True:
            status, body = await homework.send_once(serving.url)
            if status == 200:
                return homework.answered(body)
            assert status in (409, 503), body


async def assert_invariants(stores: Stores, leased: Settings, answered: list[Answered]) -> None:
    """After one sweep, when all leases have ended."""
    await stores.execute("UPDATE spark.uploads SET lease_until = now() WHERE state <> 'committed'")
    async with open_resources(leased) as resources:
        await sweep(resources)
    assert await find_faults(stores, answered) == NO_FAULTS


# ---------------------------------------------------------------------------- kill -9


async def trace(serving: Forked, *options: str) -> asyncio.subprocess.Process:
    """Strace beside a running service; it says so when it is attached to every thread."""
    process = await asyncio.create_subprocess_exec(
        *(str(STRACE), "-f", "-p", str(serving.pid), "-e", "trace=write", *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    line = await process.stderr.readline()
    assert b"attached" in line, line
    return process


async def count_writes(serving: Forked, homework: Homework, log: Path) -> int:
    """How often its event loop's thread writes for a request; the last time is the answer."""
    process = await trace(serving, "-o", str(log))
    status, _ = await homework.send_once(serving.url)
    assert status == 200
    process.terminate()
    await process.communicate()
    return answer_among(log, serving.pid)


def answer_among(log: Path, thread: int) -> int:
    """The number of the answer among this thread's writes."""
    written = [line for line in log.read_text().splitlines() if line.startswith(f"{thread} ")]
    (number,) = [number for number, line in enumerate(written, 1) if '"HTTP/1.1 200' in line]
    return number


async def killed_at(
    number: int, serving: Forked, write: Callable[[], Awaitable[Homework]]
) -> Homework:
    """One that was cut off at that write. Some need a write less than was counted: then another."""
    homework = await write()
    for _ in range(5):
        process = await trace(serving, "-e", f"inject=write:signal=KILL:when={number}")
        try:
            await homework.send_once(serving.url)
        except (OSError, EOFError):
            await process.communicate()
            return homework
        process.terminate()
        await process.communicate()
        try:
            homework = await write()
        except httpx.TransportError:  # it was killed behind the answer
            return homework
    pytest.fail(f"never came to write {number}")


@pytest.mark.soak
@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("row", ["P190"])
@pytest.mark.parametrize("files", [0, 2], ids=["json", "form"])
async def test_a_kill_at_any_write_is_repeated_without_loss(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, files: int, row: str
) -> None:
    """The last write is the answer: a kill there comes between commit and answer."""
    answered = []
    serving = await forks.start()
    warm = await writer.write(serving, notes(files))
    answered.append(await until_answered(warm, serving))
    counts = []
    for _ in range(3):  # some take more, for a connection that is not warm
        counted = await writer.write(serving, notes(files))
        counts.append(await count_writes(serving, counted, forks.folder / "writes"))
        answered.append(await until_answered(counted, serving))
    last = min(counts)
    step = 1 if SOAK else last // 3
    for number in [*range(last - 2, 0, -step), last - 1, last]:
        warm = await writer.write(serving, notes(files))
        answered.append(await until_answered(warm, serving))
        homework = await killed_at(number, serving, partial(writer.write, serving, notes(files)))
        serving = await forks.start()
        answered.append(await until_answered(homework, serving))
    await assert_invariants(stores, leased, answered)


@pytest.mark.parametrize("row", ["P267"])
async def test_a_kill_while_files_are_on_disk_leaves_none_of_them(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, tmp_path: Path, row: str
) -> None:
    """Files before their metadata wait on disk, without a name."""
    serving = await forks.start()
    homework = await writer.write(serving, [note(400_000)])
    spooled = homework.request_with(metadata_last=True)[:300_000]
    async with connected(serving) as sender:
        sender.write(spooled)
        await eventually(lambda: holds_a_temporary_file(serving))
        serving.kill()
        await serving.wait_until_gone()
    assert list((tmp_path / "temporary").iterdir()) == []
    serving = await forks.start()
    await assert_invariants(stores, leased, [await until_answered(homework, serving)])


@asynccontextmanager
async def connected(serving: Forked) -> AsyncIterator[asyncio.StreamWriter]:
    address = urlsplit(serving.url)
    _, sender = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield sender
    finally:
        sender.transport.abort()


async def holds_a_temporary_file(serving: Forked) -> bool:
    return any("/temporary/" in target for target in open_files(serving.pid))


@pytest.mark.parametrize("row", ["P266"])
async def test_a_full_disk_is_an_overload_and_passes(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, row: str
) -> None:
    """A limit on the size of files, set from outside, refuses the bytes as a full disk does."""
    serving = await forks.start()
    homework = await writer.write(serving, [note(300_000)])
    text = await writer.write(serving)
    process = psutil.Process(serving.pid)
    unlimited = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (100_000, unlimited[1]))
    for _ in range(3):
        status, body = await homework.send_once(serving.url, metadata_last=True)
        assert (status, body["code"]) == (503, "overloaded")
    assert serving.log.read_text().count('"limit": "disk"') == 1
    answered = [await until_answered(text, serving)]
    process.rlimit(psutil.RLIMIT_FSIZE, unlimited)
    answered.append(await until_answered(homework, serving))
    assert not await holds_a_temporary_file(serving)
    await assert_invariants(stores, leased, answered)


@pytest.mark.parametrize("finding", ["OPERATOR 16"])
async def test_a_folder_for_temporary_files_that_vanishes_is_an_overload_and_passes(
    forks: Forks, writer: Writer, tmp_path: Path, finding: str
) -> None:
    """Before, a form whose files came first was 500."""
    serving = await forks.start()
    first, homework = [await writer.write(serving, [note(3_000)]) for _ in range(2)]
    await first.send_once(serving.url, metadata_last=True)
    (tmp_path / "temporary").rename(tmp_path / "elsewhere")
    status, body = await homework.send_once(serving.url, metadata_last=True)
    assert (status, body["code"]) == (503, "overloaded")
    assert '"limit": "disk"' in serving.log.read_text()
    (tmp_path / "elsewhere").rename(tmp_path / "temporary")
    status, _ = await homework.send_once(serving.url, metadata_last=True)
    assert status == 200


# ---------------------------------------------------------------------------- signals


@pytest.mark.parametrize("row", ["P192"])
@pytest.mark.parametrize(
    "signals",
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)],
    ids=lambda numbers: "-".join(number.name for number in numbers),
)
async def test_a_second_signal_does_not_cut_off_running_work(
    forks: Forks,
    writer: Writer,
    stores: Stores,
    leased: Settings,
    signals: tuple[signal.Signals, ...],
    row: str,
) -> None:
    serving = await forks.start()
    homework = await writer.write(serving, [note(2000)])
    async with hold(stores) as holder:
        sending = asyncio.create_task(homework.send_once(serving.url))
        await holder.wait_for()
        for number in signals:
            serving.signal(number)
            await eventually(lambda: refuses(serving))
        await holder.release()
        status, body = await sending
    assert status == 200, body
    await serving.wait_until_gone()
    assert "Traceback" not in serving.log.read_text()
    await assert_invariants(stores, leased, [homework.answered(body)])


@pytest.mark.parametrize("row", ["P192"])
async def test_a_hangup_loses_nothing_that_was_answered(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, row: str
) -> None:
    serving = await forks.start()
    answered = [await until_answered(await writer.write(serving, [note(2000)]), serving)]
    homework = await writer.write(serving, [note(2000)])
    async with hold(stores) as holder:
        sending = asyncio.create_task(homework.send_once(serving.url))
        await holder.wait_for()
        serving.signal(signal.SIGHUP)
        await serving.wait_until_gone()
        with pytest.raises((OSError, EOFError)):
            await sending
        await holder.release()
    assert "Traceback" not in serving.log.read_text()
    answered.append(await until_answered(homework, await forks.start()))
    await assert_invariants(stores, leased, answered)


@pytest.mark.parametrize("row", ["P189"])
async def test_a_file_that_reaches_the_store_behind_the_end_of_the_service_is_swept(
    leased: Settings, writer: Writer, stores: Stores, tmp_path: Path, row: str
) -> None:
    """Before, its row was gone by then."""
    s3 = urlsplit(str(leased.s3_endpoint_url))
    async with run_proxy(str(s3.hostname), s3.port or 80) as store:
        service = leased.model_copy(update={"s3_endpoint_url": store.url})
        async with open_forks(environment(service), tmp_path) as forks:
            serving = await forks.start()
            homework = await writer.write(serving, [note(2000)])
            aim = store.aim(Aim(Act.HOLD, b"PUT /"))
            sending = asyncio.create_task(homework.send_once(serving.url))

            async def is_on_its_way() -> bool:
                return bool(aim.hits)

            await eventually(is_on_its_way)
            serving.signal(signal.SIGINT)
            await serving.wait_until_gone()
            await asyncio.wait([sending])
            assert sending.exception()  # no answer in JSON
        await store.restore()
        await store.drain()
    await assert_invariants(stores, leased, [])


async def refuses(serving: Forked) -> bool:
    try:
        async with connected(serving):
            return False
    except OSError:
        return True


# ---------------------------------------------------------------------------- the worker


@pytest.mark.parametrize("row", ["P193"])
async def test_a_worker_whose_pass_fails_unexpectedly_says_so_once_and_goes_on(
    faulty: Faulty, row: str
) -> None:
    """A table is away for a moment: nothing that a sweep reckons with."""
    homework = await faulty.write([note(2000)])
    faulty.store.aim(Aim(Act.LOSE_ANSWER, b"PUT /", times=ALWAYS))
    assert (await faulty.send(homework)).status_code == 503
    await faulty.store.restore()
    before = len(CANARIES.lines)

    def failures() -> list[str]:
        return [line for line in CANARIES.lines[before:] if '"sweep_failed"' in line]

    async def has_failed() -> bool:
        return bool(failures())

    await faulty.stores.execute("ALTER TABLE spark.uploads RENAME TO elsewhere")
    worker = asyncio.create_task(run_worker(faulty.running.app.state.resources))
    try:
        await eventually(has_failed)
    finally:
        await faulty.stores.execute("ALTER TABLE spark.elsewhere RENAME TO uploads")
    (line,) = failures()
    assert json.loads(line)["error_class"] == "ProgrammingError"
    assert not worker.done()
    worker.cancel()
    await asyncio.wait([worker])
    await faulty.assert_invariants()


# ---------------------------------------------------------------------------- two processes


@pytest.mark.parametrize("row", ["P160"])
async def test_twenty_identical_forms_at_two_processes_leave_one_set_of_objects(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, row: str
) -> None:
    both = [await forks.start(), await forks.start()]
    homework = await writer.write(both[0], [note(10 * MEBIBYTE)])
    answers = await asyncio.gather(
        *(homework.send_once(both[number % 2].url) for number in range(20))
    )
    assert {status for status, _ in answers} <= {200, 409, 503}
    answered = [homework.answered(body) for status, body in answers if status == 200]
    answered += [await until_answered(homework, serving) for serving in both]
    assert len(await stores.execute(OBJECTS.format(homework.spark_user_id))) == 1
    await assert_invariants(stores, leased, answered)


OBJECTS = (
    "SELECT u.id FROM spark.uploads u JOIN lms_integrations l ON l.user_id = u.user_id"
    " WHERE l.lms_user_id = '{}' AND u.state = 'committed'"
)
