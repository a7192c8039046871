"""Every list and read of the internal API on a full database.

    .venv/bin/python -m bench.scale seed [--completions 1000000 --events 10000000]
    .venv/bin/python -m bench.scale measure

The database is one of its own under `.local/scale`; removing that folder removes it. `seed` fills
an empty one in one transaction: indexes and constraints are taken off, and put on again when the
rows are there, so that they hold. `measure` serves the application and asks over HTTP, one request
after the other. A list is followed for some pages.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from pydantic import SecretStr

from app.database import migrate
from app.embedded.servers import run_servers
from app.settings import Settings
from bench.scale_rows import FUNCTIONS, STATEMENTS, fill

FOLDER = Path(__file__).parent.parent / ".local" / "scale"

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


def _address(settings: Settings) -> str:
    assert settings.database_url
    return settings.database_url.get_secret_value().replace("+asyncpg", "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    acts = parser.add_subparsers(dest="act", required=True)
    seeding = acts.add_parser("seed")
    seeding.add_argument("--completions", type=int, default=1_000_000)
    seeding.add_argument("--events", type=int, default=10_000_000)
    acts.add_parser("measure")
    asked = parser.parse_args()
    with run_servers(FOLDER, postgres=True, s3=True) as servers:
        settings = Settings(
            _env_file=None,
            database_url=SecretStr(servers["DATABASE_URL"]),
        )
        migrate(settings)
        asyncio.run(seed(settings, asked.completions, asked.events))


if __name__ == "__main__":
    main()
