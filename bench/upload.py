"""What the service adds: `python bench/upload.py` prints its speed beside that of the bare servers.

Files: MB/s through the service, and by a direct PUT of the same bytes to the same store. JSON:
submissions a second, and the very rows they left written again with plain asyncpg, one transaction
each. Ratios compare machines better than numbers do; the sender's own work counts on both sides.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import asyncpg  # type: ignore[import-untyped]
import httpx

from app.signing import sign
from tests.support.checkout import Serving, make_checkout
from tests.support.sender import MEBIBYTE, Sender, large_files
from tests.support.spark import SUBMISSION
from tests.support.stores import Stores

FILES = large_files(4, 50 * MEBIBYTE)
SUBMISSIONS = 200
AT_ONCE = 8
TABLES = (
    "user_quests",
    "user_quest_tasks",
    "quest_task_completions",
    "user_skill_xp",
    "user_task_evidence_documents",
    "spark.submission_revisions",
    "spark.xp_ledger",
    "spark.idempotency_keys",
)


def main() -> None:
    with make_checkout() as checkout, checkout.serve() as serving:
        sender = Sender(serving.url, checkout.secrets)
        total = sum(file.size for file in FILES) / 1e6
        direct = total / seconds(lambda: put_directly(serving.stores))
        through = total / seconds(lambda: hand_in_files(sender))
        print(f"files: {through:6.1f} MB/s, direct PUT {direct:6.1f} MB/s: {through / direct:.2f}")
        submitted = SUBMISSIONS / asyncio.run(hand_in_texts(serving, sender))
        plain = SUBMISSIONS / asyncio.run(write_rows_again(serving.stores))
        print(f"JSON:  {submitted:6.1f} /s, same rows by asyncpg {plain:6.1f} /s: ", end="")
        print(f"{submitted / plain:.2f}")


def seconds(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def put_directly(stores: Stores) -> None:
    for file in FILES:
        stores.put(file.name, b"".join(file.chunks()))


def hand_in_files(sender: Sender) -> None:
    with sender.begin(sender.message(sender.sign_in()), FILES) as upload:
        upload.send()
        assert upload.answer()[0] == 200


async def hand_in_texts(serving: Serving, sender: Sender) -> float:
    """Each by a student of its own, so that each makes every row."""
    messages = [
        sender.message(sender.sign_in(), submission_text="Rain.") for _ in range(SUBMISSIONS)
    ]
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False) as client:

        async def send(message: bytes) -> None:
            headers = {
                "Content-Type": "application/json",
                "X-Spark-Signature": sign(sender.webhook_secret, message),
            }
            answer = await client.post(SUBMISSION, content=message, headers=headers)
            assert answer.status_code == 200, answer.text

        return await timed([partial(send, message) for message in messages])


async def write_rows_again(stores: Stores) -> float:
    """Into tables with the same columns and indexes, one transaction for each student's rows."""
    address = stores.variables["DATABASE_URL"].replace("+asyncpg", "")
    async with asyncpg.create_pool(address, min_size=AT_ONCE, max_size=AT_ONCE) as pool:
        students = await pool.fetch("SELECT DISTINCT user_id FROM spark.submission_revisions")
        work = [await copy_of(pool, student["user_id"]) for student in students[:SUBMISSIONS]]
        await pool.execute("CREATE SCHEMA bench")
        for table in TABLES:
            name = table.rpartition(".")[2]
            await pool.execute(f"CREATE TABLE bench.{name} (LIKE {table} INCLUDING ALL)")

        async def write(rows: list[tuple[str, list[Any]]]) -> None:
            async with pool.acquire() as connection, connection.transaction():
                for statement, values in rows:
                    await connection.executemany(statement, values)

        return await timed([partial(write, rows) for rows in work])


async def copy_of(pool: Any, user_id: object) -> list[tuple[str, list[Any]]]:
    """For each table an INSERT and this student's rows."""
    copied = []
    for table in TABLES:
        rows = await pool.fetch(f"SELECT * FROM {table} WHERE user_id = $1", user_id)  # noqa: S608 - a table of ours
        if rows:
            places = ", ".join(f"${place}" for place in range(1, len(rows[0]) + 1))
            name = table.rpartition(".")[2]
            insert = f"INSERT INTO bench.{name} VALUES ({places})"  # noqa: S608
            copied.append((insert, [tuple(row) for row in rows]))
    return copied


async def timed(acts: Sequence[Callable[[], Awaitable[None]]]) -> float:
    """The seconds they take, AT_ONCE at a time."""
    waiting = iter(acts)

    async def work() -> None:
        for act in waiting:
            await act()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
