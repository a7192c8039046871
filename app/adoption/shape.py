"""How this database differs from one of our own, asked of its catalogue (DESIGN R28).

Whatever an act does differently beside the main app is decided here, once a process, and nowhere
else: an act takes the `Shape` and chooses between two texts that stand side by side.
"""

from typing import NamedTuple

from app.adoption.read_catalogue import Catalogue, read_catalogue
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


class LiveShape:
    """The shape of one process's database: read when it is needed first, and then kept, so that the
    service starts while the database is away.
    """

    def __init__(self, *, complete_quests: bool | None = None) -> None:
        self._shape: Shape | None = None
        self._complete_quests = complete_quests

    async def read(self, session: Session) -> Shape:
        return self._shape or self.learn(await read_catalogue(session))

    async def completes_quests(self, session: Session) -> bool:
        """Whether a quest ends with its required tasks (#24): as the operator says, or else in a
        database of our own. The main app's asks the student.
        """
        if self._complete_quests is None:
            return not (await self.read(session)).is_adopted
        return self._complete_quests

    def learn(self, catalogue: Catalogue) -> Shape:
        """The main app may have changed its tables."""
        self._shape = Shape(
            catalogue.has_auth_rows, catalogue.links_need_organization, catalogue.defers_credit
        )
        return self._shape
