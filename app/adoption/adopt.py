"""Adopting the live Optio database (ADOPTION 6): first looked at and planned, then done.

Each step looks for itself what is missing, so whatever was ended half-way is finished by the next.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Literal
from uuid import UUID

from sqlalchemy import text

from app.adoption.add_indexes import add_indexes, plan_indexes
from app.adoption.alter_tables import alter_tables, plan_alterations
from app.adoption.compare import compare
from app.adoption.finding import Finding
from app.adoption.inspect_database import MIGRATION_MISSING
from app.adoption.inspect_rows import inspect_rows
from app.adoption.map_courses import map_courses, plan_courses
from app.adoption.move_in import move_in, plan_schema, require_owner
from app.adoption.organization import judge_organization
from app.adoption.read_catalogue import read_catalogue
from app.database import Session, Sessions, create_engine
from app.migrate import Tell, UnfitDatabaseError, kind_of, newest_revisions, schema_is_current
from app.settings import Settings

ONE_ADOPTER = 7_265_737_464  # an advisory lock: two that build indexes would wait for each other

Part = Literal["alter", "indexes", "courses"]

_TAKE_TURN = text(f"select pg_try_advisory_lock({ONE_ADOPTER})")
# Building an index waits for transactions, longer than a host may let a statement take; but no
# longer than somebody is there for whom it is built.
_WAIT = text(
    "select set_config('statement_timeout', '0', false),"
    " set_config('client_connection_check_interval', '1s', false)"
)
_END_TURN = text(f"select pg_advisory_unlock({ONE_ADOPTER})")
_PROCESS = text("select pg_backend_pid()")


class AnotherAdoptsError(Exception):
    """Two at once would only disturb each other."""


async def look(
    sessions: Sessions, parts: Collection[Part], organization_id: UUID | None
) -> list[Finding]:
    """What is found here, and what `apply` with these parts would do. Changes nothing."""
    async with _reading(sessions) as session:
        try:
            kind = await session.run_sync(kind_of)
        except UnfitDatabaseError as unfit:
            reason, _, step = str(unfit).partition("\n")
            return [Finding("refuse", "database", reason, step or None)]
        if kind == "own":
            step = "`python -m app migrate` is all it needs"
            return [Finding("refuse", "database", "no Optio application is in it", step)]
        found = await _look_at_tables(session, organization_id, alters="alter" in parts)
        found += await inspect_rows(session)
        found += await session.run_sync(plan_schema, is_adopted=kind == "adopted")
        if kind == "adopted" and not await schema_is_current(sessions, newest_revisions()):
            found.append(MIGRATION_MISSING)
        if {"alter", "indexes"} & set(parts):
            found += await session.run_sync(require_owner)
        found += await plan_courses(session, asked="courses" in parts)
        found += await plan_indexes(session, asked="indexes" in parts)
    return found


async def _look_at_tables(
    session: Session, organization_id: UUID | None, *, alters: bool
) -> list[Finding]:
    """What is known better than from the catalogue alone stands in place of its finding."""
    catalogue = await read_catalogue(session)
    better = await plan_alterations(session, catalogue) if alters else []
    if organization := await judge_organization(session, catalogue, organization_id):
        better.append(organization)
    subjects = {finding.subject for finding in better}
    return [*(each for each in compare(catalogue) if each.subject not in subjects), *better]


async def apply(
    sessions: Sessions, found: Sequence[Finding], parts: Collection[Part], tell: Tell
) -> Sequence[Finding]:
    """Do what `look` found that would be done. Refusals that came up meanwhile stop it, and are
    returned; what was done until then stays.

    Raises AnotherAdoptsError and TablesInUseError.
    """
    async with _one_adopter(sessions) as outside:
        if "alter" in parts:
            refused = await alter_tables(sessions, outside, tell)
            if refused:
                return refused
        async with _reading(sessions) as session:
            kind = await session.run_sync(kind_of)
        if kind == "main app":
            await move_in(sessions, found, tell)
        if "courses" in parts:
            await map_courses(sessions, tell)
        if "indexes" in parts:
            await add_indexes(outside, tell)
    return []


async def shares_connections(settings: Settings) -> bool:
    """Whether a pooler in transaction mode is between: there two clients that are both connected
    meet the same process of the server, and locks of a session, or an index that is built outside
    of a transaction, are nobody's.
    """
    engine = create_engine(settings.model_copy(update={"database_transaction_pooler": True}))
    try:
        async with engine.connect() as one, engine.connect() as other:
            met = []
            for client in (one, other):
                met.append(await client.scalar(_PROCESS))
                await client.rollback()
    finally:
        await engine.dispose()
    return bool(met[0] == met[1])


@asynccontextmanager
async def _reading(sessions: Sessions) -> AsyncIterator[Session]:
    """In a transaction that cannot write."""
    async with sessions() as session:
        reading = await session.execution_options(postgresql_readonly=True)
        async with reading.begin():
            yield reading


@asynccontextmanager
async def _one_adopter(sessions: Sessions) -> AsyncIterator[Session]:
    """A session outside of any transaction."""
    async with sessions() as session:
        outside = await session.execution_options(isolation_level="AUTOCOMMIT")
        if not await outside.scalar(_TAKE_TURN):
            raise AnotherAdoptsError
        await outside.execute(_WAIT)
        try:
            yield outside
        finally:
            await outside.execute(_END_TURN)
