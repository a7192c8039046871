"""What the code needs of the main app's tables. Their columns, types and keys are what the models
of schema `public` say, and so are the values that we write; what they cannot say stands here.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects import postgresql

from app.models import PLATFORM, SCHOOL_SUBJECTS, Table
from app.models.columns import PILLARS

Key = frozenset[str]  # the columns that are unique together

READ, WRITE = ("select",), ("select", "insert", "update")
WRITE_AND_DELETE = (*WRITE, "delete")

# Unique in a database of our own; the main app's rows are not, and no statement relies on it.
OURS_ALONE: Mapping[str, Collection[Key]] = {
    "users": [frozenset({"portfolio_slug"})],
    "lms_integrations": [frozenset({"lms_platform", "user_id"})],
    "user_quests": [frozenset({"user_id", "quest_id"})],
    "user_quest_tasks": [frozenset({"user_quest_id", "source_task_id"})],
}
# Of what a check of ours allows, or where we have none: the values that we write.
WRITTEN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "users": {"role": ("student",)},
    "lms_integrations": {"lms_platform": (PLATFORM,)},
    "quests": {"quest_type": ("course",), "lms_platform": (PLATFORM,)},
    "user_skill_xp": {"pillar": tuple(re.findall(r"\w+", PILLARS))},
    "user_quest_tasks": {
        "pillar": tuple(re.findall(r"\w+", PILLARS)),
        "approval_status": ("approved",),
    },
    "user_subject_xp": {"school_subject": SCHOOL_SUBJECTS},
    "evidence_document_blocks": {"uploaded_by_role": ("student",)},
}
# Nullable in the models, and yet never left out: the main app may make them mandatory.
ALWAYS_WRITTEN: Mapping[str, Collection[str]] = {"user_task_evidence_documents": ("quest_id",)}
# Mandatory since December 2025; OPTIO_ORGANIZATION_ID names what we write.
ORGANISATION = ("lms_integrations", "organization_id")
# What the shape of December 2025 lacks, and `adopt --apply --alter` adds, each nullable.
ADDABLE: Mapping[str, Collection[str]] = {
    "users": ("organization_id", "org_role", "org_roles", "last_logout_at"),
    "lms_integrations": ("organization_id",),
    "user_quest_tasks": ("source_task_id", "due_date"),
}
ADDABLE_KEY = ("quest_task_completions", frozenset({"user_id", "task_id"}))
# Their triggers write these with the rights of whoever writes the table that they stand on.
WRITTEN_BY_TRIGGERS = {"diplomas": "users", "user_mastery": "user_skill_xp"}
# Where `users.id` refers to it: an account's row is made here first (ADOPTION, identity).
AUTH_USERS: Mapping[str, str] = {
    "id": "uuid",
    "instance_id": "uuid",
    "aud": "text",
    "role": "text",
    "email": "text",
    "encrypted_password": "text",
    "email_confirmed_at": "timestamp with time zone",
    "confirmation_token": "text",
    "recovery_token": "text",
    "email_change_token_new": "text",
    "email_change": "text",
    "raw_app_meta_data": "jsonb",
    "raw_user_meta_data": "jsonb",
    "created_at": "timestamp with time zone",
    "updated_at": "timestamp with time zone",
    "is_sso_user": "boolean",
}
AUTH_USERS_READ = ("id", "email", "email_confirmed_at", "is_sso_user")
DELETION_TRIGGER = "trigger_sync_auth_user_deletion"  # on `users`: takes the row of `auth` along

_DIALECT = postgresql.dialect()
_ALIKE = {"varchar": "text", "character varying": "text", "bigint": "integer"}


class RequiredColumn(NamedTuple):
    """`type` as PostgreSQL writes it. `may_be_mandatory`: we write it always, and never null."""

    type: str
    may_be_mandatory: bool


class RequiredTable(NamedTuple):
    columns: Mapping[str, RequiredColumn]
    keys: Collection[Key]
    values: Mapping[str, tuple[str, ...]]


def family(type_: str) -> str:
    """Types of one family hold each other's values, but for their length."""
    name = re.sub(r"\(\d+\)", "", type_.lower()).strip()
    return _ALIKE.get(name, name)


def length(type_: str) -> int | None:
    """In characters; None for any."""
    found = re.search(r"\((\d+)\)", type_)
    return int(found[1]) if found else None


def _require(table: SqlTable) -> RequiredTable:
    name = table.name
    unique = [
        frozenset(constraint.columns.keys())
        for constraint in table.constraints
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint)
    ]
    return RequiredTable(
        columns={
            column.name: RequiredColumn(
                column.type.compile(_DIALECT).lower(), _may_be_mandatory(name, column)
            )
            for column in table.columns
        },
        keys=[key for key in unique if key not in OURS_ALONE.get(name, ())],
        values={**_allowed(table), **WRITTEN.get(name, {})},
    )


def _may_be_mandatory(table: str, column: Column[object]) -> bool:
    if (table, column.name) == ORGANISATION or column.name in ALWAYS_WRITTEN.get(table, ()):
        return True
    return not column.nullable and column.server_default is None


def _allowed(table: SqlTable) -> dict[str, tuple[str, ...]]:
    """By column, what the checks of ours list."""
    checks = (str(one.sqltext) for one in table.constraints if isinstance(one, CheckConstraint))
    listed = (re.fullmatch(r"(\w+) in \((.*)\)", check) for check in checks)
    return {found[1]: tuple(re.findall(r"'(\w+)'", found[2])) for found in listed if found}


PUBLIC: Mapping[str, RequiredTable] = {
    table.name: _require(table)
    for table in Table.metadata.sorted_tables
    if table.schema is None
}
