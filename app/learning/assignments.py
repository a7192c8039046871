"""Which quest a Spark assignment means (CONTRACT 8.5).

Assignment ids are not unique across courses, so a match counts only when it is the only one:

    1. the course is given and known: that course only, even if the assignment is not in it
    2. exactly one match in all courses
    3. several, and the student is actively enrolled in exactly one of them
    4. otherwise the sender must say which course is meant
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Row, bindparam, select

from app.database import Session
from app.errors import AssignmentAmbiguousError, AssignmentNotFoundError
from app.models import PLATFORM, Quest, UserQuest

Match = Row[UUID, str | None, bool]


# Built once: building a statement costs more than running it.
_ENROLLED = (
    select(UserQuest.id)
    .where(
        UserQuest.quest_id == Quest.id,
        UserQuest.user_id == bindparam("user_id"),
        UserQuest.is_active,
    )
    .exists()
)
_MATCHES = select(Quest.id, Quest.lms_course_id, _ENROLLED.label("enrolled")).where(
    Quest.lms_platform == PLATFORM,
    Quest.lms_assignment_id == bindparam("assignment_id"),
    Quest.is_active,
)


async def resolve_assignment(
    session: Session, assignment_id: str, *, course_id: str | None, user_id: UUID
) -> UUID:
    """The quest. Raises AssignmentNotFoundError or AssignmentAmbiguousError."""
    found = await session.execute(_MATCHES, {"assignment_id": assignment_id, "user_id": user_id})
    matches = found.all()
    candidates: Sequence[Match] = [
        match for match in matches if course_id and match.lms_course_id == course_id
    ]
    if not candidates and not (course_id and await _is_known(session, course_id)):
        candidates = matches
    enrolled = [match for match in candidates if match.enrolled]
    if not candidates:
        raise AssignmentNotFoundError(assignment_id=assignment_id)
    for few in (candidates, enrolled):
        if len(few) == 1:
            quest_id, _, _ = few[0]
            return quest_id
    raise AssignmentAmbiguousError(assignment_id=assignment_id)


async def _is_known(session: Session, course_id: str) -> bool:
    found = await session.execute(
        select(Quest.id)
        .where(Quest.lms_platform == PLATFORM, Quest.lms_course_id == course_id)
        .limit(1)
    )
    return found.one_or_none() is not None
