"""Runs migrations over asyncpg: one transaction, one runner at a time."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from app.database import create_engine
from app.models import SPARK, Table
from app.settings import Settings, load_settings

ONE_RUNNER = 7_265_737_461  # the advisory lock that makes a second runner wait


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name in (None, SPARK),
        version_table_schema=SPARK,
        compare_server_default=True,
    )
    with context.begin_transaction():
        connection.execute(text(f"select pg_advisory_xact_lock({ONE_RUNNER})"))
        connection.execute(text(f"create schema if not exists {SPARK}"))
        # A role named like our schema would get the tables of `public` in it.
        if connection.scalar(text("select current_schema()")) != "public":
            raise RuntimeError("the database role's search_path must begin with public")
        context.run_migrations()


async def main(settings: Settings) -> None:
    patient = settings.model_copy(update={"statement_timeout_seconds": 600})
    engine = create_engine(patient)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


asyncio.run(main(context.config.attributes.get("settings") or load_settings()))
