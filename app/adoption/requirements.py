"""What the code needs of the main app's tables. Columns, types, keys and the values that we write
are what the models of schema `public` say; what these cannot say stands here.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.dialects import postgresql

from app.models import PLATFORM, SCHOOL_SUBJECTS, SPARK, Table
from app.models.columns import PILLARS

Key = tuple[str, ...]  # the columns that are unique together

RIGHTS = ("select", "insert", "update", "delete")
# Its trigger on the table that is named writes this one, with the rights of whoever writes there.
WRITTEN_BY_TRIGGER = {"diplomas": "users", "user_mastery": "user_skill_xp"}
RIGHTS_OF_TRIGGERS = ("select", "insert", "update")

# In the models because the main app reads them (CONTRACT 13): no statement of ours names them.
UNUSED: Mapping[str, Collection[str]] = {
    "quests": ("big_idea", "material_link", "header_image_url", "image_url", "metadata"),
}
# Unique in a database of our own. The main app's rows are not, and no statement relies on it.
OURS_ALONE: Mapping[str, Collection[Key]] = {
    "users": [("portfolio_slug",)],
    "lms_integrations": [("lms_platform", "user_id")],
    "user_quests": [("user_id", "quest_id")],
    "user_quest_tasks": [("user_quest_id", "source_task_id")],
}
# Where it is not all that a check of ours allows: what we write of the values that theirs names.
_PILLARS = tuple(re.findall(r"\w+", PILLARS))
VALUES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "users": {"role": ("student",), "deletion_status": ("pending",)},
    "lms_integrations": {"lms_platform": (PLATFORM,), "sync_status": ("active",)},
    "quests": {"quest_type": ("course",), "lms_platform": (PLATFORM,)},
    "user_quest_tasks": {"pillar": _PILLARS, "approval_status": ("approved",)},
    "user_quests": {"status": ("picked_up",)},
    "user_skill_xp": {"pillar": _PILLARS},
    "user_subject_xp": {"school_subject": SCHOOL_SUBJECTS},
    "evidence_document_blocks": {"uploaded_by_role": ("student",)},
    "lms_grade_sync": {"lms_platform": (PLATFORM,)},
}
# Null or left out by the model, and yet always written.
ALWAYS_WRITTEN: Mapping[str, Collection[str]] = {
    "users": ("role", "email"),
    "quests": ("id", "quest_type", "lms_platform", "lms_course_id"),
    "course_quest_tasks": ("id", "xp_value", "order_index", "is_required"),
    "user_task_evidence_documents": ("quest_id",),
    "user_activity_events": ("id",),
    "lms_grade_sync": ("id", "max_score"),
    "lms_integrations": ("last_sync_at", "organization_id"),  # see ORGANISATION
}
# Read, and never written: mandatory is no matter where there is a default.
ONLY_READ: Mapping[str, Collection[str]] = {
    "users": ("portfolio_slug", "date_of_birth", "organization_id", "org_role", "org_roles"),
    "lms_integrations": ("lms_course_id",),
    "quests": ("lms_assignment_id", "created_by"),
    "quest_task_completions": ("scheduled_date",),
}
# Mandatory since December 2025: OPTIO_ORGANIZATION_ID is what we write then.
ORGANISATION = ("lms_integrations", "organization_id")
ORGANISATIONS = "organizations"  # where it is looked for; before them there was no such column
# What the shape of December 2025 lacks and `adopt --alter` adds, as columns that may be null.
ADDABLE: Mapping[str, Collection[str]] = {
    "users": ("organization_id", "org_role", "org_roles", "last_logout_at"),
    "lms_integrations": ("organization_id",),
    "user_quest_tasks": ("source_task_id", "due_date"),
}
ADDABLE_KEYS: Mapping[str, Key] = {"quest_task_completions": ("user_id", "task_id")}

# Where `users.id` refers to it, an account's row is made here first.
AUTH = "auth.users"
AUTH_COLUMNS: Mapping[str, str] = {
    "id": "uuid",
    "instance_id": "uuid",
    **dict.fromkeys(("aud", "role", "email", "encrypted_password"), "varchar(255)"),
    **dict.fromkeys(("confirmation_token", "recovery_token"), "varchar(255)"),
    **dict.fromkeys(("email_change_token_new", "email_change"), "varchar(255)"),
    **dict.fromkeys(("raw_app_meta_data", "raw_user_meta_data"), "jsonb"),
    **dict.fromkeys(("email_confirmed_at", "created_at", "updated_at"), "timestamp with time zone"),
    "is_sso_user": "boolean",
}
AUTH_FUNCTIONS = ("find_auth_users", "add_auth_users")  # of schema `spark`: nobody else goes there
AUTH_COLUMNS_READ = ("id", "email", "email_confirmed_at", "is_sso_user")
AUTH_UNIQUE = "email"
AUTH_KEY_CONDITIONS = (None, "(NOT is_sso_user)", "(is_sso_user = false)")  # one is enough
DELETION_TRIGGER = "trigger_sync_auth_user_deletion"  # on `users`: takes the row of `auth` along

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_ALIKE = {"varchar": "text", "character varying": "text", "bigint": "integer"}


class RequiredColumn(NamedTuple):
    """`type` as PostgreSQL writes it; a shorter one will do that has the `length` of what we write.
    Of a mandatory one: is it always written, or else left to its default?
    """

    type: str
    length: float
    is_always_written: bool
    is_left_to_default: bool


class RequiredTable(NamedTuple):
    columns: Mapping[str, RequiredColumn]
    keys: Sequence[Key]
    values: Mapping[str, Sequence[str]]


def family(type_: str) -> str:
    """Types of one family hold each other's values, but for their length."""
    # Of ours `public.` is left out where search_path has it.
    name = re.sub(r"\([\d, ]+\)", "", type_.lower()).removeprefix("public.")
    return _ALIKE.get(name, name)


def length(type_: str) -> float:
    """How many characters a value may have."""
    found = re.search(r"\((\d+)\)", type_)
    return int(found[1]) if found else float("inf")


def _require(table: Any) -> RequiredTable:
    unique = [
        tuple(constraint.columns.keys())
        for constraint in table.constraints
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint)
    ]
    values = {**_allowed(table), **VALUES.get(table.name, {})}
    return RequiredTable(
        columns={
            column.name: _require_column(table.name, column, values.get(column.name))
            for column in table.columns
            if column.name not in UNUSED.get(table.name, ())
        },
        keys=sorted(key for key in unique if key not in OURS_ALONE.get(table.name, ())),
        values=values,
    )


def _require_column(
    table: str, column: Column[Any], values: Sequence[str] | None
) -> RequiredColumn:
    has_default = column.server_default is not None
    type_ = column.type.compile(_DIALECT).lower()
    return RequiredColumn(
        type=type_,
        length=max(map(len, values)) if values else length(type_),
        is_always_written=column.name in ALWAYS_WRITTEN.get(table, ())
        or not (column.nullable or has_default),
        is_left_to_default=has_default or column.name in ONLY_READ.get(table, ()),
    )


def _allowed(table: Any) -> dict[str, Sequence[str]]:
    """By column, what a check of ours lists."""
    checks = (str(one.sqltext) for one in table.constraints if isinstance(one, CheckConstraint))
    listed = (re.fullmatch(r"(\w+) in \((.*)\)", check) for check in checks)
    return {found[1]: re.findall(r"'(\w+)'", found[2]) for found in listed if found}


PUBLIC: Mapping[str, RequiredTable] = {
    table.name: _require(table) for table in Table.metadata.sorted_tables if table.schema is None
}
OURS = tuple(table.name for table in Table.metadata.sorted_tables if table.schema == SPARK)
