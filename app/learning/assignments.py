"""Which quest a Spark assignment means (CONTRACT 8.5).

Assignment ids are not unique across courses, so a match counts only when it is the only one:

    1. the course is given and known: that course only, even if the assignment is not in it
    2. exactly one match in all courses
    3. several, and the student is actively enrolled in exactly one of them
    4. otherwise the sender must say which course is meant
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, select

from app.database import Session
from app.errors import AssignmentAmbiguousError, AssignmentNotFoundError
from app.models import PLATFORM, Quest, UserQuest


class Match(NamedTuple):
    """A quest that an assignment may mean."""

    quest_id: UUID
    course_id: str | None
    is_enrolled: bool


def matches_for(user_id: ColumnElement[Any]) -> Select[UUID, str | None, bool]:
    """Every Match of the assignment `:assignment_id`, for statements that need more."""
    enrolled = (
        select(UserQuest.id)
        .where(UserQuest.quest_id == Quest.id, UserQuest.user_id == user_id, UserQuest.is_active)
        .correlate_except(UserQuest)
        .exists()
    )
    return select(
        Quest.id.label("quest_id"),
        Quest.lms_course_id.label("course_id"),
        enrolled.label("is_enrolled"),
    ).where(
        Quest.lms_platform == PLATFORM,
        Quest.lms_assignment_id == bindparam("assignment_id"),
        Quest.is_active,
    )


_MATCHES = matches_for(bindparam("user_id"))


async def resolve_assignment(
    session: Session, assignment_id: str, *, course_id: str | None, user_id: UUID
) -> UUID:
    """The quest. Raises AssignmentNotFoundError or AssignmentAmbiguousError."""
    found = await session.execute(_MATCHES, {"assignment_id": assignment_id, "user_id": user_id})
    matches = [Match(*match) for match in found]
    return await choose_quest(session, matches, assignment_id, course_id=course_id)


async def choose_quest(
    session: Session, matches: Sequence[Match], assignment_id: str, *, course_id: str | None
) -> UUID:
    """The one that is meant. Raises as `resolve_assignment`."""
    candidates = [match for match in matches if course_id and match.course_id == course_id]
    if not candidates and not (course_id and await _is_known(session, course_id)):
        candidates = list(matches)
    enrolled = [match for match in candidates if match.is_enrolled]
    if not candidates:
        raise AssignmentNotFoundError(assignment_id=assignment_id)
    for few in (candidates, enrolled):
        if len(few) == 1:
            return few[0].quest_id
    raise AssignmentAmbiguousError(assignment_id=assignment_id)


async def _is_known(session: Session, course_id: str) -> bool:
    found = await session.execute(
        select(Quest.id)
        .where(Quest.lms_platform == PLATFORM, Quest.lms_course_id == course_id)
        .limit(1)
    )
    return found.one_or_none() is not None
