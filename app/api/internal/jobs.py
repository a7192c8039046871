"""Jobs and their targets, for an operator: what waits and why, and once more."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from app.api.callers import READ, Admin, Reader, Writer
from app.api.dependencies import Opened, read_small, spark_api_of
from app.api.described import json_body
from app.api.paging import LimitQuery
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.errors import JobNotDeadError, NotFoundError, TargetNotConfiguredError
from app.fields import Code, ContractModel
from app.jobs.call_spark import test_spark
from app.jobs.call_target import TargetTest
from app.jobs.review import (
    JobAnswer,
    JobCount,
    JobFilter,
    TargetAnswer,
    count_jobs,
    discard_job,
    list_jobs,
    list_targets,
    retry_job,
    retry_jobs,
)
from app.jobs.targets import change_target

router = APIRouter(prefix="/internal/v1", tags=["jobs"])


TargetName = Annotated[str, Path(description="As the list has it.", examples=["spark"])]


class JobQuery(JobFilter, LimitQuery):
    """Which jobs; several filters narrow together."""


class JobList(ContractModel):
    """Jobs that are not done, and how many are alike."""

    items: list[JobAnswer] = Field(description="At most `limit`: what is due first, then the dead.")
    counts: list[JobCount] = Field(description="Of all that fit, the most frequent first.")


class JobsToRetry(ContractModel):
    """Which dead jobs begin anew. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    kind: Code = Field(description="All of this kind.", examples=["grade"])
    reason: Code | None = Field(
        None, description="Only those that died of it.", examples=["spark_404"]
    )


class JobsQueued(ContractModel):
    """How many jobs begin anew."""

    queued: int = Field(ge=0, description="Jobs.", examples=[38])


class TargetList(ContractModel):
    """Everybody whom jobs called."""

    items: list[TargetAnswer] = Field(description="By name.")


@router.get(
    "/jobs",
    name="listJobs",
    summary="List jobs",
    description="What is still to be done, and what was given up. A job that is done is gone.",
    responses=problems(*INTERNAL_PROBLEMS),
)
async def read_jobs(query: Annotated[JobQuery, Query()], opened: Opened, caller: Reader) -> JobList:
    return JobList(
        items=await list_jobs(opened.sessions, query, query.limit, caller=caller.name),
        counts=await count_jobs(opened.sessions, query),
    )


@router.post(
    "/jobs/retry",
    name="retryJobs",
    summary="Do dead jobs again",
    description="All of a kind, or those that died of one reason; with eight new attempts each.",
    responses=problems(*INTERNAL_PROBLEMS, *JSON_PROBLEMS),
    status_code=202,
    openapi_extra=json_body(JobsToRetry),
)
async def retry_many(request: Request, opened: Opened, caller: Writer) -> JobsQueued:
    asked = await read_small(request, JobsToRetry)
    return JobsQueued(
        queued=await retry_jobs(opened.sessions, asked.kind, asked.reason, caller=caller.name)
    )


@router.post(
    "/jobs/{job_id}/retry",
    name="retryJob",
    summary="Do a dead job again",
    description="With eight new attempts. 409 for one that is not dead.",
    responses=problems(NotFoundError, JobNotDeadError, *INTERNAL_PROBLEMS),
    status_code=204,
)
async def retry(job_id: UUID, opened: Opened, caller: Writer) -> Response:
    await retry_job(opened.sessions, job_id, caller=caller.name)
    return Response(status_code=204)


@router.delete(
    "/jobs/{job_id:uuid}",  # `retry` is none
    name="discardJob",
    summary="Discard a job",
    description="It will not be done. 409 while it runs.",
    responses=problems(NotFoundError, JobNotDeadError, *INTERNAL_PROBLEMS),
    status_code=204,
)
async def discard(job_id: UUID, opened: Opened, caller: Admin) -> Response:
    await discard_job(opened.sessions, job_id, caller=caller.name)
    return Response(status_code=204)


@router.get(
    "/targets",
    name="listTargets",
    summary="List targets",
    description="Whom jobs call, whether they can be reached, and how many jobs wait for them.",
    responses=problems(*INTERNAL_PROBLEMS),
    dependencies=[READ],
)
async def read_targets(opened: Opened) -> TargetList:
    return TargetList(items=await list_targets(opened.sessions))


@router.post(
    "/targets/spark/test",
    name="testSpark",
    summary="Call Spark's API once",
    description="`GET {SPARK_API_URL}/ping`, signed as grades are. Opens the target if it answers.",
    responses=problems(TargetNotConfiguredError, *INTERNAL_PROBLEMS),
)
async def test(opened: Opened, caller: Admin) -> TargetTest:
    return await test_spark(opened.sessions, spark_api_of(opened), caller=caller.name)


@router.post(
    "/targets/{name}/pause",
    name="pauseTarget",
    summary="Pause a target",
    description="Its jobs wait until somebody opens it; calls that run now end.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
    status_code=204,
)
async def pause(name: TargetName, opened: Opened, caller: Admin) -> Response:
    await change_target(opened.sessions, name, "paused", caller=caller.name)
    return Response(status_code=204)


@router.post(
    "/targets/{name}/resume",
    name="resumeTarget",
    summary="Open a target",
    description="Its jobs go on at once.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
    status_code=204,
)
async def resume(name: TargetName, opened: Opened, caller: Admin) -> Response:
    await change_target(opened.sessions, name, "open", caller=caller.name)
    return Response(status_code=204)
