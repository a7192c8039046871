"""Grades as the main app's team sees them: how far each is, and to be sent again."""

from typing import Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement, func, select

from app import fields
from app.activity.audit import record_audit, record_audit_of_many
from app.database import Sessions, Statement, matching, page_of, retried
from app.errors import NotFoundError
from app.grades.write_grade import GRADE, GRADE_JOB_SQL, GradeState, State
from app.models import Grade, GradeAttempt


class GradeFilter(fields.ContractModel):
    """Which grades; None means any."""

    state: State | None = Field(None, description="Only these.", examples=["dead"])
    user_id: fields.NullableId = Field(None, description="Of this student.")
    quest_id: fields.NullableId = Field(None, description="Of this quest.")
    spark_assignment_id: fields.OfSparkAssignment = None

    def conditions(self) -> list[ColumnElement[bool]]:
        return matching(Grade, self.model_dump(include=set(GradeFilter.model_fields)))


class GradeAnswer(GradeState):
    """A grade, and how far it is."""

    user_id: fields.UserId
    quest_id: fields.QuestId
    task_id: fields.TaskId
    spark_user_id: fields.SparkUserId[str] = Field(description="Whose.")
    spark_assignment_id: fields.SparkAssignmentId[str] = Field(description="Of what.")
    spark_course_id: fields.SparkCourseId[str | None] = Field(description="Where it is known.")
    score: float | None = Field(description="Null while nobody has scored it.", examples=[87.5])
    max_score: float | None = Field(description="Null with `score`.", examples=[100])
    comment: str | None = Field(description="To the student.", examples=["Well done"])
    scored_at: fields.Moment = Field(description="When the score was given.")
    code: str | None = Field(
        description="Why it is not delivered: `spark_404` is Spark's own status.",
        examples=["spark_404"],
    )
    delivered_at: fields.NullableMoment = Field(description="When Spark took this version.")


class GradeAttemptAnswer(fields.ContractModel):
    """One call of Spark's API."""

    version: int = Field(ge=1, description="What was sent.", examples=[1])
    ended_at: fields.Moment = Field(description="When it was answered, or given up.")
    milliseconds: int = Field(ge=0, description="How long it took.", examples=[212])
    status: int | None = Field(description="Spark's; null without an answer.", examples=[503])
    code: str = Field(description="What that means.", examples=["spark_503"])
    answer: str = Field(description="Its first 500 characters, kept 90 days.", examples=[""])


class GradeHistory(GradeAnswer):
    """A grade with the calls that were made for it, the last first."""

    attempts: list[GradeAttemptAnswer] = Field(description="The last 50.")


class GradeSyncCounts(fields.ContractModel):
    """Scores by how far they are (CONTRACT 10)."""

    pending: int = Field(ge=0, description="Not delivered yet.", examples=[3])
    completed: int = Field(ge=0, description="Delivered.", examples=[120])
    failed: int = Field(ge=0, description="Given up; they can be sent again.", examples=[1])


ATTEMPTS_SHOWN = 50
_SHOWN = (
    *(column for name, column in Grade.__table__.c.items() if name != "spark_course_id"),
    func.nullif(Grade.spark_course_id, "").label("spark_course_id"),
)
_SEND = Statement(
    f"""
    with grade as (
      update spark.grades set state = 'waiting', sent_version = null, code = null
      where id = any (:ids::uuid[])
      returning id, user_id, state),
    mirror as (
      update lms_grade_sync set sync_status = 'pending', error_message = null
      from grade where lms_grade_sync.id = grade.id),
    {GRADE_JOB_SQL}
    select id from grade
    """  # noqa: S608 - of our own pieces
)

# From the jobs, which are few.
DEAD_QUESTS = Statement(
    f"""
    with dead as materialized (
      select key from spark.jobs where kind = '{GRADE}' and state = 'dead'
        and (:reason::text is null or reason = :reason)),
    of_them as materialized (
      select quest_id from spark.grades where id = any (array (select key::uuid from dead)))
    select count(distinct quest_id) as quests from of_them
    """  # noqa: S608 - of our own words
)


async def list_grades(
    sessions: Sessions, asked: GradeFilter, after: UUID | None, limit: int, *, caller: str
) -> list[GradeAnswer]:
    """As `page_of`. Audited."""
    statement = page_of(select(*_SHOWN).where(*asked.conditions()), Grade.id, after, limit)
    async with sessions() as session, session.begin():
        found = [GradeAnswer(**row) for row in (await session.execute(statement)).mappings()]
        users = [grade.user_id for grade in found[:limit]]
        await record_audit_of_many(session, caller, "sensitive_read", user_ids=users)
    return found


async def read_grade(sessions: Sessions, grade_id: UUID, *, caller: str) -> GradeHistory:
    """Raises NotFoundError. Audited."""
    attempts = (
        select(GradeAttempt)
        .where(GradeAttempt.grade_id == grade_id)
        .order_by(GradeAttempt.ended_at.desc())
        .limit(ATTEMPTS_SHOWN)
    )
    async with sessions() as session, session.begin():
        grade = await session.execute(select(*_SHOWN).where(Grade.id == grade_id))
        row = grade.mappings().one_or_none()
        if row is None:
            raise NotFoundError
        made = (await session.execute(attempts)).mappings().all()
        await record_audit(session, caller, "sensitive_read", user_id=row["user_id"])
    return GradeHistory(**row, attempts=[GradeAttemptAnswer(**each) for each in made])


@retried
async def send_grades(
    sessions: Sessions, asked: GradeFilter, *, caller: str, is_dry: bool = False
) -> int:
    """All that fit are to be sent once more: how many. One job for each, however often. Audited.

    A dry run only counts.
    """
    async with sessions() as session, session.begin():
        found = await session.execute(select(Grade.id, Grade.user_id).where(*asked.conditions()))
        grades = found.all()
        if grades and not is_dry:
            await _SEND.send(session, {"ids": [grade.id for grade in grades]})
            users = [grade.user_id for grade in grades]
            await record_audit_of_many(session, caller, "sensitive_update", user_ids=users)
    return len(grades)


@retried
async def send_grade_again(sessions: Sessions, grade_id: UUID, *, caller: str) -> GradeState:
    """At once, as a new job of the same version. Raises NotFoundError. Audited."""
    asked = select(Grade.id, Grade.version, Grade.user_id).where(Grade.id == grade_id)
    async with sessions() as session, session.begin():
        grade = (await session.execute(asked)).one_or_none()
        if grade is None:
            raise NotFoundError
        await _SEND.send(session, {"ids": [grade_id]})
        await record_audit(session, caller, "sensitive_update", user_id=grade.user_id)
    return GradeState(id=grade_id, version=grade.version, state="waiting")


async def count_dead_quests(sessions: Sessions, reason: str | None) -> int:
    """Whose grades were given up, for this reason if there is one."""
    async with sessions() as session, session.begin():
        [row] = await DEAD_QUESTS.send(session, {"reason": reason})
    quests: int = row["quests"]
    return quests


async def count_grades(sessions: Sessions) -> GradeSyncCounts:
    counted = select(Grade.state, func.count()).where(Grade.score.is_not(None))
    async with sessions() as session, session.begin():
        found: Any = (await session.execute(counted.group_by(Grade.state))).all()
    by_state: dict[str, int] = dict(found)
    return GradeSyncCounts(
        pending=by_state.get("waiting", 0) + by_state.get("off", 0),
        completed=by_state.get("delivered", 0),
        failed=by_state.get("dead", 0),
    )
