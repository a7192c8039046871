"""Runs migrations over asyncpg: on the connection of `app.migrate`, or on one of their own."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from app.database import create_engine
from app.models import SPARK, Table
from app.settings import Settings, load_settings


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name in (None, SPARK),
        version_table_schema=SPARK,
        compare_server_default=True,
        # A text of all statements is for a transaction that is open already.
        transactional_ddl=False if context.is_offline_mode() else None,
        has_own_transactions=not connection.in_transaction(),  # as app.migrate.build_index asks
    )
    with context.begin_transaction():
        context.run_migrations()


async def main(settings: Settings) -> None:
    engine = create_engine(settings)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


given = context.config.attributes.get("connection")
if given is None:
    asyncio.run(main(context.config.attributes.get("settings") or load_settings()))
else:
    run(given)
