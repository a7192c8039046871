"""Brings a database's schema up to date, as far as it is ours to change.

There are two branches of migrations (R28). A database of our own has both; in an adopted one
`public` is the main app's, and only `spark` is applied.
"""

import asyncio
import re
from io import StringIO
from typing import Literal

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from app.database import alembic_config, create_engine, sqlstate_of
from app.models import SPARK, Adoption
from app.settings import Settings

ONE_RUNNER = 7_265_737_461  # the advisory lock that makes a second runner wait
STATEMENT_SECONDS = 600

OWN = ("optio", "spark")  # in this order: tables of `spark` refer to those of `optio`
ADOPTED = ("spark",)
MAIN_APP = {"quests", "user_quests", "users"}  # who has these three is an Optio application
NAMED = 5
NO_RIGHT = "42501"  # insufficient privilege

TAKE_TURN = text(f"select pg_advisory_xact_lock({ONE_RUNNER})")
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


class UnfitDatabaseError(Exception):
    """No migration may run here. Its lines say why, and what to do."""


def migrate(settings: Settings) -> None:
    """Bring the schema to the newest revision, in one transaction. Safe to repeat and to run twice
    at once. Raises UnfitDatabaseError for a database that is neither ours nor adopted, or a role
    that may not change it.

    Blocking, and runs its own event loop: for commands, never for a running service.
    """
    asyncio.run(
        _migrate(settings.model_copy(update={"statement_timeout_seconds": STATEMENT_SECONDS}))
    )


async def _migrate(settings: Settings) -> None:
    engine = create_engine(settings)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_migrate_one_at_a_time)
    except DBAPIError as failure:
        if sqlstate_of(failure) != NO_RIGHT:
            raise
        raise UnfitDatabaseError(
            "The role of DATABASE_URL may not change this schema.\n"
            "Run migrate as the role that made it: beside the main app the one that adopted."
        ) from failure
    finally:
        await engine.dispose()


def _migrate_one_at_a_time(connection: Connection) -> None:
    connection.execute(TAKE_TURN)
    upgrade(connection, *find_branches(connection))


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
    applied = set[str]()
    if connection.scalar(_HAS_REVISIONS):
        applied.update(connection.scalars(_REVISIONS))
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


def _branches_of(applied: set[str]) -> set[str]:
    known = {
        script.revision: script.branch_labels
        for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    }
    if unknown := applied - known.keys():
        raise UnfitDatabaseError(
            f"This database has a revision that this version does not know: {min(unknown)}.\n"
            "A newer version made it: run that one. If the revision is a number alone, a version"
            " before the first release made it: start with an empty database"
            " (`make run`: remove its data, README says where)."
        )
    return set().union(*(known[revision] for revision in applied))
