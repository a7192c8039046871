"""One budget of memory for all bodies that are held whole (H2, R43)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from app.deliveries.hold_body import WAIT_SECONDS, BodyBudget, HeldBody
from app.errors import OverloadedError
from app.settings import Settings
from tests.support.hurried import run_hurried, skip
from tests.support.problems import assert_problem
from tests.support.running import Running, run_app
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.wire import Wire, connect

QUARTER = 100
BUDGET = 4 * QUARTER
FOREVER = 60


async def stall(budget: BodyBudget, holder: str, size: int, *, is_authentic: bool = False) -> str:
    """A body of so many bytes that never ends, until it is ended."""
    with budget.open(holder) as body, suppress(OverloadedError):
        if is_authentic:
            body.vouch()
        await body.take(size)
        async with body.wait(FOREVER):
            await asyncio.Event().wait()
    return "ended"


async def settle() -> None:
    """Until every task waits for another one."""
    for _ in range(10):
        await asyncio.sleep(0)


async def take(budget: BodyBudget, holder: str, size: int) -> bool:
    """Whether there was room."""
    with budget.open(holder) as body, suppress(OverloadedError):
        await body.take(size)
        return True
    return False


@asynccontextmanager
async def stalled(
    budget: BodyBudget, *bodies: tuple[str, int], is_authentic: bool = False
) -> AsyncIterator[list[asyncio.Task[str]]]:
    begun = [
        asyncio.create_task(stall(budget, holder, size, is_authentic=is_authentic))
        for holder, size in bodies
    ]
    await asyncio.sleep(0)
    try:
        yield begun
    finally:
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)


async def test_nobody_is_bound_to_a_share_while_nobody_waits() -> None:
    budget = BodyBudget(BUDGET)
    async with stalled(budget, ("all through one proxy", BUDGET - 1)) as bodies:
        assert await take(budget, "all through one proxy", 1)
        assert not bodies[0].done()


async def test_another_address_ends_the_largest_body_of_who_has_more_than_a_quarter() -> None:
    budget = BodyBudget(BUDGET)
    held = [("a", 90), ("a", 150), ("a", 100), ("b", 60)]
    async with stalled(budget, *held) as bodies:
        assert await take(budget, "c", 100)
        assert [body.done() for body in bodies] == [False, True, False, False]


async def test_several_are_ended_if_one_is_not_enough() -> None:
    budget = BodyBudget(BUDGET)
    async with stalled(budget, *[("a", 40)] * 10) as bodies:
        assert await take(budget, "b", QUARTER)
        assert sum(body.done() for body in bodies) == 3


@pytest.mark.parametrize(
    ("held", "is_authentic", "holder", "size"),
    [
        pytest.param([("a", BUDGET)], False, "a", 1, id="the same address"),
        pytest.param([("a", BUDGET)], True, "b", 1, id="signed bodies"),
        pytest.param([(each, QUARTER) for each in "abcd"], False, "e", 1, id="a quarter each"),
        pytest.param([("a", BUDGET)], False, "b", QUARTER + 1, id="more than a quarter"),
    ],
)
def test_nobody_is_ended_for(
    held: list[tuple[str, int]], holder: str, size: int, *, is_authentic: bool
) -> None:
    async def wait_in_vain() -> None:
        budget = BodyBudget(BUDGET)
        async with stalled(budget, *held, is_authentic=is_authentic) as bodies:
            waiting = asyncio.create_task(take(budget, holder, size))
            await settle()
            assert not waiting.done()
            skip(WAIT_SECONDS)
            assert not await waiting
            assert not any(body.done() for body in bodies)

    run_hurried(wait_in_vain())


async def test_who_waits_gets_the_room_that_another_gives_back() -> None:
    budget = BodyBudget(BUDGET)
    with budget.open("a") as first:
        await first.take(BUDGET)
        waiting = asyncio.create_task(take(budget, "a", 50))
        await settle()
        assert not waiting.done()
        first.give_back(50)
        assert await waiting


async def test_a_right_signature_makes_room_for_what_waits_of_the_same_address() -> None:
    budget = BodyBudget(BUDGET)
    with budget.open("a") as first, budget.open("a") as second, budget.open("c") as known:
        await first.take(QUARTER)
        await known.take(QUARTER)
        known.vouch()
        waiting = asyncio.create_task(take(budget, "b", 2 * QUARTER + 1))
        await settle()
        more = asyncio.create_task(take_more(second))
        await settle()
        assert not more.done()
        first.vouch()
        await settle()
        assert more.done()
        waiting.cancel()


async def test_while_another_waits_nobody_takes_more_than_a_quarter() -> None:
    budget = BodyBudget(BUDGET)
    with budget.open("a") as first, budget.open("c") as known:
        await first.take(QUARTER)
        await known.take(QUARTER)
        known.vouch()
        waiting = asyncio.create_task(take(budget, "b", 2 * QUARTER + 1))
        await settle()
        greedy = asyncio.create_task(take_more(first))
        await settle()
        assert not greedy.done()
        await known.take(1)
        waiting.cancel()
        await greedy
        assert first.size == QUARTER + 1


async def take_more(body: HeldBody) -> None:
    await body.take(1)


def test_whoever_leaves_gives_back_all_of_it() -> None:
    async def come_and_go() -> None:
        budget = BodyBudget(BUDGET)
        for _ in range(3):
            with suppress(ZeroDivisionError), budget.open("a") as body:
                await body.take(BUDGET)
                raise ZeroDivisionError
        async with stalled(budget, ("a", BUDGET)):
            pass
        assert await take(budget, "b", BUDGET)

    asyncio.run(come_and_go())


# ---------------------------------------------------------------------------- through the door

JSON_BYTES = 100_000


@pytest.fixture
async def small(settings: Settings) -> AsyncIterator[Running]:
    """A service behind a proxy, with room for four bodies."""
    sizes = {"max_json_bytes": JSON_BYTES, "body_budget_bytes": 4 * JSON_BYTES}
    async with run_app(settings.model_copy(update={**sizes, "trusted_proxy_hops": 1})) as running:
        yield running


async def hold(wire: Wire, *, address: str, size: int = JSON_BYTES - 1) -> None:
    """All of an unsigned body but its last byte."""
    await wire.send_head(
        "Content-Type: application/json",
        f"X-Spark-Signature: {'0' * 64}",
        f"X-Forwarded-For: {address}",
        f"Content-Length: {size + 1}",
    )
    await wire.send(b" " * size)


async def hand_in(
    running: Running, spark: Spark, payload: dict[str, object], *, address: str
) -> httpx.Response:
    headers = {"X-Forwarded-For": address}
    async with httpx.AsyncClient(
        base_url=running.url, headers=headers, trust_env=False, timeout=60
    ) as browser:
        return await Spark(browser, spark.sso_secret, spark.webhook_secret).submit(payload)


async def test_h2_a_stranger_who_holds_it_all_makes_room_for_homework(
    small: Running, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    async with connect(small) as first, connect(small) as second, connect(small) as third:
        wires = (first, second, third)
        for wire in wires:
            await hold(wire, address="192.0.2.1")
        async with connect(small) as fourth:
            await hold(fourth, address="192.0.2.1")
            text = "x" * (JSON_BYTES // 2)
            payload = submission(student, assignment, submission_text=text)
            answer = await hand_in(small, spark, payload, address="192.0.2.2")
            assert answer.status_code == 200, answer.text
            refused = await ended(*wires, fourth)
    assert_problem(refused, 503, "overloaded")
    assert refused.headers["retry-after"]


async def ended(*wires: Wire) -> httpx.Response:
    """The answer on the connection that gets one first."""
    answers = [asyncio.ensure_future(wire.read_answer()) for wire in wires]
    done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    for answer in waiting:
        answer.cancel()
    return done.pop().result()


async def test_h2_without_room_a_body_is_503_and_fits_when_others_have_left(
    small: Running, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    address = "192.0.2.3"
    payload = submission(student, assignment)
    async with connect(small) as first, connect(small) as second:
        async with connect(small) as third, connect(small) as fourth:
            for wire in (first, second, third, fourth):
                await hold(wire, address=address, size=JSON_BYTES - 10)
            refused = await hand_in(small, spark, payload, address=address)
            assert_problem(refused, 503, "overloaded")
            assert refused.headers["retry-after"]
        answer = await hand_in(small, spark, payload, address=address)
        assert answer.status_code == 200, answer.text
