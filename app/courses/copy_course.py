"""What a copied course keeps of its original: links, and tasks that a person chose.

Assignments agree by their ids, else by a title that only one has in each course. A link to the
original's own quest becomes one to the copy's. What was chosen in the copy before stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from app.courses.course import CoursePayload
from app.database import Columns, Session, Statement
from app.deliveries.payload import MAX_WARNINGS
from app.fields import AnswerWarning
from app.models import LINKS_SQL, PLATFORM

_ORIGINAL = Statement(
    f"""
    select id, quest_id from spark.courses
    where lms_platform = '{PLATFORM}' and spark_org_id = :org_id and spark_course_id = :copied_from
    """  # noqa: S608 - our own word
)
_ASSIGNMENTS = Statement(
    """
    select id, spark_assignment_id, task_id, mapped_at, coalesce(spark_title, title) as title
    from spark.assignments where course_id = :course_id and retired_at is null
    """
)
_LINKS = Statement(
    f"""
    select spark_assignment_id, quest_id, task_id, template_id, chosen_by from {LINKS_SQL} link
    where lms_platform = '{PLATFORM}' and spark_org_id in ('', :org_id)
      and spark_course_id = :copied_from
    order by spark_assignment_id, chosen_at desc
    """  # noqa: S608 - of our own pieces
)
_TASK = Statement(
    """
    update course_quest_tasks ours set title = chosen.title, description = chosen.description,
      pillar = chosen.pillar, xp_value = chosen.xp_value, updated_at = :now,
      diploma_subjects = chosen.diploma_subjects,
      subject_xp_distribution = chosen.subject_xp_distribution
    from course_quest_tasks chosen where ours.id = :ours and chosen.id = :chosen
    returning ours.title
    """
)
_MAPPED = Statement(
    """
    update spark.assignments set title = :title, mapped_at = :now, updated_at = :now
    where id = :id
    """
)
_LINK = Statement(
    f"""
    insert into spark.links (lms_platform, spark_org_id, spark_course_id, spark_assignment_id,
      quest_id, task_id, task_title, chosen_by, chosen_at)
    select '{PLATFORM}', :spark_org_id, :spark_course_id, :spark_assignment_id, :quest_id,
      :task_id::uuid, (select title from course_quest_tasks where id = :task_id), :chosen_by,
      :chosen_at
    on conflict on constraint uq_links_assignment do nothing
    """  # noqa: S608 - our own word
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
    original = next(iter(await _ORIGINAL.send(session, named)), None)
    links = await _LINKS.send(session, named)
    if original is None and not links:
        detail = "Its organisation has no course of this id."
        return [AnswerWarning(code="copied_course_unknown", detail=detail, field="copied_from")]
    theirs = await _ASSIGNMENTS.send(session, {"course_id": original["id"]}) if original else []
    linked = [link["spark_assignment_id"] for link in links]
    ours = await _ASSIGNMENTS.send(session, {"course_id": course_id})
    agreed = _agree(theirs, ours, linked)
    missed = await _carry_tasks(session, theirs, agreed, now=now)
    tasks = {each["task_id"]: agreed.get(each["spark_assignment_id"]) for each in theirs}
    quests = {original["quest_id"]: quest_id} if original else {}
    for link in links:
        here, work = agreed.get(link["spark_assignment_id"]), _work(link, quests, tasks)
        if here is None or work is None:
            missed.append(link["spark_assignment_id"])
            continue
        said = {"spark_assignment_id": here["spark_assignment_id"], "chosen_by": link["chosen_by"]}
        await _LINK.send(session, of_copy | said | work | {"chosen_at": now})
    return [_missed(assignment_id) for assignment_id in missed[:MAX_WARNINGS]]


def _agree(
    theirs: Sequence[Columns], ours: Sequence[Columns], linked: Sequence[str]
) -> dict[str, Columns]:
    """Of the original's assignments those that the copy has."""
    by_id = {each["spark_assignment_id"]: each for each in ours}
    named = {each["spark_assignment_id"] for each in theirs} | {*linked}
    agreed = {name: by_id[name] for name in named if name in by_id}
    new = _by_title(each for each in ours if each["spark_assignment_id"] not in agreed)
    old = _by_title(each for each in theirs if each["spark_assignment_id"] not in agreed)
    return agreed | {
        old[title]["spark_assignment_id"]: new[title] for title in old.keys() & new.keys()
    }


def _by_title(assignments: Iterable[Columns]) -> dict[str, Columns]:
    """Those whose title no other has, in any case and spacing."""
    titles: dict[str, list[Columns]] = {}
    for each in assignments:
        titles.setdefault(" ".join(each["title"].lower().split()), []).append(each)
    return {title: found[0] for title, found in titles.items() if len(found) == 1}


async def _carry_tasks(
    session: Session,
    theirs: Sequence[Columns],
    agreed: Mapping[str, Columns],
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
            tasks = {"ours": here["task_id"], "chosen": each["task_id"], "now": now}
            [task] = await _TASK.send(session, tasks)
            await _MAPPED.send(session, {"id": here["id"], "title": task["title"], "now": now})
    return missed


def _work(
    link: Columns,
    quests: Mapping[UUID, UUID],
    tasks: Mapping[UUID | None, Columns | None],
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
