"""Which work a Spark assignment means (CONTRACT 8.5).

There are two models: a course that was synced has a template task for each assignment; before that
there was one quest for each assignment. A link that a person chose goes before what was synced in
its course, and that before the older model. Assignment ids are not unique across courses, so a
match counts only when it is the only one:

    1. the course is given and known: that course only, even if the assignment is not in it
    2. exactly one match in the student's own organisations; a student of none belongs to all
    3. several, and the student is actively enrolled in exactly one of them
    4. otherwise the sender must say which course is meant
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

from app.database import Session, Statement, read_as
from app.errors import AssignmentAmbiguousError, AssignmentNotFoundError
from app.learning.organisations import is_own_sql
from app.models import LINKS_SQL, PLATFORM

NEVER = datetime.min.replace(tzinfo=UTC)

Rule = Literal["course", "organisation", "enrolment"]


class Match(NamedTuple):
    """Work that an assignment may mean: of a template task, or of a quest's first one. One that was
    synced has its own `assignment_id`, and no template where the main app has deleted it; one of
    the older model has no `org_id`.
    """

    quest_id: UUID
    assignment_id: UUID | None
    template_id: UUID | None
    org_id: str | None
    course_id: str | None
    linked_at: datetime | None
    is_own: bool
    is_enrolled: bool

    @property
    def source_id(self) -> UUID | None:
        """What a student's copy names: of a template that is lost, nothing does."""
        return self.template_id or self.assignment_id


def matches_sql(user_id: str) -> str:
    """Every Match of the assignment `:assignment_id`, for statements that need more."""
    return f"""
      select work.*, work.org_id is null or {is_own_sql("work.org_id", user_id)} as is_own,
        exists (
          select from user_quests
          where quest_id in (work.quest_id, work.course_quest_id) and user_id = {user_id}
            and user_quests.is_active) as is_enrolled
      from (
        select quests.id as quest_id, quests.id as course_quest_id, assignment.id as assignment_id,
          assignment.task_id as template_id, course.spark_org_id as org_id,
          course.spark_course_id as course_id, null::timestamptz as linked_at
        from spark.assignments assignment
        join spark.courses course on course.id = assignment.course_id
        join quests on quests.id = course.quest_id
        where course.lms_platform = '{PLATFORM}'
          and assignment.spark_assignment_id = :assignment_id and quests.is_active
        union all
        select id, id, null, null, null, lms_course_id, null
        from quests where lms_platform = '{PLATFORM}'
          and lms_assignment_id = :assignment_id and is_active
        union all
        select link.quest_id, course.quest_id, null, link.template_id,
          coalesce(course.spark_org_id, link.spark_org_id), link.spark_course_id, link.chosen_at
        from {LINKS_SQL} link
        left join spark.courses course on course.lms_platform = link.lms_platform
          and course.spark_course_id = link.spark_course_id
          and link.spark_org_id in ('', course.spark_org_id)
        where link.lms_platform = '{PLATFORM}' and link.spark_assignment_id = :assignment_id
      ) work
    """  # noqa: S608 - of our own pieces


_MATCHES = Statement(matches_sql(":user_id"))


async def resolve_assignment(
    session: Session, assignment_id: str, *, course_id: str | None, user_id: UUID
) -> Match:
    """Raises AssignmentNotFoundError or AssignmentAmbiguousError."""
    matches = await find_matches(session, assignment_id, user_id=user_id)
    return await choose_match(session, matches, assignment_id, course_id=course_id)


async def find_matches(session: Session, assignment_id: str, *, user_id: UUID) -> list[Match]:
    found = await _MATCHES.send(session, {"assignment_id": assignment_id, "user_id": user_id})
    return [read_as(Match, match) for match in found]


async def choose_match(
    session: Session, matches: Sequence[Match], assignment_id: str, *, course_id: str | None
) -> Match:
    """The match that is meant. Raises as `resolve_assignment`."""
    named = [match for match in matches if course_id and match.course_id == course_id]
    candidates = named
    if not named and not (course_id and await _is_known(session, course_id)):
        candidates = list(matches)
    candidates = _by_course(candidates) or candidates
    if not candidates:
        raise AssignmentNotFoundError(assignment_id=assignment_id)
    own = [match for match in candidates if match.is_own]
    enrolled = [match for match in candidates if match.is_enrolled]
    for few in (candidates if named else (), own, enrolled):
        if len(few) == 1:
            return few[0]
    raise AssignmentAmbiguousError(assignment_id=assignment_id)


def _by_course(matches: Sequence[Match]) -> list[Match]:
    """Of each course one: the newest link, else what was synced."""
    ordered = sorted(matches, key=lambda match: match.linked_at or NEVER)
    courses = {(each.org_id, each.course_id): each for each in ordered if each.org_id is not None}
    return list(courses.values())


def rule_of(match: Match, matches: Sequence[Match], *, course_id: str | None) -> Rule:
    """Why it was chosen of them."""
    if course_id and match.course_id == course_id:
        return "course"
    own = [each for each in _by_course(matches) or matches if each.is_own]
    return "organisation" if own == [match] else "enrolment"


_KNOWN = Statement(
    f"""
    select where exists (
      select from spark.courses
      where lms_platform = '{PLATFORM}' and spark_course_id = :course_id::text)
    or exists (
      select from quests where lms_platform = '{PLATFORM}' and lms_course_id = :course_id)
    """  # noqa: S608 - our own words
)


async def _is_known(session: Session, course_id: str) -> bool:
    return bool(await _KNOWN.send(session, {"course_id": course_id}))
