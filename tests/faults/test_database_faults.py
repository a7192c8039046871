"""The database fails (FAULTS J): nothing is lost or doubled, and nobody has to restart anything."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from app.settings import Settings
from tests.faults.conftest import FORMS, Faulty, assert_unavailable, run_faulty
from tests.support.bodies import Part
from tests.support.databases import execute
from tests.support.fault_proxy import Act, Aim
from tests.support.homework import note
from tests.support.locks import hold
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.stored import eventually
from tests.support.stores import Stores


async def checks(faulty: Faulty) -> dict[str, bool]:
    answer = await faulty.client.get("/readyz")
    found: dict[str, bool] = answer.json()["checks"]
    assert (answer.status_code == 200) == all(found.values())
    return found


async def assert_recovers(faulty: Faulty) -> None:
    """Within 10 s, without a restart (SECURITY promise 21)."""
    began = time.monotonic()

    async def is_ready() -> bool:
        return all((await checks(faulty)).values())

    await eventually(is_ready)
    assert time.monotonic() - began < patient(10)


# ---------------------------------------------------------------------------- down


@pytest.mark.parametrize("row", ["P170"])
async def test_a_service_whose_database_comes_later_needs_no_restart(
    settings_of_stores: Settings, stores: Stores, row: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_faulty(settings_of_stores, stores, database_is_there=False) as faulty:
        assert (await faulty.client.get("/healthz")).status_code == 200
        assert await checks(faulty) == {"database": False, "schema": False, "storage": True}
        await assert_unavailable(faulty.spark.launch(faulty.spark.launch_token()))
        assert "'error_class': 'ConnectionRefusedError', 'sqlstate': ''" in caplog.text
        await faulty.database.restore()
        await assert_recovers(faulty)
        assert (await faulty.send(await faulty.write())).status_code == 200
        await faulty.assert_invariants()


async def fill_pool(faulty: Faulty, *, connections: int) -> None:
    """So many requests at once, so that so many connections stay open."""
    homework = [await faulty.write() for _ in range(connections)]
    async with hold(faulty.stores) as holder:
        sending = [asyncio.create_task(faulty.send(each)) for each in homework]
        await holder.wait_for(connections)
        await holder.release()
        assert {(await each).status_code for each in sending} == {200}


async def refuse(faulty: Faulty) -> None:
    await faulty.database.refuse()


async def hang(faulty: Faulty) -> None:
    faulty.database.hang()


@pytest.mark.parametrize("fault", [refuse, pytest.param(hang, marks=pytest.mark.soak)])
async def test_a_database_that_goes_away_is_named_and_missed_for_seconds(
    faulty: Faulty, fault: Callable[[Faulty], Awaitable[None]]
) -> None:
    """SECURITY promise 21, with connections in the pool that do not know yet."""
    homework = [await faulty.write(), await faulty.write([note(2000)])]
    await fill_pool(faulty, connections=4)
    await fault(faulty)
    await asyncio.gather(*(assert_unavailable(faulty.send(each)) for each in homework))
    assert await checks(faulty) == {"database": False, "schema": False, "storage": True}
    assert (await faulty.client.get("/healthz")).status_code == 200
    await faulty.database.restore()
    await assert_recovers(faulty)
    answers = await asyncio.gather(*(faulty.send(each) for each in homework))
    assert {answer.status_code for answer in answers} == {200}
    await faulty.assert_invariants()


@pytest.mark.soak
@pytest.mark.parametrize("finding", ["OPERATOR 12"])
@FORMS
async def test_a_database_that_hangs_is_waited_for_once(
    faulty: Faulty, files: tuple[Part, ...], finding: str
) -> None:
    """While homework is recorded. Before, to give up its files and its claim took 19 s more."""
    homework = await faulty.write(files)
    async with hold(faulty.stores) as holder:
        sending = asyncio.create_task(faulty.send(homework))
        await holder.wait_for()
        faulty.database.hang()
        await assert_unavailable(sending)
        await holder.release()
    await faulty.database.restore()
    await assert_recovers(faulty)
    assert (await faulty.send(homework)).status_code == 200
    await faulty.assert_invariants()


async def test_a_database_that_flaps_loses_nothing(faulty: Faulty) -> None:
    """Every second new connection is cut, and all that were open at the beginning."""
    homework = [await faulty.write() for _ in range(4)]
    faulty.database.flap()
    for each in homework:
        while (answer := await faulty.send(each)).status_code != 200:
            assert_problem(answer, 503, "database_unavailable")
    await faulty.assert_invariants()


# ---------------------------------------------------------------------------- cut


@pytest.mark.parametrize("row", ["P171"])
@FORMS
async def test_a_backend_that_is_terminated_in_the_transaction_leaves_nothing_of_it(
    faulty: Faulty, files: tuple[Part, ...], row: str
) -> None:
    homework = await faulty.write(files)
    async with hold(faulty.stores) as holder:
        sending = asyncio.create_task(faulty.send(homework))
        await holder.terminate_waiting()
        await holder.release()
        answer = await sending
    if answer.status_code != 200:
        assert_problem(answer, 503, "database_unavailable")
        answer = await faulty.send(homework)
    assert (answer.status_code, answer.json()["revision"]) == (200, 1)
    await faulty.assert_invariants()


@pytest.mark.parametrize("act", [Act.LOSE_REQUEST, Act.LOSE_ANSWER])
@pytest.mark.parametrize("row", ["P172"])
@FORMS
async def test_a_connection_cut_around_any_commit_gives_one_result(
    faulty: Faulty, act: Act, files: tuple[Part, ...], row: str
) -> None:
    """One commit after the other, until there is none left to cut at."""
    homework = await faulty.write(files)
    cut_at = 0
    while True:
        aim = faulty.database.aim(Aim(act, b"COMMIT", skip=cut_at))
        first = await faulty.send(homework)
        if not aim.hits:
            break
        await faulty.database.restore()
        if first.status_code != 200:
            assert_problem(first, 503, "database_unavailable")
        retried = await faulty.send(homework)
        assert (retried.status_code, retried.json()["revision"]) == (200, 1)
        homework, cut_at = await faulty.write(files), cut_at + 1
    assert cut_at > 0
    await faulty.assert_invariants()


# ---------------------------------------------------------------------------- busy and slow


@pytest.mark.alone
@pytest.mark.parametrize("row", ["P173"])
async def test_when_all_connections_are_busy_others_are_told_to_come_again(
    settings_of_stores: Settings, stores: Stores, row: str
) -> None:
    async with run_faulty(settings_of_stores, stores, database_pool_size=2) as faulty:
        homework = [await faulty.write() for _ in range(3)]
        async with hold(stores) as holder:
            busy = [asyncio.create_task(faulty.send(each)) for each in homework[:2]]
            await holder.wait_for(2)
            began = time.monotonic()
            answer = await faulty.send(homework[2])
            assert_problem(answer, 503, "overloaded")
            assert int(answer.headers["retry-after"]) > 0
            assert time.monotonic() - began < patient(5)
            await holder.release()
            assert {(await each).status_code for each in busy} == {200}
        assert (await faulty.send(homework[2])).status_code == 200
        await faulty.assert_invariants()


@pytest.mark.parametrize("finding", ["OPERATOR connection limit"])
async def test_a_server_that_takes_no_more_connections_is_missed_until_it_does(
    settings: Settings, settings_of_stores: Settings, stores: Stores, finding: str
) -> None:
    """As when other programs hold all that the database's plan allows."""
    limited = f"limited_{uuid4().hex}"
    url = make_url(stores.variables["DATABASE_URL"]).set(username=limited, password=limited)
    changes = {"database_url": SecretStr(url.render_as_string(hide_password=False))}
    await execute(
        settings,
        f"CREATE ROLE {limited} LOGIN BYPASSRLS PASSWORD '{limited}'"
        " IN ROLE pg_read_all_data, pg_write_all_data",
    )
    try:
        async with run_faulty(settings_of_stores.model_copy(update=changes), stores) as faulty:
            homework = [await faulty.write(), await faulty.write([note(2000)])]
            await execute(settings, f"ALTER ROLE {limited} CONNECTION LIMIT 0")
            faulty.database.cut()
            for each in homework:
                await assert_unavailable(faulty.send(each))
            await execute(settings, f"ALTER ROLE {limited} CONNECTION LIMIT -1")
            for each in homework:
                assert (await faulty.send(each)).status_code == 200
            await faulty.assert_invariants()
    finally:
        await execute(settings, f"DROP ROLE {limited}")


@pytest.mark.parametrize("row", ["P178"])
@FORMS
async def test_a_statement_that_takes_too_long_is_cancelled_in_the_server(
    settings_of_stores: Settings, stores: Stores, files: tuple[Part, ...], row: str
) -> None:
    async with run_faulty(
        settings_of_stores, stores, statement_timeout_seconds=patient(1)
    ) as faulty:
        homework = await faulty.write(files)
        async with hold(stores) as holder:
            await assert_unavailable(faulty.send(homework))
            await eventually(holder.nobody_waits)
        assert (await faulty.send(homework)).status_code == 200
        await faulty.assert_invariants()


# ---------------------------------------------------------------------------- failover


@pytest.mark.parametrize("row", ["P175"])
async def test_a_read_only_server_after_a_failover_is_left_again(
    settings: Settings, settings_of_stores: Settings, stores: Stores, row: str
) -> None:
    """Connections stay as they were opened: who keeps one that cannot write never recovers."""
    (found,) = await stores.execute("SELECT current_database() AS name")
    alter = f"ALTER DATABASE {found['name']}"
    async with run_faulty(settings_of_stores, stores) as faulty:
        homework = [await faulty.write(), await faulty.write([note(2000)])]
        await execute(settings, f"{alter} SET default_transaction_read_only = on")
        faulty.database.cut()
        try:
            for each in homework:
                await assert_unavailable(faulty.send(each))
        finally:
            await execute(settings, f"{alter} RESET default_transaction_read_only")
        for each in homework:
            assert (await faulty.send(each)).status_code == 200
        await faulty.assert_invariants()
