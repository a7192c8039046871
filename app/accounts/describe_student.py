"""A student as this service knows them: ids and moments, no name and no address."""

from typing import Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy import RowMapping, bindparam, false, func, select

from app import fields
from app.accounts.sessions import OPEN_SESSIONS
from app.activity.audit import record_audit
from app.adoption.people import LINK_STATUS, NEWEST_LINK_FIRST
from app.database import Session, Sessions
from app.errors import NotFoundError
from app.models import PLATFORM, AuditEntry, LmsIntegration, Quest, User, UserQuest
from app.models.people import LINK_OF_USER


class SparkLink(fields.ContractModel):
    """Which student of Spark's this is."""

    spark_user_id: fields.SparkUserId[str] = Field(description="As Spark names the student.")
    status: Literal["active", "paused", "error"] = Field(
        description="Only an active one lets the student in.", examples=["active"]
    )
    linked_at: fields.NullableMoment = Field(
        description="When it was made; null where the main app does not say."
    )
    linked_by: str | None = Field(
        description="Which service key linked by hand; null where Spark did, by a click or a list.",
        examples=["main-app"],
    )
    last_sync_at: fields.NullableMoment = Field(description="When the student came last.")


class EnrolledCourse(fields.ContractModel):
    """A course of Spark's that the student is, or was, enrolled in."""

    quest_id: fields.QuestId
    spark_course_id: fields.SparkCourseId[str] = Field(description="As Spark names it.")
    is_active: bool = Field(description="False once the student was dropped.", examples=[True])
    started_at: fields.Moment = Field(description="When the student was enrolled.")
    completed_at: fields.NullableMoment = Field(description="Null while it is not.")


class OpenSession(fields.ContractModel):
    """A sign-in that is alive; `sessions/{id}/revoke` ends it."""

    id: fields.Id = Field(title="Session id", description="The session.")
    created_at: fields.Moment = Field(description="When the student signed in.")
    expires_at: fields.Moment = Field(description="When it ends by itself.")


class StudentAnswer(fields.ContractModel):
    """A user, and what ties them to Spark."""

    user_id: fields.UserId
    link: SparkLink | None = Field(description="Null for who did not come from Spark.")
    courses: list[EnrolledCourse] = Field(description="In the order of enrolment.")
    sessions: list[OpenSession] = Field(description="The newest first.")


# Of the transaction that made the link.
_LINKED_BY = (
    select(AuditEntry.caller)
    .where(
        AuditEntry.user_id == LmsIntegration.user_id,
        AuditEntry.occurred_at == LmsIntegration.created_at,
        AuditEntry.detail["linked"].astext == LmsIntegration.lms_user_id,
    )
    .limit(1)
    .scalar_subquery()
)
_USER = select(
    User.id,
    LmsIntegration.lms_user_id.label("spark_user_id"),
    LINK_STATUS.label("status"),
    LmsIntegration.created_at.label("linked_at"),
    LmsIntegration.last_sync_at,
    _LINKED_BY.label("linked_by"),
).outerjoin(LmsIntegration, LINK_OF_USER)
_BY_ID = _USER.where(User.id == bindparam("user_id")).order_by(*NEWEST_LINK_FIRST).limit(1)
_BY_SPARK_ID = _USER.where(LmsIntegration.lms_user_id == bindparam("spark_user_id"))
_COURSES = (
    select(
        UserQuest.quest_id,
        Quest.lms_course_id.label("spark_course_id"),
        func.coalesce(UserQuest.is_active, false()).label("is_active"),
        func.coalesce(UserQuest.started_at, UserQuest.last_picked_up_at, Quest.created_at).label(
            "started_at"
        ),
        UserQuest.completed_at,
    )
    .join(Quest, Quest.id == UserQuest.quest_id)
    .where(
        UserQuest.user_id == bindparam("user_id"),
        Quest.lms_platform == PLATFORM,
        Quest.lms_course_id.is_not(None),
    )
    .order_by(UserQuest.started_at, UserQuest.id)
)


async def describe_student(sessions: Sessions, user_id: UUID, *, caller: str) -> StudentAnswer:
    """Audited. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        user = (await session.execute(_BY_ID, {"user_id": user_id})).mappings().one_or_none()
        if user is None:
            raise NotFoundError
        return await _describe(session, user, caller)


async def find_students(
    sessions: Sessions, spark_user_id: str, *, caller: str
) -> list[StudentAnswer]:
    """One, which is audited, or none."""
    async with sessions() as session, session.begin():
        found = await session.execute(_BY_SPARK_ID, {"spark_user_id": spark_user_id})
        return [await _describe(session, user, caller) for user in found.mappings().all()]


async def _describe(session: Session, user: RowMapping, caller: str) -> StudentAnswer:
    whose = {"user_id": user["id"]}
    await record_audit(session, caller, "sensitive_read", **whose, what="student")
    courses = await session.execute(_COURSES, whose)
    alive = await session.execute(OPEN_SESSIONS, whose)
    return StudentAnswer(
        user_id=user["id"],
        link=SparkLink(**user) if user["spark_user_id"] else None,
        courses=[EnrolledCourse(**course) for course in courses.mappings()],
        sessions=[OpenSession(**one) for one in alive.mappings()],
    )
