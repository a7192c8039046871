"""Jobs and targets for people: what waits and why, and doing dead ones again."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement, delete, func, select

from app import fields
from app.activity.audit import record_audit, record_audit_of_many
from app.database import Session, Sessions, Statement, matching
from app.errors import JobNotDeadError, NotFoundError
from app.models import Job, JobTarget

JobState = Literal["waiting", "running", "dead"]


class JobFilter(fields.ContractModel):
    """Which jobs; None means any."""

    state: JobState | None = Field(None, description="Only these.", examples=["dead"])
    kind: fields.Code | None = Field(None, description="Only of it.", examples=["grade"])
    reason: fields.Code | None = Field(
        None, description="Only those that failed so.", examples=["spark_404"]
    )


class JobAnswer(fields.ContractModel):
    """Work that is done later."""

    id: fields.Id = Field(title="Job id", description="The job.")
    kind: str = Field(description="What is to be done.", examples=["grade"])
    key: str = Field(description="To which thing.", examples=[fields.UUID_EXAMPLE])
    user_id: fields.NullableId = Field(description="The student, if it is about one.")
    target: str | None = Field(description="Whom it calls.", examples=["spark"])
    state: JobState = Field(
        description="`dead` was given up: a person may begin it anew.", examples=["waiting"]
    )
    reason: str | None = Field(description="Why it is not done yet.", examples=["spark_503"])
    attempts: int = Field(ge=0, description="How often it was begun.", examples=[2])
    run_at: fields.Moment = Field(description="When it is due.")
    created_at: fields.Moment = Field(description="When it was ordered first.")
    died_at: fields.NullableMoment = Field(description="When it was given up.")


class JobCount(fields.ContractModel):
    """Jobs that are alike."""

    kind: str = Field(description="What is to be done.", examples=["grade"])
    state: JobState = Field(description="How far they are.", examples=["dead"])
    reason: str | None = Field(description="Why they are not done.", examples=["spark_404"])
    jobs: int = Field(ge=1, description="How many.", examples=[38])
    oldest_at: fields.Moment = Field(description="When the first of them was ordered.")


class TargetAnswer(fields.ContractModel):
    """Whom jobs call."""

    name: str = Field(description="`spark`, `alerts`, or the host of files.", examples=["spark"])
    state: Literal["open", "paused", "refused"] = Field(
        description=(
            "`paused`: calls fail, or somebody paused it; `refused`: it answers 401, 403 or a"
            " redirection: its key or address is wrong. Jobs wait, none is lost."
        ),
        examples=["open"],
    )
    reason: str | None = Field(description="Why it is not open.", examples=["spark_401"])
    since: fields.Moment = Field(description="Since when it is so.")
    paused_until: fields.NullableMoment = Field(
        description="One job tries then; null if it is open, or until somebody opens it."
    )
    waiting: int = Field(ge=0, description="Jobs that wait for it.", examples=[38])
    oldest_waiting_at: fields.NullableMoment = Field(description="Since when the first waits.")
    last_success_at: fields.NullableMoment = Field(description="When it was reached last.")


async def list_jobs(
    sessions: Sessions, asked: JobFilter, limit: int, *, caller: str
) -> list[JobAnswer]:
    """Those that are due first; the dead by when they died. Audited."""
    statement = (
        select(Job)
        .where(*_conditions(asked))
        .order_by(Job.died_at.desc().nulls_first(), Job.run_at, Job.id)
    )
    async with sessions() as session, session.begin():
        found = await session.execute(statement.limit(limit))
        listed = [JobAnswer(**row) for row in found.mappings()]
        users = [job.user_id for job in listed if job.user_id]
        await record_audit_of_many(session, caller, "sensitive_read", users, what="jobs")
    return listed


async def read_job(sessions: Sessions, job_id: UUID, *, caller: str) -> JobAnswer:
    """Raises NotFoundError. Audited."""
    async with sessions() as session, session.begin():
        found = await session.execute(select(Job).where(Job.id == job_id))
        row = found.mappings().one_or_none()
        if row is None:
            raise NotFoundError
        about = {"what": "jobs", "job_id": str(job_id)}
        await record_audit(session, caller, "sensitive_read", user_id=row["user_id"], **about)
    return JobAnswer(**row)


async def count_jobs(sessions: Sessions, asked: JobFilter) -> list[JobCount]:
    """The most first."""
    alike = (Job.kind, Job.state, Job.reason)
    statement = (
        select(*alike, func.count().label("jobs"), func.min(Job.created_at).label("oldest_at"))
        .where(*_conditions(asked))
        .group_by(*alike)
        .order_by(func.count().desc(), *alike)
    )
    async with sessions() as session, session.begin():
        return [JobCount(**row) for row in (await session.execute(statement)).mappings()]


def _conditions(asked: JobFilter) -> list[ColumnElement[bool]]:
    return matching(Job, asked.model_dump(include=set(JobFilter.model_fields)))


# Where one for the same thing waits already, that one does it. The link of a file that was given up
# is gone: it is fetched by a new one, never begun anew.
_REVIVE = Statement(
    """
    with dead as (
      select id, kind, key from spark.jobs
      where state = 'dead' and kind <> 'download' and (id = :id::uuid or kind = :kind::text
        and (:reason::text is null or reason = :reason))
      for update skip locked),
    outdated as (
      delete from spark.jobs using dead
      where jobs.id = dead.id and exists (
        select from spark.jobs twin
        where twin.kind = dead.kind and twin.key = dead.key and twin.state = 'waiting')
      returning jobs.id)
    update spark.jobs set state = 'waiting', run_at = now(), attempts = 0, died_at = null
    from dead where jobs.id = dead.id and jobs.id not in (select id from outdated)
    returning jobs.id, jobs.user_id
    """
)


async def retry_job(sessions: Sessions, job_id: UUID, *, caller: str) -> None:
    """A dead one begins anew. Raises NotFoundError or JobNotDeadError. Audited."""
    async with sessions() as session, session.begin():
        values = {"id": job_id, "kind": None, "reason": None}
        revived = await _REVIVE.send(session, values)
        if not revived:
            await _require(session, job_id)
            raise JobNotDeadError(hint="It is not dead, or is a file: fetch that by a new link.")
        await _audit(session, caller, revived[0]["user_id"], retried=str(job_id))


async def retry_jobs(sessions: Sessions, kind: str, reason: str | None, *, caller: str) -> int:
    """All dead ones that are alike begin anew: how many. Audited."""
    async with sessions() as session, session.begin():
        values = {"id": None, "kind": kind, "reason": reason}
        revived = await _REVIVE.send(session, values)
        await _audit(session, caller, None, retried=kind, reason=reason, jobs=len(revived))
    return len(revived)


async def discard_job(sessions: Sessions, job_id: UUID, *, caller: str) -> None:
    """It will not be done. Raises NotFoundError, and JobNotDeadError while it runs. Audited."""
    async with sessions() as session, session.begin():
        gone = delete(Job).where(Job.id == job_id, Job.state != "running").returning(Job.user_id)
        discarded = (await session.execute(gone)).one_or_none()
        if discarded is None:
            await _require(session, job_id)
            raise JobNotDeadError
        await _audit(session, caller, discarded.user_id, discarded=str(job_id))


async def _audit(session: Session, caller: str, user_id: UUID | None, **did: Any) -> None:
    await record_audit(session, caller, "sensitive_update", user_id=user_id, what="jobs", **did)


async def _require(session: Session, job_id: UUID) -> None:
    if (await session.execute(select(Job.id).where(Job.id == job_id))).first() is None:
        raise NotFoundError


_TARGETS = (
    select(
        *JobTarget.__table__.c,
        func.count(Job.id).label("waiting"),
        func.min(Job.created_at).label("oldest_waiting_at"),
    )
    .outerjoin(Job, (Job.target == JobTarget.name) & (Job.state == "waiting"))
    .group_by(JobTarget.name)
    .order_by(JobTarget.name)
)


async def list_targets(sessions: Sessions) -> list[TargetAnswer]:
    """Those that were called, or paused."""
    async with sessions() as session, session.begin():
        return [TargetAnswer(**row) for row in (await session.execute(_TARGETS)).mappings()]
