"""Why is this homework missing? One look at everything that decides about it; it changes nothing.

No text, name or address is in the answer: it is for whoever is asked, and not for readers.
"""

from typing import Literal
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, or_, text

from app.accounts.linked_students import find_linked, why_inactive
from app.accounts.tombstones import Tombstones, find_erasure
from app.accounts.withheld_links import was_withheld
from app.activity.audit import record_audit
from app.database import Session, Sessions, Statement
from app.deliveries.read_inbox import DeliveryAnswer, DeliveryFilter, newest_deliveries
from app.errors import AssignmentAmbiguousError, AssignmentNotFoundError
from app.evidence.provenance import IS_BY_SPARK_SQL
from app.learning.assignments import choose_match, find_matches, rule_of
from app.learning.enrolment import THE_TASK_SQL, WITH_WORK_FIRST
from app.models import PLATFORM, InboxDelivery, SubmissionRevision
from app.submissions.explain_facts import (
    AssignmentAnswer,
    EnrolmentAnswer,
    ExplainAnswer,
    Homework,
    HomeworkFacts,
    LinkAnswer,
    ShownAnswer,
    TaskAnswer,
)
from app.submissions.findings import judge
from app.submissions.list_submissions import FACTS, submission_facts

DELIVERIES = 20
NOBODY = UUID(int=0)
NOT_ENROLLED = EnrolmentAnswer(enrolled=False, active=False, started_at=None, completed_at=None)
NO_TASK = TaskAnswer(
    task_id=None, title=None, completed=False, completion_id=None, completed_at=None, xp_awarded=0
)

_QUEST = Statement(
    """
    select q.title as quest_title, a.retired_at is not null as retired, a.mapped_at
    from quests q left join spark.assignments a on a.id = :assignment_id::uuid
    where q.id = :quest_id::uuid
    """
)
_LINK = Statement(
    f"""
    select exists (
      select from spark.links
      where lms_platform = '{PLATFORM}' and spark_assignment_id = :assignment_id::text
        and retired_at is null and spark_course_id = coalesce(:course_id::text, spark_course_id)
    ) as is_there
    """  # noqa: S608 - our own words
)
_ENROLMENT = text(
    f"""
    select id, true as enrolled, is_active is true as active, started_at, completed_at
    from user_quests where user_id = :user_id and quest_id = :quest_id
    order by {WITH_WORK_FIRST} limit 1
    """  # noqa: S608 - of our own pieces
).bindparams(bindparam("template_id", type_=Uuid))
_TASK = Statement(
    f"""
    select task.task_id, task.title, c.id is not null as completed, c.id as completion_id,
      c.completed_at, coalesce(x.xp_amount, 0) as xp_awarded
    from ({THE_TASK_SQL}) task
    left join quest_task_completions c on c.task_id = task.task_id and c.user_id = task.user_id
    left join spark.xp_ledger x on x.task_id = task.task_id and x.user_id = task.user_id
    """  # noqa: S608 - our own words
)
_NEWEST_COMPLETION = text(
    """
    select completion_id from spark.submission_revisions
    where user_id = :user_id and spark_assignment_id = :assignment_id
      and (cast(:course_id as text) is null or spark_course_id is null
        or spark_course_id = :course_id)
    order by id desc limit 1
    """
)
_CURRENT = FACTS.where(
    SubmissionRevision.completion_id
    == func.coalesce(
        bindparam("completion_id", type_=Uuid),
        _NEWEST_COMPLETION.columns(completion_id=Uuid).scalar_subquery(),
    ),
    SubmissionRevision.replaced_at.is_(None),
)
_FILES = """(
  select count(*) from spark.uploads u
  join spark.submission_revisions r on u.submission_id = coalesce(r.restored_from, r.id)
  where r.id = :submission_id::uuid"""
_SEEN = Statement(
    f"""
    select count(*) filter (where not evidence_document_blocks.is_private) as blocks_shown,
      count(*) filter (where evidence_document_blocks.is_private) as blocks_private,
      coalesce(bool_or(c.is_confidential or d.is_confidential), false) as confidential,
      {_FILES} and u.location = 'unknown') as location_unknown,
      {_FILES} and u.scan = 'unscanned') as unscanned,
      {_FILES} and u.picture <> 'jpeg') as heic_left
    from spark.submission_revisions
    join quest_task_completions c on c.id = submission_revisions.completion_id
    left join user_task_evidence_documents d on d.user_id = c.user_id and d.task_id = c.task_id
    left join evidence_document_blocks
      on evidence_document_blocks.document_id = d.id and {IS_BY_SPARK_SQL}
    where submission_revisions.id = :submission_id::uuid
    """  # noqa: S608 - of our own pieces
)


async def explain_homework(
    sessions: Sessions, tombstones: Tombstones, asked: Homework, *, caller: str
) -> ExplainAnswer:
    """An unknown student or assignment is an answer, too. Audited."""
    async with sessions() as session, session.begin():
        facts = await look_at(session, tombstones, asked)
        whose = facts.link.user_id
        await record_audit(session, caller, "sensitive_read", user_id=whose, what="explain")
    steps, do = judge(facts)
    return ExplainAnswer(
        **dict(asked),
        **dict(facts),
        delivery=None,
        event=None,
        summary=[step.says for step in steps],
        steps=steps,
        next=do,
    )


async def look_at(session: Session, tombstones: Tombstones, asked: Homework) -> HomeworkFacts:
    link = await _find_link(session, tombstones, asked)
    user_id = link.user_id or NOBODY
    assignment = await _find_assignment(session, asked, user_id)
    user_quest_id, enrolment = await _find_enrolment(session, user_id, assignment)
    task = await _find_task(session, user_quest_id, assignment)
    return HomeworkFacts(
        link=link,
        assignment=assignment,
        enrolment=enrolment,
        task=task,
        deliveries=await _list_deliveries(session, asked),
        submission=await _find_shown(session, asked, user_id, task),
    )


async def _find_link(session: Session, tombstones: Tombstones, asked: Homework) -> LinkAnswer:
    known = await find_linked(session, asked.spark_user_id)
    erased = await find_erasure(session, tombstones, asked.spark_user_id) is not None
    unknown: Literal["erased", "user_not_found"] = "erased" if erased else "user_not_found"
    reason = why_inactive(known) if known else unknown
    return LinkAnswer(
        found=known is not None,
        user_id=known.user_id if known else None,
        active=reason is None,
        reason=reason,
        erased=erased,
        address_exists=known is not None and await was_withheld(session, known.user_id),
    )


async def _find_assignment(session: Session, asked: Homework, user_id: UUID) -> AssignmentAnswer:
    asked_id, course_id = asked.spark_assignment_id, asked.spark_course_id
    matches = await find_matches(session, asked_id, user_id=user_id)
    try:
        match = await choose_match(session, matches, asked_id, course_id=course_id)
    except (AssignmentNotFoundError, AssignmentAmbiguousError) as problem:
        return AssignmentAnswer(
            found=False,
            code=problem.code,
            quest_id=None,
            quest_title=None,
            task_template_id=None,
            retired=False,
            mapped_at=None,
            linked_at=None,
            link_lost=await _has_link(session, asked, asked.spark_course_id),
            rule=None,
        )
    ids = {"quest_id": match.quest_id, "assignment_id": match.assignment_id}
    [quest] = await _QUEST.send(session, ids)
    return AssignmentAnswer(
        found=True,
        code=None,
        quest_id=match.quest_id,
        task_template_id=match.source_id,
        linked_at=match.linked_at,
        link_lost=match.linked_at is None and await _has_link(session, asked, match.course_id),
        rule=rule_of(match, matches, course_id=course_id),
        **quest,
    )


async def _has_link(session: Session, asked: Homework, course_id: str | None) -> bool:
    of_assignment = {"assignment_id": asked.spark_assignment_id, "course_id": course_id}
    [link] = await _LINK.send(session, of_assignment)
    return bool(link["is_there"])


async def _find_enrolment(
    session: Session, user_id: UUID, assignment: AssignmentAnswer
) -> tuple[UUID | None, EnrolmentAnswer]:
    of_work = {"quest_id": assignment.quest_id, "template_id": assignment.task_template_id}
    found = await session.execute(_ENROLMENT, {"user_id": user_id} | of_work)
    enrolment = found.mappings().one_or_none()
    return (enrolment["id"], EnrolmentAnswer(**enrolment)) if enrolment else (None, NOT_ENROLLED)


async def _find_task(
    session: Session, user_quest_id: UUID | None, assignment: AssignmentAnswer
) -> TaskAnswer:
    of_work = {"user_quest_id": user_quest_id, "template_id": assignment.task_template_id}
    found = await _TASK.send(session, of_work)
    return TaskAnswer(**found[0]) if found else NO_TASK


async def _list_deliveries(session: Session, asked: Homework) -> list[DeliveryAnswer]:
    """Of the course that is asked for, or that name none."""
    filters = DeliveryFilter(
        spark_user_id=asked.spark_user_id, spark_assignment_id=asked.spark_assignment_id
    )
    newest = newest_deliveries(filters, None, DELIVERIES)
    if asked.spark_course_id is not None:
        course_id = InboxDelivery.spark_course_id
        newest = newest.where(or_(course_id.is_(None), course_id == asked.spark_course_id))
    found = await session.execute(newest)
    return [DeliveryAnswer(**delivery) for delivery in found.mappings()]


async def _find_shown(
    session: Session, asked: Homework, user_id: UUID, task: TaskAnswer
) -> ShownAnswer | None:
    """Of the completed task; if that is not known, of the last handing-in for the assignment."""
    found = await session.execute(
        _CURRENT,
        {
            "completion_id": task.completion_id,
            "user_id": user_id,
            "assignment_id": asked.spark_assignment_id,
            "course_id": asked.spark_course_id,
        },
    )
    current = found.mappings().one_or_none()
    if current is None:
        return None
    [seen] = await _SEEN.send(session, {"submission_id": current["id"]})
    return ShownAnswer(**submission_facts(current), **seen)
