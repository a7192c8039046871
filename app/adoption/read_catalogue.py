"""What the live catalogue says of the tables that matter to us.

Only `pg_catalog` is read, which every role may. Writing out a check takes the lock of a reader on
its table, as briefly.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from app.adoption.requirements import (
    AUTH,
    AUTH_FUNCTIONS,
    ORGANISATION,
    ORGANISATIONS,
    OURS,
    PUBLIC,
    WRITTEN_BY_TRIGGER,
    family,
)
from app.database import OUR_FAULT, Session, Sessions, sqlstate_of


class FoundColumn(NamedTuple):
    """`type` as PostgreSQL writes it, with its length; `labels` are an enum's."""

    type: str
    is_mandatory: bool
    has_default: bool
    is_generated: bool
    labels: Sequence[str] | None
    rights: Sequence[str]


class FoundKey(NamedTuple):
    """Of a unique index that a statement may rely on; `condition` is a partial one's."""

    columns: Sequence[str]
    condition: str | None


class FoundTable(NamedTuple):
    """`triggers` are those that run, `locked_sequences` those that the role may not use;
    `row_security` hides rows from it.
    """

    columns: Mapping[str, FoundColumn]
    keys: Sequence[FoundKey]
    checks: Sequence[tuple[str, str]]
    triggers: Sequence[str]
    refers_to: Sequence[str]
    rights: Sequence[str]
    locked_sequences: Sequence[str]
    row_security: bool

    def has_key(self, columns: Collection[str]) -> bool:
        return any(not key.condition and set(key.columns) == set(columns) for key in self.keys)


class Catalogue(NamedTuple):
    """As one role sees it. Tables of `public` go by their name, others by `schema.name`. `refused`
    are values of ours, by table and column, that a check does not let in. `auth_role` is whose
    rights count in schema `auth`: the owner of our functions there, or who will be.
    """

    role: str
    schema: str | None
    tables: Mapping[str, FoundTable]
    refused: Mapping[tuple[str, str], Sequence[str]]
    auth_role: str
    may_call: bool

    @property
    def has_auth_rows(self) -> bool:
        """Whether an account is a row of `auth.users` as well, so that this comes first (#3): only
        the main app's users are GoTrue's.
        """
        return "users" in self.tables and AUTH in self.tables["users"].refers_to

    @property
    def links_need_organization(self) -> bool:
        """Whether `lms_integrations.organization_id` is mandatory (#4)."""
        column = self.find_column(*ORGANISATION)
        return column is not None and column.is_mandatory  # a default is no help: it is written

    @property
    def defers_credit(self) -> bool:
        """Whether credit is asked for, then approved (#17)."""
        return self.find_column("user_subject_xp", "pending_xp") is not None

    def find_column(self, table: str, column: str) -> FoundColumn | None:
        return self.tables[table].columns.get(column) if table in self.tables else None


_CATALOGUE = text("""
select role.rolname as role, current_schema() as schema, (
    select jsonb_object_agg(wanted.name, jsonb_build_array(
        (select coalesce(jsonb_object_agg(attname, jsonb_build_array(
                format_type(atttypid, atttypmod),
                attnotnull,
                atthasdef or attidentity <> '',
                attgenerated <> '' or attidentity = 'a',
                (select jsonb_agg(enumlabel) from pg_enum where enumtypid = atttypid),
                (select coalesce(jsonb_agg(p), '[]')
                 from unnest(array['select', 'insert', 'update']) as p
                 where has_column_privilege(asked.oid, c.oid, attnum, p)))), '{}')
         from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped),
        (select coalesce(jsonb_agg(jsonb_build_array(
                (select jsonb_agg(attname) from pg_attribute where attrelid = c.oid
                 and attnum = any ((indkey::int2[])[0\\:indnkeyatts - 1])),
                case when indpred is not null then pg_get_indexdef(indexrelid) end)), '[]')
         from pg_index where indrelid = c.oid and indisunique and indisvalid and indisready
         and indimmediate and indexprs is null),
        (select coalesce(jsonb_agg(jsonb_build_array(attname, pg_get_constraintdef(con.oid))), '[]')
         from pg_constraint con join pg_attribute on attrelid = c.oid and attnum = conkey[1]
         where conrelid = c.oid and contype = 'c' and cardinality(conkey) = 1),
        (select coalesce(jsonb_agg(tgname), '[]') from pg_trigger
         where tgrelid = c.oid and not tgisinternal and tgenabled in ('O', 'A')),
        (select coalesce(jsonb_agg(other_schema.nspname || '.' || other.relname), '[]')
         from pg_constraint join pg_class other on other.oid = confrelid
         join pg_namespace other_schema on other_schema.oid = other.relnamespace
         where conrelid = c.oid and contype = 'f'
         and conkey = (select array_agg(attnum) from pg_attribute
                       where attrelid = c.oid and attname = 'id')),
        (select coalesce(jsonb_agg(p), '[]')
         from unnest(array['select', 'insert', 'update', 'delete']) as p
         where has_table_privilege(asked.oid, c.oid, p)),
        (select coalesce(jsonb_agg(objid::regclass), '[]')
         from pg_depend join pg_class sequence on sequence.oid = objid
         where refclassid = 'pg_class'::regclass and refobjid = c.oid
         and case when sequence.relkind = 'S'
             then not has_sequence_privilege(asked.oid, objid, 'usage') end),
        relrowsecurity and not (asked.rolsuper or asked.rolbypassrls)
            and (relforcerowsecurity or not pg_has_role(asked.oid, relowner, 'usage'))))
    from pg_class c join pg_namespace n on n.oid = relnamespace
    join pg_roles asked
    on asked.rolname = case nspname when 'auth' then gotrue.owner else role.rolname end
    cross join lateral (
        select case nspname when 'public' then '' else nspname || '.' end || relname
    ) as wanted (name)
    where wanted.name = any (:names) and relkind in ('r', 'p')
    and has_schema_privilege(asked.oid, n.oid, 'usage')
) as tables, gotrue.owner as auth_role, gotrue.may_call
from pg_roles role cross join lateral (
    select coalesce(min(owner.rolname), current_user) as owner,
        bool_and(has_function_privilege(role.oid, p.oid, 'execute')) as may_call
    from pg_proc p join pg_roles owner on owner.oid = proowner
    where pronamespace = to_regnamespace('spark') and proname = any (:functions)
) as gotrue
where rolname = coalesce(:role, current_user)
""").columns(tables=JSONB)
_NAMES = [*PUBLIC, *WRITTEN_BY_TRIGGER, ORGANISATIONS, AUTH, *(f"spark.{name}" for name in OURS)]


WAIT_BRIEFLY = text("set local lock_timeout = '1s'")


async def look(sessions: Sessions) -> Catalogue:
    """In a transaction that cannot write. Raises one of OUTAGES, also after a second of waiting for
    a table that is being changed.
    """
    async with sessions() as opened:
        session = await opened.execution_options(postgresql_readonly=True)
        async with session.begin():
            await session.execute(WAIT_BRIEFLY)
            return await read_catalogue(session)


async def read_catalogue(session: Session, *, role: str | None = None) -> Catalogue:
    """As this role, which must be there, else as the session's own. Raises one of OUTAGES."""
    asked = {"names": _NAMES, "functions": AUTH_FUNCTIONS, "role": role}
    found = (await session.execute(_CATALOGUE, asked)).one()
    tables = {name: _table(*facts) for name, facts in (found.tables or {}).items()}
    refused: dict[tuple[str, str], list[str]] = {}
    for table, column, value in await _try_checks(session, list(_attempts(tables))):
        refused.setdefault((table, column), []).append(value)
    return Catalogue(
        found.role, found.schema, tables, refused, found.auth_role, found.may_call is not False
    )


def _table(columns: Any, keys: Any, *others: Any) -> FoundTable:
    return FoundTable(
        {name: FoundColumn(*facts) for name, facts in columns.items()},
        [FoundKey(names, index and index.partition(" WHERE ")[2]) for names, index in keys],
        *others,
    )


class _Attempt(NamedTuple):
    table: str
    column: str
    value: str
    type: str
    condition: str


def _attempts(tables: Mapping[str, FoundTable]) -> Iterator[_Attempt]:
    """Each value that we write with each check of its column alone, one for valid rows included."""
    for table, need in PUBLIC.items():
        found = tables.get(table)
        for column, definition in found.checks if found else ():
            check = re.fullmatch(
                r"CHECK (\(.*\))( NO INHERIT)?( NOT VALID)?", definition, re.DOTALL
            )
            type_ = found.columns[column].type if found else ""
            if check and column in need.columns and family(type_) == "text":
                for value in need.values.get(column, ()):
                    yield _Attempt(table, column, value, type_, check[1])


async def _try_checks(session: Session, attempts: Sequence[_Attempt]) -> list[tuple[str, str, str]]:
    """Those that are refused, as PostgreSQL itself judges. What cannot be tried is not judged."""
    tried = " union all ".join(
        f"select {place} from (select ${place + 1}::{one.type} as {one.column}) as written"  # noqa: S608 - the catalogue's own words
        f" where not {one.condition}"
        for place, one in enumerate(attempts)
    )
    if not tried:
        return []
    try:
        async with session.begin_nested():
            refused = await session.exec_driver_sql(tried, tuple(one.value for one in attempts))
            return [attempts[place][:3] for (place,) in refused]
    except DBAPIError as failure:
        if sqlstate_of(failure)[:2] not in OUR_FAULT:
            raise
    half = len(attempts) // 2  # one that fails keeps no other from being tried
    halves = (attempts[:half], attempts[half:]) if half else ()
    return [refused for each in halves for refused in await _try_checks(session, each)]
