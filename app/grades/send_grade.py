"""The job that sends the newest version of a grade, and what is kept of each call."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app import fields
from app.activity.record_event import record_event
from app.database import Columns, Sessions, Statement, retried
from app.jobs.call_spark import SparkApi
from app.jobs.call_target import Call
from app.jobs.lease import Lease, finish
from app.jobs.settle import settle

GRADES_PATH = "/grades"
_STATES = {"done": "delivered", "waiting": "waiting", "dead": "dead"}
_SYNC_STATES = {"done": "completed", "waiting": "pending", "dead": "failed"}


class GradeMessage(fields.ContractModel):
    """What Spark receives, in the words of LTI's Assignment and Grade Services."""

    spark_user_id: fields.SparkUserId[str] = Field(description="Whose.")
    spark_assignment_id: fields.SparkAssignmentId[str] = Field(description="Of what.")
    spark_course_id: fields.SparkCourseId[str | None] = Field(description="Where it is known.")
    score: float | None = Field(
        None, ge=0, description="Absent while nobody has scored the work.", examples=[87.5]
    )
    max_score: float | None = Field(None, gt=0, description="Absent with `score`.", examples=[100])
    comment: str | None = Field(
        max_length=1000, description="To the student.", examples=["Well done"]
    )
    completed_at: fields.NullableMoment = Field(description="When the work was handed in.")
    scored_at: fields.Moment = Field(description="Leave out what is older than what you have.")
    version: int = Field(ge=1, description="Grows with each change.", examples=[3])
    activity_progress: Literal["Submitted", "Completed"] = Field(
        description="`Completed` with a score.", examples=["Completed"]
    )
    grading_progress: Literal["PendingManual", "FullyGraded"] = Field(
        description="`FullyGraded` with a score.", examples=["FullyGraded"]
    )
    grade_id: fields.Id = Field(description="The grade; with `version` the Idempotency-Key.")

    def to_json(self) -> bytes:
        absent = {"score", "max_score"} if self.score is None else set()
        return self.model_dump_json(exclude=absent).encode()


def message_of(grade: Columns) -> GradeMessage:
    is_scored = grade["score"] is not None
    return GradeMessage(
        **{name: grade[name] for name in GradeMessage.model_fields if name in grade},
        grade_id=grade["id"],
        activity_progress="Completed" if is_scored else "Submitted",
        grading_progress="FullyGraded" if is_scored else "PendingManual",
    )


_READ = Statement(
    """
    select id, spark_user_id, spark_assignment_id, nullif(spark_course_id, '') as spark_course_id,
      score, max_score, comment, completed_at, scored_at, version, user_id, quest_id, task_id
    from spark.grades where id = :id::uuid and sent_version is distinct from version
    """
)
# A newer version has a job of its own.
_WRITE = Statement(
    """
    with attempt as (
      insert into spark.grade_attempts (grade_id, version, milliseconds, status, code, answer)
      select id, :version::int, :milliseconds::int, :status::int, :code::text, :answer::text
      from spark.grades where id = :id::uuid),
    mirror as (
      update lms_grade_sync set sync_attempts = coalesce(sync_attempts, 0) + 1,
        last_attempt_at = now(), sync_status = :sync_status::text, error_message = :problem::text,
        synced_at = case when :is_taken::boolean then now() end
      from spark.grades g
      where lms_grade_sync.id = :id and g.id = :id and g.version = :version)
    update spark.grades set state = :state::text, code = :problem,
      sent_version = case when :is_taken then :version else sent_version end,
      delivered_at = case when :is_taken then now() end
    where id = :id and version = :version
    returning id
    """
)


async def send_grade(sessions: Sessions, spark_api: SparkApi, lease: Lease) -> None:
    """One that was sent, or whose student is gone, is left alone."""
    async with sessions() as session, session.begin():
        found = await _READ.send(session, {"id": UUID(lease.key)})
        if not found:
            await finish(session, lease)
            return
    [grade] = found
    message_id = f"{grade['id']}.{grade['version']}"
    call = await spark_api.call("POST", GRADES_PATH, message_id, message_of(grade).to_json())
    await _write(sessions, lease, grade, call)


@retried
async def _write(sessions: Sessions, lease: Lease, grade: Columns, call: Call) -> None:
    async with sessions() as session, session.begin():
        ended = await settle(session, lease, call.outcome)
        values = {
            "id": grade["id"],
            "version": grade["version"],
            "state": _STATES[ended],
            "sync_status": _SYNC_STATES[ended],
            "is_taken": ended == "done",
            "code": call.outcome.code,
            "problem": None if ended == "done" else call.outcome.code,
            "milliseconds": call.milliseconds,
            "status": call.status,
            "answer": call.answer,
        }
        await _WRITE.send(session, values)
        if ended != "waiting":
            await record_event(
                session,
                f"spark_grade_sync_{'success' if ended == 'done' else 'failed'}",
                user_id=grade["user_id"],
                session_id=grade["id"],
                data=_event(grade, call.outcome.code),
                page_url=GRADES_PATH,
            )


def _event(grade: Mapping[str, Any], code: str) -> dict[str, Any]:
    named = {name: str(grade[name]) for name in ("quest_id", "task_id", "spark_assignment_id")}
    return named | {"grade_id": str(grade["id"]), "version": grade["version"], "code": code}
