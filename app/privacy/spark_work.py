"""What came through Spark to an account that stays: which rows, their files, and the XP for them.

Of who leaves Spark that is everything of the LMS. Of who also belongs to another organisation it is
what was done in the courses of the one: enrolments, tasks, and homework for them wherever it was
linked to, with its evidence, completion and XP (as ADOPTION 7 moves it).
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    delete,
    func,
    or_,
    select,
    true,
    update,
)

from app.activity.hours import forget_hours
from app.adoption.shape import LiveShape
from app.database import Session, Statement
from app.models import (
    LMS_EVENTS,
    PLATFORM,
    ActivityEvent,
    Download,
    EvidenceBlock,
    EvidenceDocument,
    FeedEntry,
    Grade,
    GradeAttempt,
    IdempotencyKey,
    InboxDelivery,
    Job,
    LmsGradeSync,
    LmsIntegration,
    LmsSession,
    QuestTaskCompletion,
    RosterRow,
    SparkAuthCode,
    SubmissionRevision,
    Table,
    Upload,
    UserQuest,
    UserQuestTask,
    XpAward,
)
from app.privacy.holdings import HOLDINGS, OF_USER
from app.privacy.move_rows import pay

OF_TASKS = bindparam("of_tasks", type_=ARRAY(Uuid))
OF_QUESTS = bindparam("of_quests", type_=ARRAY(Uuid))
OF_COURSES = bindparam("of_courses", type_=ARRAY(Text))
OF_ORGANISATION = bindparam("of_organisation", type_=Text)

# Course ids are an organisation's own only where no other has the same.
OWN_COURSES_SQL = """
    select c.spark_course_id from spark.courses c
    where c.spark_org_id = :org and not exists (
      select from spark.courses o
      where o.spark_course_id = c.spark_course_id and o.spark_org_id <> c.spark_org_id)"""
_PLAN = Statement(
    f"""
    select
      array(
        select t.id from user_quest_tasks t join spark.courses c on c.quest_id = t.quest_id
        where t.user_id = :user_id and (:org::text is null or c.spark_org_id = :org)
        union
        select k.task_id from quest_task_completions k
        join spark.submission_revisions r on r.completion_id = k.id
        where k.user_id = :user_id and (:org is null or r.spark_course_id in ({OWN_COURSES_SQL}))
      ) as of_tasks,
      array(
        select c.quest_id from spark.courses c join user_quests e on e.quest_id = c.quest_id
        where e.user_id = :user_id and (:org is null or c.spark_org_id = :org)) as of_quests,
      array({OWN_COURSES_SQL}) as of_courses
    """  # noqa: S608 - of our own pieces
)


def _of_work(table: Any) -> ColumnElement[bool]:
    return or_(table.task_id == any_(OF_TASKS), table.quest_id == any_(OF_QUESTS))


def _ids(table: Any) -> Any:
    return select(table.id).where(table.user_id == OF_USER, _of_work(table))


_DONE, _DOCUMENTS, _GRADES = map(_ids, (QuestTaskCompletion, EvidenceDocument, Grade))
_REVISIONS = select(SubmissionRevision.id).where(SubmissionRevision.completion_id.in_(_DONE))
_DOWNLOADS = select(Download.id).where(Download.submission_id.in_(_REVISIONS))


def _texts(ids: Any) -> Any:
    return select(cast(ids.subquery().c.id, Text))


_SAID: Any = ActivityEvent.event_data
_EVENTS = or_(
    _SAID["quest_id"].astext == any_(cast(OF_QUESTS, ARRAY(Text))),
    _SAID["task_id"].astext == any_(cast(OF_TASKS, ARRAY(Text))),
    _SAID["spark_course_id"].astext == any_(OF_COURSES),
)
_PLATFORM_GRADES = LmsGradeSync.lms_platform == PLATFORM

# Beside the conditions of the holdings, and in the order in which the rows can go.
Rows = Mapping[type[Table], ColumnElement[bool]]
_WORK: Rows = {
    Upload: Upload.submission_id.in_(_REVISIONS) | Upload.document_id.in_(_DOCUMENTS),
    GradeAttempt: GradeAttempt.grade_id.in_(_GRADES),
    Grade: _of_work(Grade),
    EvidenceBlock: EvidenceBlock.document_id.in_(_DOCUMENTS),
    EvidenceDocument: _of_work(EvidenceDocument),
    SubmissionRevision: SubmissionRevision.completion_id.in_(_DONE),
    XpAward: XpAward.task_id == any_(OF_TASKS),
    QuestTaskCompletion: _of_work(QuestTaskCompletion),
    UserQuestTask: UserQuestTask.quest_id == any_(OF_QUESTS),
    UserQuest: UserQuest.quest_id == any_(OF_QUESTS),
}
OF_COURSE_WORK: Rows = {
    Job: Job.key.in_(_texts(_GRADES)) | Job.key.in_(_texts(_DOWNLOADS)),
    Download: Download.submission_id.in_(_REVISIONS),
    IdempotencyKey: IdempotencyKey.response["completion_id"].astext.in_(_texts(_DONE)),
    FeedEntry: FeedEntry.event_id.in_(
        select(ActivityEvent.id).where(ActivityEvent.user_id == OF_USER, _EVENTS)
    ),
    ActivityEvent: LMS_EVENTS & _EVENTS,
    RosterRow: RosterRow.spark_org_id == OF_ORGANISATION,
    InboxDelivery: (InboxDelivery.spark_course_id == any_(OF_COURSES))
    | InboxDelivery.submission_id.in_(_REVISIONS),
    LmsGradeSync: _PLATFORM_GRADES & (LmsGradeSync.quest_id == any_(OF_QUESTS)),
    **_WORK,
}
OF_SPARK: Rows = {
    **dict.fromkeys((Job, Download, IdempotencyKey, FeedEntry, RosterRow, InboxDelivery), true()),
    ActivityEvent: LMS_EVENTS & true(),
    LmsGradeSync: _PLATFORM_GRADES,
    **_WORK,
    SparkAuthCode: true(),
    LmsSession: LmsSession.lms_platform == PLATFORM,
    LmsIntegration: LmsIntegration.lms_platform == PLATFORM,
}
_OF = {holding.table: holding for holding in HOLDINGS}
_RELEASE = (
    update(Upload)
    .where(_OF[Upload].of, Upload.state == "committed", _WORK[Upload])
    .values(state="deleting", lease_until=func.now())
)
_AWARDS = Statement(
    """
    select x.pillar, x.xp_amount, t.subject_xp_distribution, false as is_kept
    from spark.xp_ledger x left join user_quest_tasks t on t.id = x.task_id
    where x.user_id = :of_user and x.task_id = any (:of_tasks)
    """
)
_UNNAME = Statement(
    """
    update spark.audit_log set detail = detail - array['linked', 'unlinked']
    where user_id = :of_user and detail ?| array['linked', 'unlinked']
    """
)


async def plan_work(session: Session, user_id: UUID, spark_org_id: str | None) -> dict[str, Any]:
    """The parameters of these rows: of one organisation, or with None of Spark."""
    [plan] = await _PLAN.send(session, {"user_id": user_id, "org": spark_org_id})
    return {**plan, "of_user": user_id, "of_organisation": spark_org_id}


async def release_work(session: Session, plan: dict[str, Any]) -> int:
    """Its files are to be removed: how many."""
    return (await session.execute(_RELEASE, plan)).rowcount


async def delete_work(session: Session, plan: dict[str, Any], rows: Rows) -> dict[str, int]:
    """Once its files are released; the count of each table that had any. The plan names the Spark
    ids, `of_spark_users`, too.
    """
    awards = await _AWARDS.send(session, plan)
    await forget_hours(session, _OF[ActivityEvent].of & rows[ActivityEvent], plan)
    removed: dict[str, int] = {}
    for table, condition in rows.items():
        if table is not Upload:
            gone = await session.execute(delete(table).where(_OF[table].of, condition), plan)
            removed[_OF[table].name] = gone.rowcount
    if LmsIntegration in rows:
        await _UNNAME.send(session, plan)
    user_id = plan["of_user"]
    defers_credit = (await LiveShape().read(session)).defers_credit
    await pay(session, {"a": user_id, "b": user_id}, awards, defers_credit=defers_credit)
    return {name: count for name, count in removed.items() if count}
