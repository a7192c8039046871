"""JSON submissions a second, beside plain asyncpg that writes the same rows without HTTP.

    .venv/bin/python -m bench.submissions

The service is a real process; its students sign in first. Then 50 connections hand in one text
each student, and 50 tasks write the very rows this left, student by student in one transaction,
over as many database connections as the service has, into tables with the same columns, indexes
and foreign keys. Rounds alternate and the median ratio counts. At the end a storm: 200 identical
submissions at once beside 200 different ones.
"""

import asyncio
import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import psutil
from pydantic import SecretStr

from app.settings import Settings
from app.signing import sign, sign_token, token_key
from bench import wire
from tests.support.checkout import Serving, make_checkout
from tests.support.sender import Sender
from tests.support.spark import SUBMISSION

ROUNDS, SUBMISSIONS, AT_ONCE = 5, 500, 50
STORMS, STORM = 3, 200
SIGNING_IN = 8  # at once
STORM_GOAL = 1.5
NO_LIMIT = "1000000"

Rows = list[tuple[str, list[tuple[Any, ...]]]]


@dataclass
class Answers:
    """What the service answered, in the order it did."""

    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, status: int, body: bytes, seconds: float) -> None:
        self.statuses.append(status)
        self.bodies.append(body)
        self.seconds.append(seconds)

    @property
    def counted(self) -> dict[int, int]:
        return dict(Counter(self.statuses))


class Bench:
    """A running service, its students, and the database seen from outside."""

    def __init__(self, serving: Serving, pool: asyncpg.Pool, *, prefix: str = "bench") -> None:
        self._url = serving.url
        self._sender = Sender(serving.url, serving.checkout.secrets)
        self._sso_secret = SecretStr(serving.checkout.secrets["SPARK_SSO_SECRET"])
        self._process = psutil.Process(serving.process.pid)
        self._pool = pool
        self._prefix = prefix  # of its students
        self._signed_in = 0

    async def sign_in(self, count: int) -> list[str]:
        first = self._signed_in
        self._signed_in += count
        students = [f"{self._prefix}_{number}" for number in range(first, first + count)]
        requests = [
            wire.request_bytes("GET", f"/spark/sso?token={self._token(student)}")
            for student in students
        ]
        answers = Answers()
        await wire.in_turn(self._url, requests, at_once=SIGNING_IN, done=answers.add)
        assert answers.counted == {302: count}, answers.counted
        return students

    def _token(self, student: str) -> str:
        """With a name of one's own: the main app seeks a free slug for each of the same name."""
        now = int(time.time())
        claims = {"sub": student, "email": f"{student}@example.com", "given_name": student}
        times = {"iat": now, "exp": now + 600}
        return sign_token(claims | times, key=token_key(self._sso_secret))

    def request(self, student: str) -> bytes:
        message = self._sender.message(student, submission_text="Rain fell on four of seven days.")
        return wire.request_bytes(
            "POST",
            SUBMISSION,
            headers={
                "Content-Type": "application/json",
                "X-Spark-Signature": sign(self._sender.webhook_secret, message),
            },
            body=message,
        )

    async def hand_in(self, requests: Iterable[bytes], *, at_once: int) -> tuple[float, Answers]:
        """The seconds it took."""
        answers = Answers()
        took = await wire.in_turn(self._url, requests, at_once=at_once, done=answers.add)
        return took, answers

    async def round(self) -> tuple[float, float, list[float]]:
        """Submissions a second through the service and by asyncpg, and seconds of each answer."""
        students = await self.sign_in(SUBMISSIONS)
        requests = [self.request(student) for student in students]
        before = await self._pool.fetchval("SELECT pg_current_xact_id()::text::bigint")
        cpu, own = sum(self._process.cpu_times()[:2]), time.process_time()
        took, answers = await self.hand_in(requests, at_once=AT_ONCE)
        cpu, own = sum(self._process.cpu_times()[:2]) - cpu, time.process_time() - own
        assert answers.counted == {200: SUBMISSIONS}, answers.counted
        rows = await written_since(self._pool, before)
        assert len(rows) == SUBMISSIONS
        plain = await seconds(_write_each(self._pool, rows))
        through, floor = SUBMISSIONS / took, SUBMISSIONS / plain
        tables = sum(len(values) for _, values in rows[0])
        print(
            f"service {through:6.0f}/s   asyncpg {floor:6.0f}/s ({tables} rows each)"
            f"   ratio {through / floor:.2f}   service {cpu / SUBMISSIONS * 1000:.2f} CPU ms each,"
            f" sender {own / took:.0%} of a core"
        )
        return through, floor, answers.seconds

    async def storm(self) -> float:
        """How much longer identical ones take than different ones."""
        students = await self.sign_in(STORM + 1)
        different, others = await self.hand_in(map(self.request, students[1:]), at_once=STORM)
        same = [self.request(students[0])] * STORM
        identical, answers = await self.hand_in(same, at_once=STORM)
        bodies = [json.loads(body) for body in answers.bodies]
        ids = {body["submission_id"] for body in bodies if "submission_id" in body}
        print(
            f"storm of {STORM}: identical {identical:.2f} s {answers.counted}, {len(ids)} id;"
            f" different {different:.2f} s {others.counted}: {identical / different:.2f}"
        )
        return identical / different


async def prepare(pool: asyncpg.Pool) -> None:
    """Schema `bench`: each of our tables again, its foreign keys pointing to the real ones."""
    tables = await pool.fetch(
        "SELECT oid, oid::regclass::text AS name, relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace IN ('public'::regnamespace, 'spark'::regnamespace)"
    )
    await pool.execute("CREATE SCHEMA bench")
    for table in tables:
        copy = f"bench.{table['relname']}"
        await pool.execute(f"CREATE TABLE {copy} (LIKE {table['name']} INCLUDING ALL)")
        keys = await pool.fetch(
            "SELECT pg_get_constraintdef(oid) AS rule FROM pg_constraint"
            " WHERE conrelid = $1 AND contype = 'f'",
            table["oid"],
        )
        for key in keys:
            await pool.execute(f"ALTER TABLE {copy} ADD {key['rule']}")


_LINKS = """
SELECT child.table_schema || '.' || child.table_name AS name, child.table_name AS copy,
  CASE WHEN own.column_name IS NOT NULL THEN 'user_id' ELSE (
    SELECT format('(SELECT user_id FROM %s AS parent WHERE parent.id = child.%I)',
      key.confrelid::regclass, attribute.attname)
    FROM pg_constraint AS key
    JOIN pg_attribute AS attribute ON attrelid = conrelid AND attnum = conkey[1]
    JOIN pg_attribute AS theirs ON theirs.attrelid = confrelid AND theirs.attname = 'user_id'
    WHERE contype = 'f' AND cardinality(conkey) = 1
      AND conrelid = format('%I.%I', child.table_schema, child.table_name)::regclass LIMIT 1
  ) END AS student
FROM information_schema.tables AS child
LEFT JOIN information_schema.columns AS own
  ON (own.table_schema, own.table_name, own.column_name)
    = (child.table_schema, child.table_name, 'user_id')
WHERE child.table_schema IN ('public', 'spark')
"""


async def written_since(pool: asyncpg.Pool, transaction: int) -> list[Rows]:
    """For each student an INSERT into the copy of each table, and the rows it takes.

    A row is a student's by its own `user_id`, or by that of a row it points to.
    """
    of_student: dict[UUID, Rows] = defaultdict(list)
    for table in await pool.fetch(_LINKS):
        if table["student"] is None:
            continue
        found = await pool.fetch(
            f"SELECT {table['student']} AS student, child.* FROM {table['name']} AS child"  # noqa: S608 - tables of ours
            " WHERE xmin::text::bigint >= $1 ORDER BY 1",
            transaction,
        )
        rows: dict[UUID, list[tuple[Any, ...]]] = defaultdict(list)
        for student, *values in found:
            rows[student].append(tuple(values))
        for student, values in rows.items():
            if student is not None:
                places = ", ".join(f"${place}" for place in range(1, len(values[0]) + 1))
                insert = (
                    f"INSERT INTO bench.{table['copy']} OVERRIDING SYSTEM VALUE VALUES ({places})"  # noqa: S608
                )
                of_student[student].append((insert, values))
    return list(of_student.values())


async def _write_each(pool: asyncpg.Pool, students: Sequence[Rows]) -> None:
    waiting = iter(students)

    async def work() -> None:
        for rows in waiting:
            async with pool.acquire() as connection, connection.transaction():
                for statement, values in rows:
                    await connection.executemany(statement, values)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def seconds(act: Coroutine[Any, Any, None]) -> float:
    clock: Callable[[], float] = asyncio.get_running_loop().time
    began = clock()
    await act
    return clock() - began


async def measure(serving: Serving) -> None:
    address = serving.stores.variables["DATABASE_URL"].replace("+asyncpg", "")
    size = Settings.model_fields["database_pool_size"].default
    async with asyncpg.create_pool(address, min_size=size, max_size=size) as pool:
        await prepare(pool)
        bench = Bench(serving, pool)
        await bench.round()  # warms both up
        print("-- now counted")
        rounds = [await bench.round() for _ in range(ROUNDS)]
        ratio = statistics.median(through / floor for through, floor, _ in rounds)
        spent = sorted(one for _, _, answers in rounds for one in answers)
        print(
            f"median: {statistics.median(through for through, *_ in rounds):.0f}/s, {ratio:.2f} of"
            f" plain asyncpg; p50 {spent[len(spent) // 2] * 1000:.0f} ms,"
            f" p99 {spent[len(spent) * 99 // 100] * 1000:.0f} ms"
        )
        storm = statistics.median([await bench.storm() for _ in range(STORMS)])
        print(f"median: identical ones take {storm:.2f} of different ones; target {STORM_GOAL}")


def main() -> None:
    limits = {"RATE_LIMIT_WEBHOOK": NO_LIMIT, "RATE_LIMIT_SSO": NO_LIMIT}
    with make_checkout() as checkout, checkout.serve(**limits) as serving:
        wire.run(measure(serving))


if __name__ == "__main__":
    main()
