"""Why is this homework missing? One look at everything that decides about it; it changes nothing.

No text, name or address is in the answer: it is for whoever is asked, and not for readers.
"""

from typing import Literal
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, false, func, or_, select, text

from app.accounts.linked_students import find_linked, why_inactive
from app.accounts.tombstones import Tombstones, find_erasure
from app.accounts.withheld_links import was_withheld
from app.activity.audit import record_audit
from app.database import Session, Sessions
from app.deliveries.read_inbox import DeliveryAnswer, DeliveryFilter, newest_deliveries
from app.errors import AssignmentAmbiguousError, AssignmentNotFoundError
from app.evidence.provenance import IS_BY_SPARK
from app.learning.assignments import resolve_assignment
from app.learning.enrolment import THE_TASK, WITH_WORK_FIRST
from app.models import (
    PLATFORM,
    EvidenceBlock,
    EvidenceDocument,
    InboxDelivery,
    Quest,
    QuestTaskCompletion,
    SparkAssignment,
    SparkLink,
    SubmissionRevision,
    UserQuestTask,
    XpAward,
)
from app.models.learning import of_task
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

_QUEST = (
    select(
        Quest.title.label("quest_title"),
        SparkAssignment.retired_at.is_not(None).label("retired"),
        SparkAssignment.mapped_at,
    )
    .outerjoin(SparkAssignment, SparkAssignment.id == bindparam("assignment_id"))
    .where(Quest.id == bindparam("quest_id"))
)
_LINK = select(
    select(SparkLink.id)
    .where(
        SparkLink.lms_platform == PLATFORM,
        SparkLink.spark_assignment_id == bindparam("assignment_id"),
        SparkLink.retired_at.is_(None),
        func.coalesce(bindparam("course_id", type_=Text), SparkLink.spark_course_id)
        == SparkLink.spark_course_id,
    )
    .exists()
)
_ENROLMENT = text(
    f"""
    select id, true as enrolled, is_active is true as active, started_at, completed_at
    from user_quests where user_id = :user_id and quest_id = :quest_id
    order by {WITH_WORK_FIRST} limit 1
    """  # noqa: S608 - of our own pieces
).bindparams(bindparam("template_id", type_=Uuid))
_COPY = THE_TASK.subquery("copy")
_TASK = (
    select(
        UserQuestTask.id.label("task_id"),
        UserQuestTask.title,
        QuestTaskCompletion.id.is_not(None).label("completed"),
        QuestTaskCompletion.id.label("completion_id"),
        QuestTaskCompletion.completed_at,
        func.coalesce(XpAward.xp_amount, 0).label("xp_awarded"),
    )
    .join(_COPY, _COPY.c.task_id == UserQuestTask.id)
    .outerjoin(QuestTaskCompletion, of_task(QuestTaskCompletion, UserQuestTask))
    .outerjoin(XpAward, of_task(XpAward, UserQuestTask))
)
_HANDED_IN = SubmissionRevision.__table__.alias("handed_in")
_NEWEST_COMPLETION = (
    select(_HANDED_IN.c.completion_id)
    .where(
        _HANDED_IN.c.user_id == bindparam("user_id"),
        _HANDED_IN.c.spark_assignment_id == bindparam("assignment_id"),
        or_(
            bindparam("course_id", type_=Text).is_(None),
            _HANDED_IN.c.spark_course_id.is_(None),
            _HANDED_IN.c.spark_course_id == bindparam("course_id", type_=Text),
        ),
    )
    .order_by(_HANDED_IN.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_BLOCKS = (
    select(func.count())
    .select_from(EvidenceBlock)
    .join(EvidenceDocument, EvidenceDocument.id == EvidenceBlock.document_id)
    .join(QuestTaskCompletion, of_task(QuestTaskCompletion, EvidenceDocument))
    .where(
        QuestTaskCompletion.id == SubmissionRevision.completion_id,
        IS_BY_SPARK,
    )
)
_IS_CONFIDENTIAL = (
    select(
        or_(
            QuestTaskCompletion.is_confidential,
            func.coalesce(EvidenceDocument.is_confidential, false()),
        )
    )
    .outerjoin(EvidenceDocument, of_task(EvidenceDocument, QuestTaskCompletion))
    .where(QuestTaskCompletion.id == SubmissionRevision.completion_id)
    .scalar_subquery()
)
_SHOWN = FACTS.add_columns(
    _BLOCKS.where(~EvidenceBlock.is_private).scalar_subquery().label("blocks_shown"),
    _BLOCKS.where(EvidenceBlock.is_private).scalar_subquery().label("blocks_private"),
    _IS_CONFIDENTIAL.label("confidential"),
).where(
    SubmissionRevision.completion_id
    == func.coalesce(bindparam("completion_id", type_=Uuid), _NEWEST_COMPLETION),
    SubmissionRevision.replaced_at.is_(None),
)


async def explain_homework(
    sessions: Sessions, tombstones: Tombstones, asked: Homework, *, caller: str
) -> ExplainAnswer:
    """An unknown student or assignment is an answer, too. Audited."""
    async with sessions() as session, session.begin():
        facts = await look_at(session, tombstones, asked)
        whose = facts.link.user_id
        await record_audit(session, caller, "sensitive_read", user_id=whose, what="explain")
    summary, step = judge(facts)
    return ExplainAnswer(
        **dict(asked), **dict(facts), delivery=None, event=None, summary=summary, next=step
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
    try:
        match = await resolve_assignment(
            session, asked.spark_assignment_id, course_id=asked.spark_course_id, user_id=user_id
        )
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
        )
    ids = {"quest_id": match.quest_id, "assignment_id": match.assignment_id}
    quest = (await session.execute(_QUEST, ids)).mappings().one()
    return AssignmentAnswer(
        found=True,
        code=None,
        quest_id=match.quest_id,
        task_template_id=match.source_id,
        linked_at=match.linked_at,
        link_lost=match.linked_at is None and await _has_link(session, asked, match.course_id),
        **quest,
    )


async def _has_link(session: Session, asked: Homework, course_id: str | None) -> bool:
    of_assignment = {"assignment_id": asked.spark_assignment_id, "course_id": course_id}
    return bool((await session.execute(_LINK, of_assignment)).scalar_one())


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
    found = await session.execute(
        _TASK, {"user_quest_id": user_quest_id, "template_id": assignment.task_template_id}
    )
    task = found.mappings().one_or_none()
    return TaskAnswer(**task) if task else NO_TASK


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
        _SHOWN,
        {
            "completion_id": task.completion_id,
            "user_id": user_id,
            "assignment_id": asked.spark_assignment_id,
            "course_id": asked.spark_course_id,
        },
    )
    shown = found.mappings().one_or_none()
    return ShownAnswer(**submission_facts(shown)) if shown else None
