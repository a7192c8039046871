"""What a pooler in transaction mode costs: JSON submissions through it beside direct ones.

    .venv/bin/python -m bench.pooler

Two services on one database, one of them behind pgbouncer, take turns; the median ratios of rate
and of CPU of the service's process count, at 1 and at 10 requests at once.
"""

import statistics

import asyncpg  # type: ignore[import-untyped]
import psutil
from pydantic import SecretStr

from app.settings import Settings
from bench import wire
from bench.submissions import NO_LIMIT, Bench
from tests.support.checkout import Serving, make_checkout, serve_beside
from tests.support.pooler import run_pooler

ROUNDS, SUBMISSIONS = 5, 300
RATE_GOAL, CPU_GOAL = 0.6, 1.7
LIMITS = {"RATE_LIMIT_WEBHOOK": NO_LIMIT, "RATE_LIMIT_SSO": NO_LIMIT}


async def _round(bench: Bench, process: psutil.Process, *, at_once: int) -> tuple[float, float]:
    """Submissions a second, and CPU milliseconds of each."""
    requests = [bench.request(student) for student in await bench.sign_in(SUBMISSIONS)]
    before = sum(process.cpu_times()[:2])
    took, answers = await bench.hand_in(requests, at_once=at_once)
    assert answers.counted == {200: SUBMISSIONS}, answers.counted
    spent = sum(process.cpu_times()[:2]) - before
    return SUBMISSIONS / took, spent / SUBMISSIONS * 1000


async def _measure(direct: Serving, pooled: Serving, pool: asyncpg.Pool, *, at_once: int) -> None:
    services = [
        (Bench(serving, pool, prefix=name), psutil.Process(serving.process.pid))
        for name, serving in (("direct", direct), ("pooled", pooled))
    ]
    rounds = [
        [await _round(*service, at_once=at_once) for service in services] for _ in range(ROUNDS)
    ]
    rate = statistics.median(through[0] / straight[0] for straight, through in rounds)
    cpu = statistics.median(through[1] / straight[1] for straight, through in rounds)
    shown = [
        f"{statistics.median(one[side][0] for one in rounds):.0f}/s"
        f" {statistics.median(one[side][1] for one in rounds):.2f} CPU ms"
        for side in (0, 1)
    ]
    print(
        f"{at_once:2} at once: direct {shown[0]}, pooled {shown[1]};"
        f" rate {rate:.2f} (goal {RATE_GOAL}), CPU {cpu:.2f} (goal {CPU_GOAL})"
    )


async def measure(direct: Serving) -> None:
    address = direct.stores.variables["DATABASE_URL"]
    settings = Settings(database_url=SecretStr(address))
    async with (
        run_pooler(settings, size=10) as through,
        asyncpg.create_pool(address.replace("+asyncpg", ""), min_size=1) as pool,
    ):
        pooler = {"DATABASE_URL": through.get_secret_value(), "DATABASE_TRANSACTION_POOLER": "true"}
        with serve_beside(direct, **LIMITS, **pooler) as pooled:
            for at_once in (1, 10):
                await _measure(direct, pooled, pool, at_once=at_once)


def main() -> None:
    with make_checkout() as checkout, checkout.serve(**LIMITS) as direct:
        wire.run(measure(direct))


if __name__ == "__main__":
    main()
