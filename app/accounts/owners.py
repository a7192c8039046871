"""Whose an address is. Beside GoTrue it is also theirs who sign in to the main app with it, or have
begun to register: both texts stand here, the database's catalogue chooses (DESIGN R26).
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, text

from app.adoption.people import DELETION_SQL, IS_STUDENT_SQL
from app.adoption.read_catalogue import Catalogue
from app.database import Session
from app.models import PLATFORM


class Owner(NamedTuple):
    """An account that has this address, in ASCII lower case; without `id` an orphan of GoTrue's: a
    registration that ended half-way. `is_free` says that there is an account without a link to
    Spark; `is_confirmed` is false where it is known that the address was never confirmed.
    """

    id: UUID | None
    email: str
    is_student: bool
    deletion_status: str
    is_free: bool
    is_confirmed: bool
    first_name: str | None


# In ASCII letters alone, as `usable_email` lowers: an index has it.
_EMAIL = 'lower(users.email collate "C")'
_ACCOUNT = f"{IS_STUDENT_SQL} as is_student, {DELETION_SQL} as deletion_status"
_LINK = f"""left join lms_integrations
      on lms_integrations.user_id = users.id and lms_integrations.lms_platform = '{PLATFORM}'"""
_EMAILS = bindparam("emails", type_=ARRAY(Text))
OWNERS = text(
    f"""
    select users.id, {_EMAIL} as email, {_ACCOUNT}, lms_integrations.id is null as is_free,
      true as is_confirmed, users.first_name
    from users {_LINK}
    where {_EMAIL} = any (:emails)
    """  # noqa: S608 - our own words
).bindparams(_EMAILS)
# GoTrue keeps addresses in lower case. Only the one that it knows is one that was confirmed.
OWNERS_BESIDE_GOTRUE = text(
    f"""
    with auth_user as materialized (select * from spark.find_auth_users(:emails)),
    found as (
      select users.id, said.email
      from unnest(:emails) as said (email) join users on {_EMAIL} = said.email
      union select id, email from auth_user where email = any (:emails))
    select users.id, found.email, {_ACCOUNT},
      users.id is not null and lms_integrations.id is null as is_free,
      coalesce(auth_user.is_confirmed and lower(auth_user.email) = found.email, false),
      users.first_name
    from found
    left join users on users.id = found.id
    left join auth_user on auth_user.id = found.id
    {_LINK}
    """  # noqa: S608 - our own words
).bindparams(_EMAILS)


async def find_owners(session: Session, emails: Sequence[str], catalogue: Catalogue) -> list[Owner]:
    owners = OWNERS_BESIDE_GOTRUE if catalogue.has_auth_rows else OWNERS
    found = await session.execute(owners, {"emails": emails})
    return [Owner(*row) for row in found]
