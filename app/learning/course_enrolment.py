"""Students in whole courses: enrolled by a sign-in or a roster, dropped by a roster.

Every function runs in the caller's transaction. Nothing is deleted; who is dropped is inactive.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Select, Text, Uuid, any_, bindparam, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.learning.organisations import is_own
from app.learning.task_copies import copies_for
from app.models import PLATFORM, LmsSession, Quest, SparkCourse, UserQuest

_NOW = bindparam("now", type_=UserQuest.completed_at.type)


def _enrol(pairs: Select[Any]) -> Select[Any]:
    """Make or reactivate the enrolments of `pairs` (user_id, quest_id), with their tasks."""
    pair = pairs.cte("pair")
    enrolled = (
        insert(UserQuest)
        .from_select(
            ["user_id", "quest_id", "started_at", "last_picked_up_at", "personalization_completed"],
            # In one order, so that two statements cannot wait for each other.
            select(pair.c.user_id, pair.c.quest_id, _NOW, _NOW, true()).order_by(
                pair.c.user_id, pair.c.quest_id
            ),
        )
        .on_conflict_do_update(
            index_elements=[UserQuest.user_id, UserQuest.quest_id],
            set_={"is_active": True, "last_picked_up_at": _NOW},
            where=~UserQuest.is_active,
        )
        .returning(UserQuest.id, UserQuest.user_id, UserQuest.quest_id)
        .cte("enrolled")
    )
    return select(func.count(enrolled.c.id)).add_cte(copies_for(enrolled).cte("copied"))


_USER = bindparam("user_id", type_=Uuid)
_COURSES = bindparam("courses", type_=ARRAY(Text))
# Shared locks, in one order: a sync that goes on at this moment ends first, so that its new tasks
# are there to be copied; one that comes later sees who is enrolled.
_CLAIMED = (
    select(
        Quest.id,
        Quest.lms_course_id,
        or_(SparkCourse.id.is_(None), is_own(SparkCourse.spark_org_id, _USER)).label("is_own"),
    )
    .select_from(Quest)
    .outerjoin(SparkCourse, SparkCourse.quest_id == Quest.id)
    .where(
        Quest.lms_platform == PLATFORM,
        Quest.quest_type == "course",
        Quest.is_active,
        or_(_COURSES.is_(None), Quest.lms_course_id == any_(_COURSES)),
    )
    .order_by(Quest.id)
    .with_for_update(read=True, of=Quest)
)
_ENROL_CLAIMED = _enrol(
    select(
        _USER.label("user_id"),
        func.unnest(bindparam("quests", type_=ARRAY(Uuid))).label("quest_id"),
    )
)
_USERS = bindparam("user_ids", type_=ARRAY(Uuid))
_QUEST = bindparam("of_quest", type_=Uuid)
_ENROL_STUDENTS = _enrol(
    select(func.unnest(_USERS).label("user_id"), _QUEST.label("quest_id")).distinct()
)
_DROP = (
    update(UserQuest)
    .where(UserQuest.quest_id == _QUEST, UserQuest.user_id == any_(_USERS), UserQuest.is_active)
    .values(is_active=False)
    .returning(UserQuest.user_id)
)
_IN_A_COURSE = (
    select(UserQuest.id)
    .join(Quest, Quest.id == UserQuest.quest_id)
    .where(
        UserQuest.user_id == LmsSession.user_id,
        UserQuest.is_active,
        Quest.lms_platform == PLATFORM,
    )
    .exists()
)
_REVOKE = (
    update(LmsSession)
    .where(
        LmsSession.user_id == any_(_USERS),
        LmsSession.lms_platform == PLATFORM,
        LmsSession.revoked_at.is_(None),
        ~_IN_A_COURSE,
    )
    .values(revoked_at=_NOW)
)


async def enrol_in_courses(
    session: Session, user_id: UUID, course_ids: Sequence[str] | None, *, now: datetime
) -> int:
    """In the courses of these Spark ids; None means in all of the student's own organisations.

    Of courses with one id only those of the student's own organisations, if there are any. How
    many enrolments are new or active again.
    """
    courses = None if course_ids is None else list(course_ids)
    found = await session.execute(_CLAIMED, {"user_id": user_id, "courses": courses})
    claimed = found.all()
    own = {quest.lms_course_id for quest in claimed if quest.is_own}
    quests = [
        quest.id
        for quest in claimed
        if quest.is_own or (courses is not None and quest.lms_course_id not in own)
    ]
    if not quests:
        return 0
    enrolled = await session.execute(
        _ENROL_CLAIMED, {"user_id": user_id, "quests": quests, "now": now}
    )
    count: int = enrolled.scalar_one()
    return count


async def enrol_students(
    session: Session, user_ids: Sequence[UUID], *, quest_id: UUID, now: datetime
) -> int:
    """How many enrolments are new or active again."""
    enrolled = await session.execute(
        _ENROL_STUDENTS, {"user_ids": list(user_ids), "of_quest": quest_id, "now": now}
    )
    count: int = enrolled.scalar_one()
    return count


async def drop_students(
    session: Session, user_ids: Sequence[UUID], *, quest_id: UUID, now: datetime
) -> int:
    """How many were enrolled. Sessions of those without any other course are revoked."""
    dropped = await session.execute(_DROP, {"user_ids": list(user_ids), "of_quest": quest_id})
    gone = list(dropped.scalars())
    await session.execute(_REVOKE, {"user_ids": gone, "now": now})
    return len(gone)
