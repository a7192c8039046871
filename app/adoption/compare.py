"""The live catalogue beside what we need: what fits, what is adapted to, and what stops us.

A subject is made of names of tables and columns, or is a fixed word: `/readyz` shows it to anybody.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from app.adoption.finding import Finding
from app.adoption.read_catalogue import Catalogue, FoundColumn, FoundTable
from app.adoption.requirements import (
    ADDABLE,
    ADDABLE_KEYS,
    AUTH,
    AUTH_COLUMNS,
    AUTH_COLUMNS_READ,
    AUTH_KEY_CONDITIONS,
    AUTH_UNIQUE,
    DELETION_TRIGGER,
    ORGANISATION,
    ORGANISATIONS,
    OURS,
    PUBLIC,
    RIGHTS,
    RIGHTS_OF_TRIGGERS,
    WRITTEN_BY_TRIGGER,
    Key,
    RequiredColumn,
    RequiredTable,
    family,
    length,
)

_ALTER = "`python -m app adopt --apply --alter` adds it."
_UNDO = "Bring it back, or run a version of this service that fits."
_LOOSEN = "Give it a default, or let it be null."


def compare(catalogue: Catalogue) -> list[Finding]:
    """Everything: what fits, what is adapted to, what `differences` names, and what only erasures
    need.
    """
    differing = differences(catalogue)
    named = {finding.subject.partition(" ")[0].partition(".")[0] for finding in differing}
    return [
        *(finding for finding in _fitting(catalogue) if finding.subject not in named),
        *_adapted(catalogue),
        *differing,
        *_watch_deletion(catalogue),
    ]


def differences(catalogue: Catalogue) -> list[Finding]:
    """What stops an act, each marked `refuse`."""
    return [
        *_search_path(catalogue),
        *(finding for name in PUBLIC for finding in _compare_table(catalogue, name)),
        *_compare_auth(catalogue),
        *_rights(catalogue),
        *row_security(catalogue),
    ]


def row_security(catalogue: Catalogue) -> Iterator[Finding]:
    """Rows that the role does not see are missing without an error, so this is the worst."""
    hidden: dict[str, list[str]] = {}
    for name, table in sorted(catalogue.tables.items()):
        if table.row_security:
            role = catalogue.auth_role if name == AUTH else catalogue.role
            hidden.setdefault(role, []).append(name)
    for role, names in hidden.items():
        text = f"role {role} may not bypass row security, which hides rows of {', '.join(names)}"
        yield Finding("refuse", "row security", text, f"alter role {role} bypassrls")


def missing_columns(catalogue: Catalogue) -> Iterator[tuple[str, str, str]]:
    """Table, column and type of what `adopt --alter` adds here, each nullable."""
    for table, columns in ADDABLE.items():
        found = catalogue.tables.get(table)
        for column in columns:
            if found and column not in found.columns:
                yield table, column, PUBLIC[table].columns[column].type


def missing_keys(catalogue: Catalogue) -> Iterator[tuple[str, Key]]:
    """Table and columns of the unique indexes that `adopt --alter` adds here."""
    for table, key in ADDABLE_KEYS.items():
        found = catalogue.tables.get(table)
        if found and not found.has_key(key):
            yield table, key


def _fitting(catalogue: Catalogue) -> Iterator[Finding]:
    for name, need in PUBLIC.items():
        keys = " and by ".join(f"({', '.join(key)})" for key in need.keys)
        yield Finding("ok", name, f"{len(need.columns)} columns, unique by {keys}")
    for name, table in WRITTEN_BY_TRIGGER.items():
        if name in catalogue.tables:
            yield Finding(
                "ok", name, f"triggers of {table} write there, which {catalogue.role} may"
            )


def _search_path(catalogue: Catalogue) -> Iterator[Finding]:
    if catalogue.schema != "public":
        yield Finding(
            "refuse",
            "search_path",
            f"the tables of role {catalogue.role} are looked for in"
            f" {catalogue.schema or 'no schema'}, must be public",
            f"alter role {catalogue.role} set search_path = public",
        )


def _compare_table(catalogue: Catalogue, name: str) -> Iterator[Finding]:
    found, need = catalogue.tables.get(name), PUBLIC[name]
    if found is None:
        yield _missing_table(catalogue, name)
        return
    for column, needed in need.columns.items():
        yield from _compare_column(name, column, needed, found.columns.get(column))
    yield from _unknown_columns(name, found, need.columns)
    yield from _compare_keys(name, found, need)
    for column, values in need.values.items():
        yield from _compare_values(
            f"{name}.{column}",
            found.columns.get(column),
            values,
            catalogue.refused.get((name, column), ()),
        )


def _missing_table(catalogue: Catalogue, name: str) -> Finding:
    text = f"is missing, or role {catalogue.role} may not use its schema"
    return Finding("refuse", name, text, _UNDO)


def _compare_column(
    table: str, column: str, need: RequiredColumn, found: FoundColumn | None
) -> Iterator[Finding]:
    subject = f"{table}.{column}"
    if found is None:
        next_step = _ALTER if column in ADDABLE.get(table, ()) else _UNDO
        yield Finding("refuse", subject, f"is missing, must be {need.type}", next_step)
    elif family(found.type) != family(need.type) or length(found.type) < need.length:
        yield Finding("refuse", subject, f"is {found.type}, must be {need.type}", _UNDO)
    elif found.is_generated:
        yield Finding("refuse", subject, "is generated, must be written", _UNDO)
    elif found.is_mandatory and not need.is_always_written:
        if not found.has_default:
            text = "is mandatory without a default, and is left out at times"
            yield Finding("refuse", subject, text, _LOOSEN)
        elif not need.is_left_to_default:
            text = "is mandatory, and null is written there at times"
            yield Finding("refuse", subject, text, "Let it be null.")


def _unknown_columns(name: str, found: FoundTable, known: Collection[str]) -> Iterator[Finding]:
    for column, facts in found.columns.items():
        if column not in known and facts.is_mandatory and not facts.has_default:
            text = "is mandatory without a default, and this service does not write it"
            yield Finding("refuse", f"{name}.{column}", text, _LOOSEN)


def _compare_keys(name: str, found: FoundTable, need: RequiredTable) -> Iterator[Finding]:
    for key in need.keys:
        if not found.has_key(key) and found.columns.keys() >= set(key):
            columns = ", ".join(key)
            yield Finding(
                "refuse",
                f"{name} ({columns})",
                "is not unique, and statements rely on it (a partial, deferrable or invalid index"
                " does not do)",
                _ALTER
                if ADDABLE_KEYS.get(name) == key
                else f"create unique index concurrently on {name} ({columns})",
            )


def _compare_values(
    subject: str, found: FoundColumn | None, values: Sequence[str], refused: Collection[str]
) -> Iterator[Finding]:
    labels = values if found is None or found.labels is None else found.labels
    gone = [value for value in values if value in refused or value not in labels]
    if gone:
        text = f"does not take {', '.join(gone)}, which this service writes"
        yield Finding("refuse", subject, text, "Allow it in the check or the type.")


def _compare_auth(catalogue: Catalogue) -> Iterator[Finding]:
    if not catalogue.has_auth_rows:
        return
    found = catalogue.tables.get(AUTH)
    if found is None:
        yield _missing_table(catalogue._replace(role=catalogue.auth_role), AUTH)
        return
    for column, type_ in AUTH_COLUMNS.items():
        need = RequiredColumn(
            type_, length(type_), is_always_written=True, is_left_to_default=False
        )
        yield from _compare_column(AUTH, column, need, found.columns.get(column))
    yield from _unknown_columns(AUTH, found, AUTH_COLUMNS)
    conditions = [key.condition for key in found.keys if list(key.columns) == [AUTH_UNIQUE]]
    if not any(condition in AUTH_KEY_CONDITIONS for condition in conditions):
        text = "is not unique where is_sso_user is false, and a statement relies on it"
        yield Finding("refuse", f"{AUTH} ({AUTH_UNIQUE})", text, _UNDO)


def _rights(catalogue: Catalogue) -> Iterator[Finding]:
    for name in PUBLIC:
        yield from _table_rights(catalogue, name, RIGHTS, PUBLIC[name].columns)
    for name in OURS:
        yield from _table_rights(catalogue, f"spark.{name}", RIGHTS, ())
        yield from _sequences(catalogue, f"spark.{name}")
    if catalogue.links_need_organization and ORGANISATIONS not in catalogue.tables:
        yield _missing_table(catalogue, ORGANISATIONS)
    yield from _table_rights(catalogue, ORGANISATIONS, ("select",), ())
    for name, table in WRITTEN_BY_TRIGGER.items():
        why = f", which triggers of {table} do as who writes there"
        yield from _table_rights(catalogue, name, RIGHTS_OF_TRIGGERS, (), why=why)
    if catalogue.has_auth_rows:
        as_owner = catalogue._replace(role=catalogue.auth_role)
        yield from _table_rights(as_owner, AUTH, ("insert",), AUTH_COLUMNS)
        yield from _table_rights(as_owner, AUTH, ("select",), AUTH_COLUMNS_READ)
        if not catalogue.may_call:
            text = f"role {catalogue.role} may not call its functions"
            grant = f"grant execute on all functions in schema spark to {catalogue.role}"
            yield Finding("refuse", "schema spark", text, grant)


def _sequences(catalogue: Catalogue, name: str) -> Iterator[Finding]:
    """None of the main app's tables counts by one."""
    role = catalogue.role
    for sequence in catalogue.tables[name].locked_sequences if name in catalogue.tables else ():
        text = f"role {role} may not count by {sequence}"
        yield Finding("refuse", name, text, f"grant usage on sequence {sequence} to {role}")


def _table_rights(
    catalogue: Catalogue,
    name: str,
    rights: Collection[str],
    columns: Collection[str],
    why: str = "",
) -> Iterator[Finding]:
    """A right on each of the columns is as good as one on the table."""
    found = catalogue.tables.get(name)
    if found is None:
        return
    used = [found.columns[column].rights for column in columns if column in found.columns]
    missing = [
        right
        for right in rights
        if right not in found.rights and not (used and all(right in one for one in used))
    ]
    if missing:
        names = ", ".join(missing)
        text = f"role {catalogue.role} may not {names}{why}"
        yield Finding("refuse", name, text, f"grant {names} on {name} to {catalogue.role}")


def _adapted(catalogue: Catalogue) -> Iterator[Finding]:
    tables: Mapping[str, FoundTable] = catalogue.tables
    if catalogue.has_auth_rows:
        yield Finding("adapt", "users.id", f"refers to {AUTH}: accounts get their row there")
    if catalogue.links_need_organization:
        text = "is mandatory: OPTIO_ORGANIZATION_ID is written there"
        yield Finding("adapt", ".".join(ORGANISATION), text)
    if catalogue.defers_credit:
        text = "credit is asked for and approved in the main app: nothing is written there"
        yield Finding("adapt", "user_subject_xp.pending_xp", text)
    if "user_quests" in tables and not tables["user_quests"].has_key(("user_id", "quest_id")):
        text = "a student may be enrolled twice: the newest active enrolment is used"
        yield Finding("adapt", "user_quests (user_id, quest_id)", text)


def _watch_deletion(catalogue: Catalogue) -> Iterator[Finding]:
    users = catalogue.tables.get("users")
    if users and catalogue.has_auth_rows and DELETION_TRIGGER not in users.triggers:
        text = f"the trigger {DELETION_TRIGGER} is missing or off: an erasure would leave the"
        yield Finding("refuse", "users", f"{text} address in {AUTH}", _UNDO)
