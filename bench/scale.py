"""Every list and read of the internal API on a full database.

    .venv/bin/python -m bench.scale seed [--completions 1000000 --events 10000000]
    .venv/bin/python -m bench.scale measure

The database is one of its own under `.local/scale`; removing that folder removes it. `seed` fills
an empty one in one transaction: indexes and constraints are taken off, and put on again when the
rows are there, so that they hold. `measure` serves the application and asks over HTTP, one request
after the other: p50, p95, the longest and the first, and what each took of the CPU, which a busy
machine does not change. A list is followed for some pages.
"""

import argparse
import asyncio
import json
import logging
import os
import secrets
import statistics
import time
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import psutil
from pydantic import SecretStr

from app.accounts.console_sessions import open_console
from app.accounts.service_keys import create_key
from app.activity.hours import count_hours
from app.api.dependencies import Resources
from app.api.paging import seal_cursor
from app.embedded.servers import run_servers
from app.logs import configure_logs
from app.migrate import migrate
from app.settings import Settings
from bench import wire
from bench.scale_rows import FUNCTIONS, STATEMENTS, fill
from tests.support.running import Running, run_app

FOLDER = Path(__file__).parent.parent / ".local" / "scale"
SAMPLES = 40  # of each name in a path
PAGES = 3  # of each list
GOAL_MS, PAGE_GOAL_MS = 50, 300  # at p95, of the API and of the console

# What is asked: a path with names for which each of SAMPLES is put in.
ASKED = (
    "/internal/v1/completions/{completion_id}",
    "/internal/v1/submissions?limit={limit}",
    "/internal/v1/submissions?user_id={user_id}",
    "/internal/v1/submissions?spark_user_id={spark_user_id}",
    "/internal/v1/submissions?spark_assignment_id={spark_assignment_id}",
    "/internal/v1/submissions?quest_id={quest_id}",
    "/internal/v1/submissions?received_from={day}&received_to={day_after}",
    "/internal/v1/submissions?user_id={user_id}&quest_id={quest_id}",
    "/internal/v1/submissions?spark_assignment_id={spark_assignment_id}&received_from={day}",
    "/internal/v1/submissions?outcome=current",
    "/internal/v1/submissions?outcome=replaced",
    "/internal/v1/submissions?outcome=replaced&user_id={user_id}",
    "/internal/v1/submissions?outcome=replaced&quest_id={quest_id}",
    "/internal/v1/submissions?outcome=replaced&spark_assignment_id={spark_assignment_id}",
    "/internal/v1/submissions?outcome=replaced&received_from={day}&received_to={day_after}",
    "/internal/v1/submissions/{submission_id}",
    "/internal/v1/explain?spark_user_id={spark_user_id}&spark_assignment_id={spark_assignment_id}",
    "/internal/v1/explain?request_id={request_id}",
    "/internal/v1/students/{user_id}/xp?limit={limit}",
    "/internal/v1/evidence/documents/{task_id}?user_id={user_id}",
    "/internal/v1/evidence/documents/by-id/{document_id}?user_id={owner_id}",
    "/internal/v1/deliveries?limit={limit}",
    "/internal/v1/deliveries?status=success",
    "/internal/v1/deliveries?status=refused",
    "/internal/v1/deliveries?code=assignment_not_found",
    "/internal/v1/deliveries?code=field_invalid",
    "/internal/v1/deliveries?code=signature_invalid",
    "/internal/v1/deliveries?spark_user_id={spark_user_id}",
    "/internal/v1/deliveries?spark_user_id={spark_user_id}&status=refused",
    "/internal/v1/deliveries?spark_user_id=stranger_1&status=success",
    "/internal/v1/deliveries?spark_assignment_id={spark_assignment_id}",
    "/internal/v1/deliveries?spark_assignment_id={spark_assignment_id}&status=refused",
    "/internal/v1/deliveries?spark_assignment_id=unknown_1&status=success",
    "/internal/v1/deliveries?request_id={request_id}",
    "/internal/v1/deliveries?webhook_id={webhook_id}",
    "/internal/v1/deliveries?received_from={day}&received_to={day_after}",
    "/internal/v1/deliveries?received_from={day}&received_to={day_after}&outcome=refused",
    "/internal/v1/deliveries/counts?received_from={day}&received_to={day_after}",
    "/internal/v1/deliveries/{delivery_id}",
    "/internal/v1/events?limit={limit}",
    "/internal/v1/events?after={position}",
    "/internal/v1/events?limit={limit}&after={waiting}",
    "/internal/v1/activity",
    "/internal/v1/activity?limit=500",
    "/internal/v1/activity?status=failed",
    "/internal/v1/activity?status=success",
    "/internal/v1/activity?event_type=spark_webhook_success",
    "/internal/v1/activity?event_type=spark_webhook_failed",
    "/internal/v1/activity?event_type=spark_account_linked",
    "/internal/v1/activity?event_type=spark_token_code_reuse",
    "/internal/v1/activity?event_type=spark_unknown",
    "/internal/v1/activity?request_id={request_id}",
    "/internal/v1/activity?start_date={day}&end_date={day_after}",
    "/internal/v1/activity?start_date={long_ago}",
    "/internal/v1/activity?start_date={long_ago}&event_type=spark_token_code_reuse",
    "/internal/v1/lms/platforms",
    "/console",
    "/console?range=7d",
    "/console?range=30d",
    "/console/system",
    "/console/deliveries",
    "/console/deliveries?state=refused",
    "/console/deliveries?state=taken",
    "/console/deliveries?state=taken&code=assignment_not_found",
    "/console/deliveries?code=assignment_not_found",
    "/console/deliveries?code=none_has_it",
    "/console/deliveries?student=stranger_1&state=taken",
    "/console/deliveries?student={spark_user_id}&assignment={spark_assignment_id}&state=refused",
    "/console/deliveries?to={day}",
    "/console/deliveries?to={long_ago}",
    "/console/deliveries?from={day}&to={day_after}&state=refused",
    "/console/deliveries?student={spark_user_id}",
    "/console/deliveries?assignment={spark_assignment_id}&state=refused",
    "/console/deliveries?code=field_invalid&from={day}",
    "/console/deliveries?from={day}&to={day_after}",
    "/console/deliveries/{delivery_id}",
    "/console/deliveries/{delivery_id}?text=shown",
    "/console/deliveries/replay",
    "/console/deliveries/replay?from={day}&to={day_after}",
    "/console/deliveries/replay?code=user_not_found",
    "/console/deliveries/replay?code=assignment_not_found",
    "/console/explain?student={spark_user_id}&assignment={spark_assignment_id}",
    "/console/explain?request={request_id}",
    "/console/outbound",
    "/console/outbound?state=dead",
)
# Of a column of a table, the same rows each time: what is taken from one table belongs together.
TAKEN = {
    "completion_id": ("id", "quest_task_completions"),
    "submission_id": ("id", "spark.submission_revisions"),
    "document_id": ("id", "user_task_evidence_documents"),
    "owner_id": ("user_id", "user_task_evidence_documents"),
    "user_id": ("user_id", "user_quest_tasks"),
    "quest_id": ("quest_id", "user_quest_tasks"),
    "task_id": ("id", "user_quest_tasks"),
    "delivery_id": ("id", "spark.deliveries"),
    "request_id": ("request_id", "spark.deliveries"),
    "webhook_id": ("webhook_id", "spark.deliveries"),
    "spark_user_id": ("spark_user_id", "spark.deliveries"),
    "spark_assignment_id": ("spark_assignment_id", "spark.deliveries"),
}
_TAKE = """
SELECT {column} FROM {table} TABLESAMPLE BERNOULLI (1) REPEATABLE (7)
ORDER BY md5(id::text) LIMIT {n}
"""
MADE = {
    "day": "current_date - 2 * n",
    "day_after": "current_date - 2 * n + 1",
    "long_ago": "current_date - 91",
    "limit": "CASE WHEN n % 2 = 0 THEN 200 ELSE 50 END",
    "position": "(SELECT max(number) FROM spark.events) / {n} * n",
    "waiting": "(SELECT max(position) FROM spark.events)",
}
_MAKE = "SELECT {made} FROM generate_series(0, {n} - 1) AS n"
POSITIONS = ("position", "waiting")

_RULES = """
SELECT conrelid::regclass::text AS place, quote_ident(conname) AS name, contype = 'f' AS points,
  pg_get_constraintdef(oid) AS rule
FROM pg_constraint WHERE contype IN ('p', 'u', 'f')
  AND connamespace IN ('public'::regnamespace, 'spark'::regnamespace)
  AND conrelid <> 'spark.alembic_version'::regclass
ORDER BY points DESC
"""
_INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS rule
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace IN ('public'::regnamespace, 'spark'::regnamespace)
  AND indexrelid NOT IN (SELECT conindid FROM pg_constraint)
"""
_QUICK = ("SET LOCAL maintenance_work_mem = '1GB'", "SET LOCAL work_mem = '256MB'")


async def seed(settings: Settings, completions: int, events: int) -> None:
    connection = await asyncpg.connect(_address(settings))

    async def run(name: str, statement: str) -> None:
        began = time.perf_counter()
        await connection.execute(statement)
        print(f"{time.perf_counter() - began:7.1f} s  {name}", flush=True)

    try:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM users)"):
            raise SystemExit(f"The database in {FOLDER} is not empty.")
        async with connection.transaction():
            for statement in (*_QUICK, *FUNCTIONS):
                await connection.execute(fill(statement, completions=completions, events=events))
            put_back = await _take_off(connection)
            for name, statement in STATEMENTS.items():
                await run(name, fill(statement, completions=completions, events=events))
            for name, statement in put_back:
                await run(name, statement)
        await run("vacuum", "VACUUM ANALYZE")
    finally:
        await connection.close()


async def _take_off(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    """Indexes and constraints; the statements that put them on again, with their names."""
    rules, indexes = await connection.fetch(_RULES), await connection.fetch(_INDEXES)
    for rule in rules:
        await connection.execute(f"ALTER TABLE {rule['place']} DROP CONSTRAINT {rule['name']}")
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    added = [
        (rule["name"], f"ALTER TABLE {rule['place']} ADD CONSTRAINT {rule['name']} {rule['rule']}")
        for rule in reversed(rules)  # what others point to comes first
    ]
    first_pointing = sum(not rule["points"] for rule in rules)
    made = [(index["name"], index["rule"]) for index in indexes]
    return [*added[:first_pointing], *made, *added[first_pointing:]]


async def measure(running: Running, only: str) -> None:
    opened: Resources = running.app.state.resources
    key = opened.settings.internal_api_keys[0].get_secret_value()
    began = time.perf_counter()
    await count_hours(opened.sessions)
    print(f"{time.perf_counter() - began:.1f} s to count the hours that are over")
    names = await _sample(opened)
    visitor = await create_key(opened.sessions, "bench", ["read"])
    headers = {
        "Authorization": f"Bearer {key}",
        "Cookie": f"console={await open_console(opened.sessions, visitor)}",
    }
    connection = await wire.Connection.open(running.url)
    for asked in (each for each in ASKED if only in each):
        goal = PAGE_GOAL_MS if asked.startswith("/console") else GOAL_MS
        filled = [
            asked.format(**{name: values[n % len(values)] for name, values in names.items()})
            for n in range(SAMPLES)
        ]
        spent: list[float] = []
        cpu = _cpu_seconds()
        for path in filled:
            await _time(connection, path, headers, spent)
        cpu = (_cpu_seconds() - cpu) * 1000 / len(spent)
        first = spent[0]
        spent.sort()
        p95 = spent[len(spent) * 95 // 100]
        print(
            f"{statistics.median(spent):7.1f} {p95:7.1f} {spent[-1]:7.1f} {first:7.1f} ms,"
            f" {cpu:6.1f} of CPU"
            f"{' SLOW' if p95 > goal else '     '} {asked}",
            flush=True,
        )
    connection.close()


def _cpu_seconds() -> float:
    """Of this process and its servers, what they have started included."""
    me = psutil.Process()
    return sum(sum(each.cpu_times()[:4]) for each in (me, *me.children(recursive=True)))


async def _time(
    connection: wire.Connection, path: str, headers: dict[str, str], spent: list[float]
) -> None:
    """Milliseconds of the answer, and of the pages that follow."""
    cursor: str | None = ""
    for _ in range(PAGES):
        name = "after" if "/events" in path else "cursor"
        sign = "&" if "?" in path else "?"
        asked = f"{path}{sign}{name}={cursor}" if cursor else path
        request = wire.request_bytes("GET", asked, headers=headers)
        began = time.perf_counter()
        status, body = await connection.call(request)
        spent.append((time.perf_counter() - began) * 1000)
        assert status == 200, (asked, status, body)
        cursor = json.loads(body).get("next_cursor") if b"next_cursor" in body else None
        if cursor is None or "after=" in path:
            return


async def _sample(opened: Resources) -> dict[str, list[str]]:
    connection = await asyncpg.connect(_address(opened.settings))
    statements = {
        name: _TAKE.format(column=column, table=table, n=SAMPLES)
        for name, (column, table) in TAKEN.items()
    } | {name: _MAKE.format(made=made.format(n=SAMPLES), n=SAMPLES) for name, made in MADE.items()}
    names = {
        name: [str(row[0]) for row in await connection.fetch(statement)]
        for name, statement in statements.items()
    }
    await connection.close()
    path, key = "/internal/v1/events", opened.cursor_keys[0]
    for name in POSITIONS:
        names[name] = [seal_cursor(path, int(place), key) for place in names[name]]
    return names


def _address(settings: Settings) -> str:
    assert settings.database_url
    return settings.database_url.get_secret_value().replace("+asyncpg", "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    acts = parser.add_subparsers(dest="act", required=True)
    seeding = acts.add_parser("seed")
    seeding.add_argument("--completions", type=int, default=1_000_000)
    seeding.add_argument("--events", type=int, default=10_000_000)
    acts.add_parser("measure").add_argument("--only", default="", help="/console, for example")
    asked = parser.parse_args()
    configure_logs(logging.WARNING)
    with run_servers(FOLDER, postgres=True, s3=True) as servers:
        os.environ.update(servers)
        settings = Settings(_env_file=None, internal_api_keys=(SecretStr(secrets.token_hex(32)),))
        migrate(settings)
        if asked.act == "seed":
            asyncio.run(seed(settings, asked.completions, asked.events))
        else:
            wire.run(serve(settings, asked.only))


async def serve(settings: Settings, only: str) -> None:
    async with run_app(settings) as running:
        await measure(running, only)


if __name__ == "__main__":
    main()
