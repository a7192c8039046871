"""Who is a student, and what an empty column of the main app's says, for every statement.

On a database of our own these columns are never null, and no account is a school's: there each of
these says what the column says. As plain SQL, because it stands in the statements of every sign-in
and every submission.
"""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, DateTime, Text, func, literal_column

from app.models import LmsIntegration
from app.models.columns import TASK_XP

# A school's own accounts (`org_managed`) have their roles in `org_roles`, or else in `org_role`.
IS_STUDENT_SQL = """\
coalesce(users.role = 'student' or users.role = 'org_managed' and case
  when jsonb_typeof(users.org_roles) = 'array' and users.org_roles <> '[]'
  then users.org_roles <@ '["student"]' else users.org_role = 'student' end, false)"""
DELETION_SQL = "coalesce(users.deletion_status, 'none')"
LINK_IS_ON_SQL = "coalesce(lms_integrations.sync_enabled, true)"
LINK_STATUS_SQL = "coalesce(lms_integrations.sync_status, 'active')"
PAYS_SQL = f"greatest(coalesce(xp_value, {TASK_XP}), 0)"  # a student's copy of a task

IS_STUDENT = literal_column(IS_STUDENT_SQL, Boolean)
DELETION_STATUS = literal_column(DELETION_SQL, Text)
IS_STAYING = literal_column(f"({DELETION_SQL} = 'none')", Boolean)
LINK_IS_ON = literal_column(LINK_IS_ON_SQL, Boolean)
LINK_STATUS = literal_column(LINK_STATUS_SQL, Text)
# Nothing there forbids a user a second link.
NEWEST_LINK_FIRST = (LmsIntegration.created_at.desc().nulls_last(), LmsIntegration.id)


_FIRST = literal_column("timestamptz '2000-01-01Z'", DateTime(timezone=True))  # that we read


def filled(column: Any) -> ColumnElement[Any]:
    """A moment that nobody wrote down is the first of all, so that it is older than any."""
    is_moment = isinstance(column.type, DateTime) and not column.nullable
    return func.coalesce(column, _FIRST) if is_moment else column
