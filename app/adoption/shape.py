"""How this database differs from one of our own, asked of its catalogue (DESIGN R28).

Whatever an act does differently beside the main app is decided here, once a process, and nowhere
else: an act takes the `Shape` and chooses between two texts that stand side by side.
"""

from typing import NamedTuple

from sqlalchemy import text

from app.database import Session


class Shape(NamedTuple):
    """What is so in this database. One of our own has none of it."""

    has_auth_users: bool  # `users.id` references `auth.users`, so that row comes first (#3)
    links_need_organization: bool  # `lms_integrations.organization_id` is mandatory (#4)
    defers_credit: bool  # `user_subject_xp.pending_xp`: credit is asked for, then approved (#17)

    @property
    def is_adopted(self) -> bool:
        """Whether `public` is the main app's: only its users are GoTrue's as well."""
        return self.has_auth_users


# Of the catalogue alone, so that no right to what is asked about is needed.
_SHAPE = text(
    """
    with cols as (
      select c.oid, c.relname, a.attname, a.attnum, a.attnotnull and not a.atthasdef as is_needed
      from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and c.relname in ('users', 'lms_integrations', 'user_subject_xp')
        and a.attnum > 0 and not a.attisdropped)
    select
      exists (
        select from cols
        join pg_constraint k on k.conrelid = cols.oid and k.conkey = array[cols.attnum]
        join pg_class r on r.oid = k.confrelid
        join pg_namespace n on n.oid = r.relnamespace
        where (cols.relname, cols.attname) = ('users', 'id') and k.contype = 'f'
          and (n.nspname, r.relname) = ('auth', 'users')) as has_auth_users,
      exists (
        select from cols
        where (relname, attname) = ('lms_integrations', 'organization_id') and is_needed
      ) as links_need_organization,
      exists (
        select from cols where (relname, attname) = ('user_subject_xp', 'pending_xp')
      ) as defers_credit
    """
)


class LiveShape:
    """The shape of one process's database: read when it is needed first, and then kept, so that the
    service starts while the database is away.
    """

    def __init__(self, *, complete_quests: bool | None = None) -> None:
        self._shape: Shape | None = None
        self._complete_quests = complete_quests

    async def read(self, session: Session) -> Shape:
        return self._shape or await self.refresh(session)

    async def completes_quests(self, session: Session) -> bool:
        """Whether a quest ends with its required tasks (#24): as the operator says, or else in a
        database of our own. The main app's asks the student.
        """
        if self._complete_quests is None:
            return not (await self.read(session)).is_adopted
        return self._complete_quests

    async def refresh(self, session: Session) -> Shape:
        """Ask again: the main app may have changed its tables."""
        self._shape = Shape(*(await session.execute(_SHAPE)).one())
        return self._shape
