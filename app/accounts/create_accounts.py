"""New accounts and links, many at once. Beside GoTrue an account has its row in `auth.users`, too,
of the same id and in the same statement (DESIGN R28): nobody signs in with it, but a later sign-in
with the address finds it.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, insert, text

from app.accounts.personal import NOWHERE
from app.adoption.read_catalogue import Catalogue
from app.database import Session
from app.jobs.try_early import try_students
from app.models import LmsIntegration, User

Rows = Sequence[dict[str, Any]]

_INSERT_USERS, _INSERT_LINKS = insert(User), insert(LmsIntegration)
# Of an address that is somebody's already neither row is made.
_INSERT_USERS_BESIDE_GOTRUE = text(
    """
    insert into users (id, email, role, first_name, last_name, display_name)
    select new.id, new.email, 'student', new.first_name, new.last_name, new.display_name
    from spark.add_auth_users(:id, :auth_email, :first_name, :last_name) as made (id)
    join unnest(:id, :email, :first_name, :last_name, :display_name)
      as new (id, email, first_name, last_name, display_name) using (id)
    returning users.id
    """
).bindparams(
    bindparam("id", type_=ARRAY(Uuid)),
    *(
        bindparam(name, type_=ARRAY(Text))
        for name in ("email", "auth_email", "first_name", "last_name", "display_name")
    ),
)


async def create_users(session: Session, rows: Rows, catalogue: Catalogue) -> set[UUID]:
    """The ids of those that are made. Beside GoTrue that are not all, where somebody registers with
    one of the addresses at this moment.
    """
    if not rows:
        return set()
    if not catalogue.has_auth_rows:
        await session.execute(_INSERT_USERS, rows)
        return {row["id"] for row in rows}
    columns = {
        name: [row[name] for row in rows]
        for name in ("id", "email", "first_name", "last_name", "display_name")
    }
    columns["auth_email"] = [_auth_email(**row) for row in rows]
    made = await session.execute(_INSERT_USERS_BESIDE_GOTRUE, columns)
    return set(made.scalars())


async def create_links(session: Session, rows: Rows) -> None:
    """Homework that waits for these students is tried again. They are locked."""
    if rows:
        await session.execute(_INSERT_LINKS, rows)
        await try_students(session, [row["lms_user_id"] for row in rows])


def _auth_email(*, id: UUID, email: str, **_: object) -> str:  # noqa: A002 - the column
    """A made-up address is this account's alone, also when an older account of the same student
    kept its own.
    """
    return f"spark-{id.hex}@students{NOWHERE}" if email.endswith(NOWHERE) else email
