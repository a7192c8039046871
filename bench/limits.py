"""What counting one request costs, however many students and addresses are counted already.

    .venv/bin/python -m bench.limits

CPU µs of a hit for a sign-in and for a failure, the least of five rounds; a minute's keys.
"""

import asyncio
import time

from app.limits import Limits

KEYS, HITS, ROUNDS, NO_LIMIT = (100, 50_000), 2_000, 5, 10_000_000


async def hit(limits: Limits, number: int) -> None:
    await limits.count_success("/spark/sso", f"student_{number}", per_minute=NO_LIMIT)


async def fail(limits: Limits, number: int) -> None:
    limits.count_failure("/spark/sso", f"address_{number}", per_minute=1_000)


async def measure() -> None:
    for act in (hit, fail):
        for keys in KEYS:
            limits = Limits("memory://")
            for number in range(keys):
                await act(limits, number)
            rounds = []
            for _ in range(ROUNDS):
                began = time.process_time()
                for number in range(HITS):
                    await act(limits, number * keys // HITS)
                rounds.append((time.process_time() - began) / HITS * 1_000_000)
            print(f"{act.__name__:5} {keys:6} keys {min(rounds):6.1f} µs")


if __name__ == "__main__":
    asyncio.run(measure())
