"""Two processes do the jobs while Spark fails them: the newest of several scores, and once."""

import asyncio
import os
import random
import secrets
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.jobs.conftest import Outward
from tests.support.fake_spark import DROPPED
from tests.support.invariants import NO_FAULTS, find_faults
from tests.support.outward import worker_elsewhere
from tests.support.patience import patient

WORKS, SCORES = (60, 5) if "SOAK" in os.environ else (20, 3)
FILES = WORKS // 4
FAULTS: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 503},
    {"status": 429, "headers": {"Retry-After": "1"}},
    DROPPED,
]


@pytest.mark.soak
@pytest.mark.timeout(patient(300))
async def test_the_newest_score_arrives_once_whatever_spark_answers(outward: Outward) -> None:
    await outward.fake.forget()
    seed = int(os.environ.get("FAULT_SEED") or secrets.randbits(32))
    chance = random.Random(seed)  # noqa: S311 - it hides nothing
    print(f"FAULT_SEED={seed}")  # noqa: T201 - to repeat a failure
    async with worker_elsewhere(outward.settings), worker_elsewhere(outward.settings):
        works = [await hand_in(outward, chance, number < FILES) for number in range(WORKS)]
        await outward.fake.script("/grades", *chance.choices(FAULTS, k=WORKS))
        await outward.fake.script("/receipts", *chance.choices(FAULTS, k=FILES))
        for number in range(SCORES):
            await asyncio.gather(*(give(outward, work, 10 * number + 5) for work in works))
        async with asyncio.timeout(patient(120)):
            while await outward.stores.execute("SELECT id FROM spark.jobs"):
                await pass_time(outward)
                await asyncio.sleep(0.5)  # they look once a second
    newest = [grade["score"] for grade in (await outward.fake.gradebook()).values()]
    assert newest == [10 * (SCORES - 1) + 5] * WORKS
    sent = Counter((each["grade_id"], each["version"]) for each in await outward.fake.effects())
    assert set(sent.values()) == {1}
    assert len({each["submission_id"] for each in await outward.fake.receipts()}) == FILES
    assert await find_faults(outward.stores, []) == NO_FAULTS


async def hand_in(outward: Outward, chance: random.Random, has_file: bool) -> dict[str, Any]:  # noqa: FBT001
    urls = []
    if has_file:
        name = f"{secrets.token_hex(4)}.txt"
        urls.append(await outward.fake.serve_file(name, f"Rain in {name}".encode()))
        await outward.fake.script(urlsplit(urls[0]).path, chance.choice(FAULTS))
    user_id, body = await outward.hand_in(*urls)
    return {"user_id": user_id, "task_id": body["task_id"]}


async def give(outward: Outward, work: dict[str, Any], score: int) -> None:
    client = outward.elsewhere.spark.browser
    grade = work | {"score": score}
    answer = await client.post("/internal/v1/grades", json=grade, headers=outward.main_app)
    assert answer.status_code == 202, answer.text


async def pass_time(outward: Outward) -> None:
    """Waits and pauses are over, and an operator revives what met eight faults in a row."""
    await outward.stores.execute("UPDATE spark.jobs SET run_at = now() WHERE state = 'waiting'")
    await outward.stores.execute(
        "UPDATE spark.job_targets SET paused_until = now() WHERE paused_until IS NOT NULL"
    )
    for kind in ("grade", "receipt", "download"):
        answer = await outward.elsewhere.spark.browser.post(
            "/internal/v1/jobs/retry", json={"kind": kind}, headers=outward.main_app
        )
        assert answer.status_code == 202, answer.text
