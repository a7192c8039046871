"""A person says which work an assignment means: any quest's, before or beside the course's sync.

A link is one row for an assignment, and of two who choose at once the later one wins. Course
messages, rosters and adoption leave it alone.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field
from sqlalchemy import Uuid, select, text

from app import fields
from app.activity.audit import record_audit
from app.activity.record_event import record_event
from app.database import Session, Sessions, Statement, matching, page_of, retried
from app.errors import FieldInvalidError, NotFoundError
from app.jobs.try_early import try_assignments
from app.learning.lost_templates import take_template
from app.models import LINKS_SQL, PLATFORM, Quest, SparkLink


class NewAssignmentLink(fields.ContractModel):
    """Which work an assignment means. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    spark_org_id: fields.SparkId | None = Field(
        None,
        description="Its organisation; without it that of the one course that has this id.",
        examples=["24"],
    )
    spark_course_id: fields.SparkId = Field(
        description="Its course, which need not be synced.", examples=["test_course_001"]
    )
    spark_assignment_id: fields.SparkId = Field(
        description="As Spark names it.", examples=["essay_1"]
    )
    quest_id: fields.Id = Field(description="An active quest with a task.")
    task_id: UUID | None = Field(
        None,
        description="A task of the quest, of `course_quest_tasks`; without it the quest's first.",
        examples=[None],
    )


class LinkFilter(fields.ContractModel):
    """Which links; None means any."""

    spark_course_id: fields.SparkId | None = Field(
        None, description="Of this course.", examples=["test_course_001"]
    )
    spark_assignment_id: fields.OfSparkAssignment = None
    quest_id: fields.NullableId = Field(None, description="To this quest.")


class AssignmentLink(fields.ContractModel):
    """Which work a person chose for an assignment."""

    id: fields.Id = Field(title="Link id", description="The link.")
    spark_org_id: str = Field(
        description="Its organisation; empty where none is known.", examples=["24"]
    )
    spark_course_id: fields.SparkCourseId[str] = Field(description="As Spark names it.")
    spark_assignment_id: fields.SparkAssignmentId[str] = Field(description="As Spark names it.")
    quest_id: fields.QuestId
    quest_title: str | None = Field(
        description="The quest's; null where it is gone.", examples=["Weather"]
    )
    task_id: fields.NullableId = Field(
        description="The task, also where it is gone; null for the quest's first one."
    )
    task_title: str | None = Field(description="As it was chosen.", examples=["Essay"])
    chosen_at: fields.Moment = Field(description="When it was chosen last.")
    retired_at: fields.NullableMoment = Field(description="Since when it is taken back.")
    holds: bool = Field(
        description=(
            "Whether it decides. It does not once it is taken back, or its quest is not active or"
            " its task gone: then the other rules decide."
        ),
        examples=[True],
    )


_HOLDS = text(f"select id from {LINKS_SQL} holding").columns(id=Uuid).subquery()  # noqa: S608
_LINKS = select(
    *(
        SparkLink.__table__.c[name]
        for name in AssignmentLink.model_fields
        if name not in ("quest_title", "holds")
    ),
    Quest.title.label("quest_title"),
    SparkLink.id.in_(select(_HOLDS.c.id)).label("holds"),
).outerjoin(Quest, Quest.id == SparkLink.quest_id)
_QUEST = Statement("select from quests where id = :quest_id and is_active")
_TASK = Statement(
    """
    select title from course_quest_tasks
    where quest_id = :quest_id and id = coalesce(:task_id::uuid, id) limit 1
    """
)
_CHOOSE = Statement(
    f"""
    insert into spark.links (lms_platform, spark_org_id, spark_course_id, spark_assignment_id,
      quest_id, task_id, task_title, chosen_by, chosen_at)
    select '{PLATFORM}', coalesce(:spark_org_id::text, (
        select max(spark_org_id) from spark.courses
        where lms_platform = '{PLATFORM}' and spark_course_id = :spark_course_id::text
        having count(*) = 1), ''),
      :spark_course_id, :spark_assignment_id, :quest_id, :task_id, :task_title, :chosen_by,
      :chosen_at
    on conflict on constraint uq_links_assignment do update set quest_id = excluded.quest_id,
      task_id = excluded.task_id, task_title = excluded.task_title,
      chosen_by = excluded.chosen_by, chosen_at = excluded.chosen_at, retired_at = null
    returning id
    """  # noqa: S608 - our own word
)
_RETIRE = Statement(
    "update spark.links set retired_at = coalesce(retired_at, :now) where id = :id returning id"
)


@retried
async def link_assignment(
    sessions: Sessions, wanted: NewAssignmentLink, **chosen: Any
) -> AssignmentLink:
    """As `choose_work`, in a transaction of its own."""
    async with sessions() as session, session.begin():
        return await choose_work(session, wanted, **chosen)


async def choose_work(
    session: Session,
    wanted: NewAssignmentLink,
    *,
    chosen_by: bytes | None,
    caller: str,
    route: str,
    now: datetime,
) -> AssignmentLink:
    """In the caller's transaction. Audited; homework that came too early is tried again.

    Raises FieldInvalidError for work that is not there (any more).
    """
    title = await _check_work(session, wanted.quest_id, wanted.task_id)
    chosen = {"task_title": title, "chosen_by": chosen_by, "chosen_at": now}
    [row] = await _CHOOSE.send(session, wanted.model_dump() | chosen)
    link_id: UUID = row["id"]
    said = wanted.model_dump(mode="json", exclude={"spark_org_id"}) | {"link_id": str(link_id)}
    await record_audit(session, caller, "sensitive_update", user_id=None, what="link", **said)
    del said["task_id"]  # in events that is a student's own
    await record_event(
        session, "spark_deep_link", user_id=None, session_id=link_id, data=said, page_url=route
    )
    await try_assignments(session, [wanted.spark_assignment_id])
    found = await session.execute(_LINKS.where(SparkLink.id == link_id))
    return AssignmentLink(**found.mappings().one())


async def read_link(session: Session, wanted: NewAssignmentLink) -> AssignmentLink:
    """Of its assignment, which has one: the newest, where one is of no organisation."""
    same = ("spark_course_id", "spark_assignment_id")
    of_assignment = matching(SparkLink, wanted.model_dump(include=set(same)))
    newest = _LINKS.where(*of_assignment).order_by(SparkLink.chosen_at.desc()).limit(1)
    found = await session.execute(newest)
    return AssignmentLink(**found.mappings().one())


async def _check_work(session: Session, quest_id: UUID, task_id: UUID | None) -> str | None:
    """The title of the task, if one is named. Raises FieldInvalidError."""
    of_work = {"quest_id": quest_id, "task_id": task_id}
    if not await _QUEST.send(session, of_work):
        raise FieldInvalidError(name="quest_id", hint="It must be an active quest.")
    await take_template(session, task_id, quest_id)
    found = await _TASK.send(session, of_work)
    if not found:
        name, hint = ("task_id", NOT_ITS_TASK) if task_id else ("quest_id", "It has no task.")
        raise FieldInvalidError(name=name, hint=hint)
    return found[0]["title"] if task_id else None


NOT_ITS_TASK = "It must be a task of the quest, in course_quest_tasks."


async def list_links(
    sessions: Sessions, asked: LinkFilter, before: UUID | None, limit: int
) -> list[AssignmentLink]:
    """As `page_of`."""
    fits = matching(SparkLink, asked.model_dump(include=set(LinkFilter.model_fields)))
    async with sessions() as session, session.begin():
        found = await session.execute(page_of(_LINKS.where(*fits), SparkLink.id, before, limit))
        return [AssignmentLink(**row) for row in found.mappings()]


@retried
async def retire_link(sessions: Sessions, link_id: UUID, *, caller: str, now: datetime) -> None:
    """It may be repeated. Audited. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        if not await _RETIRE.send(session, {"id": link_id, "now": now}):
            raise NotFoundError
        said = {"what": "link", "link_id": str(link_id)}
        await record_audit(session, caller, "sensitive_delete", user_id=None, **said)
