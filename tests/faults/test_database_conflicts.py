"""Transactions lose conflicts (FAULTS P174): they are tried again, and given up in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.conftest import FORMS, Faulty, assert_unavailable
from tests.support.bodies import Part
from tests.support.locks import LAST_TABLE, hold
from tests.support.stores import Stores


@asynccontextmanager
async def conflicts(stores: Stores, *, sqlstate: str, times: int) -> AsyncIterator[None]:
    """The last statement of recording fails so often; a sequence counts what is rolled back."""
    await stores.execute("CREATE SEQUENCE conflicts")
    await stores.execute(
        f"""CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('conflicts') <= {times} THEN
                RAISE EXCEPTION 'conflict' USING ERRCODE = '{sqlstate}';
            END IF;
            RETURN NEW;
        END $$"""
    )
    await stores.execute(
        f"CREATE TRIGGER conflict BEFORE INSERT ON {LAST_TABLE} FOR EACH ROW"
        " WHEN (NEW.event_type = 'spark_webhook_success') EXECUTE FUNCTION conflict()"
    )
    try:
        yield
    finally:
        await stores.execute("DROP FUNCTION conflict CASCADE")
        await stores.execute("DROP SEQUENCE conflicts")


async def tries(stores: Stores) -> int:
    found = await stores.execute("SELECT last_value FROM conflicts")
    return int(found[0]["last_value"])


SQLSTATES = pytest.mark.parametrize(
    "sqlstate", ["40001", "40P01"], ids=["serialization", "deadlock"]
)


@pytest.mark.parametrize("times", [1, 2])
@SQLSTATES
@pytest.mark.parametrize("row", ["P174"])
@FORMS
async def test_a_transaction_that_lost_a_conflict_is_tried_again(
    faulty: Faulty, sqlstate: str, times: int, files: tuple[Part, ...], row: str
) -> None:
    homework = await faulty.write(files)
    async with conflicts(faulty.stores, sqlstate=sqlstate, times=times):
        answer = await faulty.send(homework)
        assert answer.status_code == 200, answer.text
        assert await tries(faulty.stores) == times + 1
    assert (answer.json()["revision"], answer.json()["xp_awarded"]) == (1, 100)
    await faulty.assert_invariants()


@SQLSTATES
@pytest.mark.parametrize("row", ["P174"])
@FORMS
async def test_a_transaction_that_always_loses_is_given_up_after_three_tries(
    faulty: Faulty, sqlstate: str, files: tuple[Part, ...], row: str
) -> None:
    homework = await faulty.write(files)
    async with conflicts(faulty.stores, sqlstate=sqlstate, times=1000):
        await assert_unavailable(faulty.send(homework))
        assert await tries(faulty.stores) == 3
    assert (await faulty.send(homework)).status_code == 200
    await faulty.assert_invariants()


ENROLMENT = (
    "UPDATE user_quests SET is_active = is_active WHERE user_id ="
    " (SELECT user_id FROM lms_integrations WHERE lms_user_id = '{}')"
)


@pytest.mark.parametrize("row", ["P174"])
async def test_a_real_deadlock_is_survived(faulty: Faulty, row: str) -> None:
    """The service holds the enrolment and wants the last table; the other the reverse."""
    first = await faulty.write()
    assert (await faulty.send(first)).status_code == 200
    again = faulty.write_more(first.spark_user_id)
    async with hold(faulty.stores) as holder:
        sending = asyncio.create_task(faulty.send(again))
        await holder.wait_for()
        # Postgres ends the one that began to wait first.
        await holder.execute(ENROLMENT.format(first.spark_user_id))
        await holder.release()
        answer = await sending
    assert answer.status_code == 200, answer.text
    assert answer.json()["revision"] == 2
    await faulty.assert_invariants()
