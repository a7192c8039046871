"""Brings a database's schema up to date, as far as it is ours to change.

There are two branches of migrations (R28). A database of our own has both; in an adopted one
`public` is the main app's, and only `spark` is applied.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from alembic import command, op
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import Sessions, create_engine, sqlstate_of
from app.models import SPARK, Adoption
from app.settings import Settings

ALEMBIC_INI = Path(__file__).parent.parent / "alembic.ini"
ONE_RUNNER = 7_265_737_461  # the advisory lock that makes a second runner wait
STATEMENT_SECONDS = 600
TURN_SECONDS = 0.2
LOCK_SECONDS = 3  # who waits for a lock keeps all waiting who come after
PAUSES_SECONDS = (1, 2, 4, 8)  # between five tries
LOCKED = ("55P03", "40P01")  # lock not available, deadlock

OWN = ("optio", "spark")  # in this order: tables of `spark` refer to those of `optio`
ADOPTED = ("spark",)
MAIN_APP = {"quests", "user_quests", "users"}  # who has these three is an Optio application
NAMED = 5
NO_TABLE = ("42P01", "3F000")  # undefined table, undefined schema
NO_RIGHT = "42501"  # insufficient privilege

TAKE_TURN = text(f"select pg_advisory_xact_lock({ONE_RUNNER})")
_TRY_TURN = text(f"select pg_try_advisory_lock({ONE_RUNNER})")
_LIMIT_LOCKS = text(f"set lock_timeout = '{LOCK_SECONDS}s'")
_OLDEST = text(
    "select format('process %s of %s (%s), open for %s s', pid, usename, application_name,"
    " extract(epoch from now() - xact_start)::int) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null"
    " order by xact_start limit 1"
)
_RETURNING = re.compile(r" RETURNING [\w.]+;")  # what nobody reads, a block may not answer
_MAKE_SCHEMA = text(f"create schema if not exists {SPARK}")
_HAS_REVISIONS = text(f"select to_regclass('{SPARK}.alembic_version') is not null")
_REVISIONS = text(f"select version_num from {SPARK}.alembic_version")  # noqa: S608 - our own name
_IS_ADOPTED = select(select(Adoption.id).exists())
# Views and what an extension made are nobody's data.
_TABLES = text(
    "select relname from pg_class where relnamespace = 'public'::regnamespace"
    " and relkind in ('r', 'p', 'f') and not exists (select from pg_depend"
    " where classid = 'pg_class'::regclass and objid = pg_class.oid and deptype = 'e')"
    " order by relname"
)


Tell = Callable[[str], object]


class UnfitDatabaseError(Exception):
    """No migration may run here. Its lines say why, and what to do."""


def migrate(settings: Settings, tell: Tell = lambda _: None) -> str:
    """Bring the schema to the newest revision, a transaction for each. Tells of each step, and says
    how the schema is then. Safe to repeat and to run twice at once. Raises UnfitDatabaseError for a
    database that is neither ours nor adopted, a role that may not change it, or tables in use.

    Blocking, and runs its own event loop: for commands, never for a running service.
    """
    if settings.database_transaction_pooler:
        raise UnfitDatabaseError(
            "Behind a pooler in transaction mode locks are nobody's.\n"
            "Run migrate in session mode (Supabase: port 5432), not DATABASE_TRANSACTION_POOLER."
        )
    patient = settings.model_copy(update={"statement_timeout_seconds": STATEMENT_SECONDS})
    return asyncio.run(_migrate(patient, tell))


async def _migrate(settings: Settings, tell: Tell) -> str:
    engine = create_engine(settings)
    try:
        async with engine.connect() as connection:
            while not await connection.scalar(_TRY_TURN):  # one that waits would hold a snapshot
                await connection.rollback()
                await asyncio.sleep(TURN_SECONDS)
            if newer := await connection.run_sync(_find_newer):
                return newer
            await connection.execute(_MAKE_SCHEMA)  # also asks whether this role may change it
            while step := await connection.run_sync(_find_next):
                await _apply(connection, step, tell)
            return "The schema is up to date."
    except DBAPIError as failure:
        if sqlstate_of(failure) != NO_RIGHT:
            raise
        raise UnfitDatabaseError(
            "The role of DATABASE_URL may not change this schema.\n"
            "Run migrate as the role that made it: beside the main app the one that adopted."
        ) from failure
    finally:
        await engine.dispose()


def _find_newer(connection: Connection) -> str:
    """A sentence; empty where nothing is newer."""
    find_branches(connection)
    newest = newest_revisions()
    newer = [each for each in _read_applied(connection) if each > newest[branch_of(each)]]
    if not newer:
        return ""
    ours = ", ".join(newest[branch_of(each)] for each in newer)
    return f"The schema is newer ({', '.join(newer)}) than this version ({ours}); nothing to do."


def _find_next(connection: Connection) -> Script | None:
    applied = {branch_of(each): each for each in _read_applied(connection)}
    scripts = ScriptDirectory.from_config(alembic_config())
    missing = (
        script
        for branch in find_branches(connection)
        for script in reversed([*scripts.walk_revisions(head=f"{branch}@head")])
        if script.revision > applied.get(branch, "")
    )
    return next(missing, None)


async def _apply(connection: AsyncConnection, step: Script, tell: Tell) -> None:
    for pause in (*PAUSES_SECONDS, None):
        try:
            seconds = await connection.run_sync(_upgrade_to, step.revision)
        except DBAPIError as failure:
            if sqlstate_of(failure) not in LOCKED:
                raise
        else:
            tell(f"{step.revision} ({step.doc.rstrip('.')}): held its locks for {seconds:.2f} s.")
            return
        await connection.rollback()
        oldest = await connection.scalar(_OLDEST)
        in_use = f"{step.revision}: a table is in use; the oldest transaction: {oldest}."
        if pause is None:
            raise UnfitDatabaseError(f"{in_use}\nEnd it, and run migrate again: nothing was done.")
        tell(f"{in_use} Trying again in {pause} s.")
        await asyncio.sleep(pause)


def _upgrade_to(connection: Connection, revision: str) -> float:
    """Alembic's own transaction, so that a step may leave it. The seconds that it took."""
    connection.execute(_LIMIT_LOCKS)
    connection.commit()
    config = alembic_config()
    config.attributes["connection"] = connection
    began = time.monotonic()
    command.upgrade(config, revision)
    return time.monotonic() - began


def build_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """For a migration that does nothing else, since it leaves its transaction: an index on a table
    of ours that may be large, built while others write to it. Within the caller's it is plain.
    """
    context = op.get_context()
    build = partial(op.create_index, name, table, columns, schema=SPARK, **options)
    if not context.opts["has_own_transactions"]:
        build()
        return
    with context.autocommit_block():
        op.execute("set lock_timeout = 0")  # who waits here keeps nobody waiting
        op.execute(f"drop index concurrently if exists {SPARK}.{name}")  # what a kill has left
        build(postgresql_concurrently=True)


def upgrade(connection: Connection, *branches: str) -> None:
    """Apply what is missing of these branches, in their order and in the caller's transaction."""
    connection.execute(_MAKE_SCHEMA)
    config = alembic_config()
    config.attributes["connection"] = connection
    for branch in branches:
        command.upgrade(config, f"{branch}@head")


def upgrade_at_once(connection: Connection) -> None:
    """`upgrade` of branch `spark`, as one statement where nothing of it is there yet: in a hundred,
    whoever is far from the server would keep locks for seconds.
    """
    if connection.scalar(_HAS_REVISIONS):
        upgrade(connection, SPARK)
        return
    connection.execute(_MAKE_SCHEMA)
    config = alembic_config()
    config.attributes["connection"] = connection
    config.output_buffer = StringIO()
    command.upgrade(config, f"{SPARK}@head", sql=True)
    script = _RETURNING.sub(";", config.output_buffer.getvalue())
    connection.exec_driver_sql(f"do $at_once$ begin {script} end $at_once$")


def find_branches(connection: Connection) -> tuple[str, ...]:
    """Those that belong here. Raises UnfitDatabaseError for a database that may not be changed."""
    match kind_of(connection):
        case "own":
            return OWN
        case "adopted":
            return ADOPTED
        case "main app":
            raise UnfitDatabaseError(
                "This database holds an Optio application, whose tables migrate may not change.\n"
                "Look with `python -m app adopt`."
            )


def kind_of(connection: Connection) -> Literal["own", "adopted", "main app"]:
    """Our own is also one that is empty. Raises UnfitDatabaseError for any other database. The
    answer holds as long as the caller has the lock of ONE_RUNNER.
    """
    # A role named like our schema would get the tables of `public` in it.
    if connection.scalar(text("select current_schema()")) != "public":
        raise UnfitDatabaseError("The search_path of the database's role must begin with public.")
    applied = _read_applied(connection)
    if applied and "optio" in _branches_of(applied):
        return "own"
    if applied and connection.scalar(_IS_ADOPTED):
        return "adopted"
    tables = list(connection.scalars(_TABLES))
    if set(tables) >= MAIN_APP:
        return "main app"
    if tables:
        names = ", ".join(tables[:NAMED])
        more = f" and {len(tables) - NAMED} more" if len(tables) > NAMED else ""
        raise UnfitDatabaseError(
            f"This database holds tables that are not ours: {names}{more}.\n"
            "Name an empty database in DATABASE_URL, or that of the Optio application."
        )
    return "own"


def _read_applied(connection: Connection) -> list[str]:
    if not connection.scalar(_HAS_REVISIONS):
        return []
    return sorted(connection.scalars(_REVISIONS))


def _branches_of(applied: Iterable[str]) -> set[str]:
    for revision in applied:
        if branch_of(revision) not in OWN:
            raise UnfitDatabaseError(
                f"This database has a revision that no version since the first release made:"
                f" {revision}.\nStart with an empty database (`make run`: remove its data, README"
                " says where)."
            )
    return set(map(branch_of, applied))


async def schema_is_current(sessions: Sessions, newest: Mapping[str, str]) -> bool:
    """Whether no migration of this code is missing.

    Raises one of OUTAGES when the database does not answer.
    """
    try:
        async with sessions() as session, session.begin():
            applied = (await session.execute(_REVISIONS)).scalars().all()
    except DBAPIError as failure:
        if sqlstate_of(failure) in NO_TABLE:
            return False
        raise
    return not is_older(applied, newest)


def is_older(applied: Iterable[str], newest: Mapping[str, str]) -> bool:
    """What is past `newest` is a newer version's, and this one works with it: its migrations only
    add. A branch that is not there is not ours to have: `public` is then the main app's.
    """
    reached = {branch_of(revision): revision for revision in applied}
    return SPARK not in reached or any(
        reached.get(branch, head) < head for branch, head in newest.items()
    )


def newest_revisions() -> dict[str, str]:
    """What this code needs of each branch. Read from disk: once, at start."""
    heads = ScriptDirectory.from_config(alembic_config()).get_heads()
    return {branch_of(head): head for head in heads}


def branch_of(revision: str) -> str:
    """Of `spark_0002` it is `spark`; later revisions of a branch sort behind earlier ones."""
    return revision.partition("_")[0]


def alembic_config() -> Config:
    return Config(str(ALEMBIC_INI))
