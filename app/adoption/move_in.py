"""Schema `spark` is made beside the main app's, and the row that makes the database adopted."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from app.adoption.finding import Finding
from app.adoption.short_locks import in_short_locks
from app.database import Sessions
from app.migrate import Tell, upgrade_at_once
from app.models import SPARK, Adoption, Table

OURS = [table for table in Table.metadata.sorted_tables if table.schema == SPARK]
# A foreign key into a table locks it while it is made: its rows can be read, and not written.
REFERRED = sorted(
    {
        key.column.table.name
        for table in OURS
        for key in table.foreign_keys
        if key.column.table.schema != SPARK
    }
)
_TAKEN = text(
    f"select to_regclass('{SPARK}.alembic_version') is null and exists"  # noqa: S608 - our own name
    f" (select from pg_class where relnamespace = to_regnamespace('{SPARK}'))"
)
_MAY_REFER, _OWNS = "has_table_privilege(oid, 'references')", "pg_has_role(relowner, 'usage')"
_RIGHTS = """
select current_user, has_database_privilege(current_database(), 'create'), array(
    select relname from pg_class where relnamespace = 'public'::regnamespace
    and relname = any(:tables) and not {right} order by relname)
"""


def plan_schema(connection: Connection, *, is_adopted: bool) -> list[Finding]:
    subject = f"schema {SPARK}"
    if is_adopted:
        when, who = connection.execute(select(Adoption.adopted_at, Adoption.adopted_by)).one()
        return [Finding("ok", subject, f"adopted on {when:%Y-%m-%d} by {who}")]
    if connection.scalar(_TAKEN):
        words = "is there, and holds something that is not ours"
        return [Finding("refuse", subject, words, f"`alter schema {SPARK} rename to …`")]
    words = f"create it ({len(OURS)} tables), with short locks on {', '.join(REFERRED)}"
    return [Finding("would", subject, words), *_require(connection, _MAY_REFER, "refer to")]


def require_owner(connection: Connection) -> list[Finding]:
    """Of the tables, for whoever alters them or builds their indexes."""
    return _require(connection, _OWNS, "alter")


def _require(connection: Connection, right: str, act: str) -> list[Finding]:
    tables = [table.name for table in Table.metadata.sorted_tables if table.schema != SPARK]
    role, may_create, forbidden = connection.execute(
        text(_RIGHTS.format(right=right)), {"tables": tables}
    ).one()
    lacks = [] if may_create else ["create a schema in this database"]
    lacks += [f"{act} {', '.join(forbidden)}"] if forbidden else []
    step = "Run it as the role that owns the main app's tables (Supabase: postgres)"
    return [Finding("refuse", f"role {role}", f"may not {lack}", step) for lack in lacks]


async def move_in(sessions: Sessions, found: Sequence[Finding], tell: Tell) -> None:
    """All of it in one transaction."""

    def act(connection: Connection) -> None:
        upgrade_at_once(connection)
        said = [finding._asdict() for finding in found]
        values = {"adopted_by": func.current_user(), "findings": said}
        connection.execute(insert(Adoption).values(values).on_conflict_do_nothing())

    await in_short_locks(sessions, act, REFERRED, "share row exclusive", tell)
