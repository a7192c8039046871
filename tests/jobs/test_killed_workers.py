"""A worker killed at each step of a job: once in effect, never lost (SECURITY promises 10-12)."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import pytest

from tests.jobs.conftest import Outward
from tests.support.fake_spark import HANGS, HANGS_UNREAD, slow
from tests.support.invariants import NO_FAULTS, find_faults
from tests.support.locks import Holder, hold
from tests.support.outward import worker_elsewhere
from tests.support.stored import blocks_of, eventually
from tests.support.stores import Stores

pytestmark = pytest.mark.soak  # each starts a process


async def kill_when(outward: Outward, is_there: Callable[[], Awaitable[bool]]) -> None:
    async with worker_elsewhere(outward.settings) as worker:
        await eventually(is_there)
        worker.kill()


Held = Callable[[Stores], AbstractAsyncContextManager[Holder | None]]


@pytest.mark.parametrize(
    ("fault", "table"),
    [(HANGS_UNREAD, ""), (slow(60), ""), (None, "spark.grade_attempts")],
    ids=["before Spark read it", "after Spark took it", "before it is written"],
)
async def test_a_grade_is_once_in_the_gradebook(
    outward: Outward, fault: dict[str, Any] | None, table: str
) -> None:
    await outward.fake.forget()
    if fault:
        await outward.fake.script("/grades", fault)
    await outward.give()

    async def is_asked() -> bool:
        return len(await outward.fake.requests("/grades")) == 1

    async with hold(outward.stores, table) if table else nullcontext() as holder:
        await kill_when(outward, lambda: holder.somebody_waits() if holder else is_asked())
    await outward.go_on()
    assert [grade["score"] for grade in (await outward.fake.gradebook()).values()] == [90]
    assert len(await outward.fake.effects()) == 1
    assert await outward.stores.execute("SELECT id FROM spark.jobs") == []
    assert await find_faults(outward.stores, []) == NO_FAULTS


@pytest.mark.parametrize(
    ("hangs", "table"),
    [(True, ""), (False, "spark.downloads")],
    ids=["while it comes", "before it is written"],
)
async def test_a_file_by_url_is_stored_and_shown_once(
    outward: Outward, table: str, *, hangs: bool
) -> None:
    await outward.fake.forget()
    name = f"{secrets.token_hex(4)}.txt"
    url = await outward.fake.serve_file(name, b"Rain." * 1000)
    if hangs:
        await outward.fake.script(f"/files/{name}", HANGS)
    user_id, _ = await outward.hand_in(url)

    async def is_asked() -> bool:
        return len(await outward.fake.requests(f"/files/{name}")) == 1

    async with hold(outward.stores, table) if table else nullcontext() as holder:
        await kill_when(outward, lambda: holder.somebody_waits() if holder else is_asked())
    await outward.go_on()
    shown = [block.block_type for block in await blocks_of(outward.sessions, user_id)]
    assert shown == ["text", "document"]
    states = await outward.stores.execute("SELECT state FROM spark.uploads")
    assert {row["state"] for row in states} == {"committed"}
    assert await outward.stores.execute("SELECT id FROM spark.jobs") == []
    assert await find_faults(outward.stores, []) == NO_FAULTS


async def test_two_workers_send_the_newest_of_many_scores_through_faults(outward: Outward) -> None:
    """One effect for each score that was sent, and the newest everywhere."""
    await outward.fake.forget()
    faults: list[dict[str, Any]] = [
        {"status": 500},
        {"status": 429, "headers": {"Retry-After": "1"}},
    ] * 3
    await outward.fake.script("/grades", *faults)
    for _ in range(10):
        await outward.give()
    async with worker_elsewhere(outward.settings), worker_elsewhere(outward.settings):

        async def all_are_there() -> bool:
            await outward.stores.execute(
                "UPDATE spark.jobs SET run_at = now() WHERE state = 'waiting'"
            )
            await outward.stores.execute("UPDATE spark.job_targets SET paused_until = now()")
            return not await outward.stores.execute("SELECT id FROM spark.jobs")

        await eventually(all_are_there)
    assert len(await outward.fake.gradebook()) == len(await outward.fake.effects()) == 10
