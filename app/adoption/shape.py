"""How this database differs from one of our own, asked of its catalogue (DESIGN R28).

Whatever an act does differently beside the main app is decided by the catalogue's properties, read
once a process, and nowhere else: an act chooses between two texts that stand side by side.
"""

from sqlalchemy import text

from app.adoption.read_catalogue import Catalogue, read_catalogue
from app.database import Session

_TEMPLATE_TASKS = text("select to_regclass('public.quest_template_tasks') is not null")


class LiveShape:
    """The catalogue of one process's database: read when it is needed first, and then kept, so that
    the service starts while the database is away.
    """

    def __init__(self, *, complete_quests: bool | None = None) -> None:
        self._catalogue: Catalogue | None = None
        self._complete_quests = complete_quests

    async def read(self, session: Session) -> Catalogue:
        return self._catalogue or self.learn(await read_catalogue(session))

    async def completes_quests(self, session: Session) -> bool:
        """Whether a quest ends with its required tasks (#24): as the operator says, or else in a
        database of our own. The main app's asks the student.
        """
        if self._complete_quests is None:
            return not (await self.read(session)).has_auth_rows
        return self._complete_quests

    def learn(self, catalogue: Catalogue) -> Catalogue:
        """The main app may have changed its tables."""
        self._catalogue = catalogue
        return catalogue


async def has_template_tasks(session: Session) -> bool:
    """Whether the main app keeps templates in a table of its own, too (#20)."""
    return bool(await session.scalar(_TEMPLATE_TASKS))
