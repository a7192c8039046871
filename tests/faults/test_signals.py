"""A service that is told to end (FAULTS P189, P192)."""

import asyncio
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.settings import Settings
from tests.faults.conftest import Writer, assert_invariants, connected, until_answered
from tests.support.fault_proxy import Act, Aim, run_proxy
from tests.support.forked import Forked, Forks, open_forks
from tests.support.homework import note
from tests.support.locks import hold
from tests.support.processes import environment
from tests.support.stored import eventually
from tests.support.stores import Stores


@pytest.mark.parametrize("row", ["P192"])
@pytest.mark.parametrize(
    "signals",
    [
        pytest.param((signal.SIGTERM, signal.SIGTERM), marks=pytest.mark.soak),
        (signal.SIGTERM, signal.SIGINT),
    ],
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


@pytest.mark.soak
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


@pytest.mark.soak
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
