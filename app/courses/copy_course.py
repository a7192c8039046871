"""What a copied course keeps of its original: links, and tasks that a person chose.

Assignments agree by their ids, else by a title that only one has in each course. A link to the
original's own quest becomes one to the copy's. What was chosen in the copy before stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, Uuid, bindparam, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app.courses.course import CoursePayload
from app.database import Session
from app.deliveries.payload import MAX_WARNINGS
from app.fields import AnswerWarning
from app.models import LINKS_SQL, PLATFORM, CourseQuestTask, SparkAssignment, SparkCourse, SparkLink

_ORIGINAL = select(SparkCourse.id, SparkCourse.quest_id).where(
    SparkCourse.lms_platform == PLATFORM,
    SparkCourse.spark_org_id == bindparam("org_id"),
    SparkCourse.spark_course_id == bindparam("copied_from"),
)
_ASSIGNMENTS = select(
    SparkAssignment.id,
    SparkAssignment.spark_assignment_id,
    SparkAssignment.task_id,
    SparkAssignment.mapped_at,
    func.coalesce(SparkAssignment.spark_title, SparkAssignment.title).label("title"),
).where(SparkAssignment.course_id == bindparam("course_id"), SparkAssignment.retired_at.is_(None))
_LINKS = text(
    f"""
    select spark_assignment_id, quest_id, task_id, template_id, chosen_by from {LINKS_SQL} link
    where lms_platform = '{PLATFORM}' and spark_org_id in ('', :org_id)
      and spark_course_id = :copied_from
    order by spark_assignment_id, chosen_at desc
    """  # noqa: S608 - of our own pieces
)
_TASK = text(
    """
    update course_quest_tasks ours set title = chosen.title, description = chosen.description,
      pillar = chosen.pillar, xp_value = chosen.xp_value, updated_at = :at,
      diploma_subjects = chosen.diploma_subjects,
      subject_xp_distribution = chosen.subject_xp_distribution
    from course_quest_tasks chosen where ours.id = :ours and chosen.id = :chosen
    returning ours.title
    """
)
_MAPPED = (
    update(SparkAssignment)
    .where(SparkAssignment.id == bindparam("assignment_id"))
    .values(title=bindparam("called"), mapped_at=bindparam("at"), updated_at=bindparam("at"))
)
_LINK = (
    insert(SparkLink)
    .values(
        lms_platform=literal_column(f"'{PLATFORM}'"),
        task_title=select(CourseQuestTask.title)
        .where(CourseQuestTask.id == bindparam("task_id", type_=Uuid))
        .scalar_subquery(),
        **{
            name: bindparam(name)
            for name in (
                *("spark_org_id", "spark_course_id", "spark_assignment_id"),
                *("quest_id", "task_id", "chosen_by", "chosen_at"),
            )
        },
    )
    .on_conflict_do_nothing(constraint="uq_links_assignment")
)


async def carry_over(
    session: Session, course: CoursePayload, course_id: UUID, quest_id: UUID, *, now: datetime
) -> list[AnswerWarning]:
    """In the sync's transaction, after the assignments. The same again changes nothing."""
    if course.copied_from is None:
        return []
    org_id = course.spark_org_id or ""
    named = {"org_id": org_id, "copied_from": course.copied_from}
    of_copy = {"spark_org_id": org_id, "spark_course_id": course.spark_course_id}
    original = (await session.execute(_ORIGINAL, named)).one_or_none()
    links = (await session.execute(_LINKS, named)).mappings().all()
    if original is None and not links:
        detail = "Its organisation has no course of this id."
        return [AnswerWarning(code="copied_course_unknown", detail=detail, field="copied_from")]
    theirs = await _read(session, original.id) if original else []
    linked = [link["spark_assignment_id"] for link in links]
    agreed = _agree(theirs, await _read(session, course_id), linked)
    missed = await _carry_tasks(session, theirs, agreed, now=now)
    tasks = {each["task_id"]: agreed.get(each["spark_assignment_id"]) for each in theirs}
    quests = {original.quest_id: quest_id} if original else {}
    for link in links:
        here, work = agreed.get(link["spark_assignment_id"]), _work(link, quests, tasks)
        if here is None or work is None:
            missed.append(link["spark_assignment_id"])
            continue
        said = {"spark_assignment_id": here["spark_assignment_id"], "chosen_by": link["chosen_by"]}
        await session.execute(_LINK, of_copy | said | work | {"chosen_at": now})
    return [_missed(assignment_id) for assignment_id in missed[:MAX_WARNINGS]]


async def _read(session: Session, course_id: UUID) -> Sequence[RowMapping]:
    found = await session.execute(_ASSIGNMENTS, {"course_id": course_id})
    return found.mappings().all()


def _agree(
    theirs: Sequence[RowMapping], ours: Sequence[RowMapping], linked: Sequence[str]
) -> dict[str, RowMapping]:
    """Of the original's assignments those that the copy has."""
    by_id = {each["spark_assignment_id"]: each for each in ours}
    named = {each["spark_assignment_id"] for each in theirs} | {*linked}
    agreed = {name: by_id[name] for name in named if name in by_id}
    new = _by_title(each for each in ours if each["spark_assignment_id"] not in agreed)
    old = _by_title(each for each in theirs if each["spark_assignment_id"] not in agreed)
    return agreed | {
        old[title]["spark_assignment_id"]: new[title] for title in old.keys() & new.keys()
    }


def _by_title(assignments: Iterable[RowMapping]) -> dict[str, RowMapping]:
    """Those whose title no other has, in any case and spacing."""
    titles: dict[str, list[RowMapping]] = {}
    for each in assignments:
        titles.setdefault(" ".join(each["title"].lower().split()), []).append(each)
    return {title: found[0] for title, found in titles.items() if len(found) == 1}


async def _carry_tasks(
    session: Session,
    theirs: Sequence[RowMapping],
    agreed: Mapping[str, RowMapping],
    *,
    now: datetime,
) -> list[str]:
    """The copy's own task becomes like the one that was chosen. What does not agree."""
    missed = []
    for each in theirs:
        if not (each["mapped_at"] and each["task_id"]):
            continue
        here = agreed.get(each["spark_assignment_id"])
        if here is None:
            missed.append(each["spark_assignment_id"])
        elif here["task_id"] and not here["mapped_at"]:
            tasks = {"ours": here["task_id"], "chosen": each["task_id"], "at": now}
            title = (await session.execute(_TASK, tasks)).scalar_one()
            chosen = {"assignment_id": here["id"], "called": title, "at": now}
            await session.execute(_MAPPED, chosen)
    return missed


def _work(
    link: RowMapping,
    quests: Mapping[UUID, UUID],
    tasks: Mapping[UUID | None, RowMapping | None],
) -> dict[str, UUID | None] | None:
    """What a link means for the copy: of the original's own quest, the same of the copy's."""
    quest_id = quests.get(link["quest_id"])
    if quest_id is None or link["task_id"] is None:
        return {"quest_id": quest_id or link["quest_id"], "task_id": link["template_id"]}
    here = tasks.get(link["template_id"])
    return {"quest_id": quest_id, "task_id": here["task_id"]} if here and here["task_id"] else None


def _missed(assignment_id: str) -> AnswerWarning:
    return AnswerWarning(
        code="not_carried_over",
        detail=f"What was chosen for {assignment_id} there: nothing here has its id or title.",
        field="copied_from",
    )
