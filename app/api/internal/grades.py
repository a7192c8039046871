"""Grades that go to Spark: given, looked at, and sent again."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field, StrictBool

from app.api.callers import READ, Reader, Writer
from app.api.dependencies import Opened, read_small, spark_api_of
from app.api.described import json_body
from app.api.paging import LINKED, ListPage, PageQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.clock import new_id
from app.errors import FieldInvalidError, GradeStaleError, NotFoundError, TargetNotConfiguredError
from app.fields import ContractModel
from app.grades.list_grades import (
    GradeAnswer,
    GradeFilter,
    GradeHistory,
    GradeSyncCounts,
    count_grades,
    list_grades,
    read_grade,
    send_grade_again,
    send_grades,
)
from app.grades.write_grade import GradeRequest, GradeState, write_grade

router = APIRouter(prefix="/internal/v1", tags=["grades"])

_CHANGING = (*INTERNAL_PROBLEMS, *JSON_PROBLEMS)


class GradeQuery(GradeFilter, PageQuery):
    """Which grades; several filters narrow together."""


class GradeList(ListPage[GradeAnswer]):
    """A page of grades, newest first."""


class GradesToSend(GradeFilter):
    """Which grades to send again: at least one filter. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    dry_run: StrictBool = Field(default=False, description="Only count them.", examples=[False])


class GradesQueued(ContractModel):
    """How many grades are to be sent."""

    queued: int = Field(ge=0, description="Grades, each once.", examples=[38])


@router.post(
    "/grades",
    name="giveGrade",
    summary="Give a grade",
    description=(
        "Kept at once, and sent to Spark as soon as it can be reached: `state` of the grade says"
        " how far it is. The assignment is that of the task's current submission, else that which"
        " the course names. The same score again changes nothing; one with an older `scored_at` is"
        " refused."
    ),
    responses=problems(NotFoundError, GradeStaleError, *_CHANGING),
    status_code=202,
    openapi_extra=json_body(GradeRequest),
)
async def give(request: Request, opened: Opened, caller: Writer) -> GradeState:
    grade = await read_small(request, GradeRequest)
    return await write_grade(
        opened.sessions, opened.settings, grade, grade_id=new_id(), caller=caller.name
    )


@router.get(
    "/grades",
    name="listGrades",
    summary="List grades",
    description="What goes to Spark, newest first. Filters narrow it together.",
    responses=LINKED | problems(*INTERNAL_PROBLEMS),
)
async def read_grades(
    query: Annotated[GradeQuery, Query()], opened: Opened, pages: Pages, caller: Reader
) -> GradeList:
    return GradeList(
        **await pages.read(query, partial(list_grades, opened.sessions, query, caller=caller.name))
    )


@router.get(
    "/grades/{grade_id:uuid}",  # `send` is none
    name="getGrade",
    summary="Read a grade",
    description="With the calls that were made for it.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def get_grade(grade_id: UUID, opened: Opened, caller: Reader) -> GradeHistory:
    return await read_grade(opened.sessions, grade_id, caller=caller.name)


@router.post(
    "/grades/send",
    name="sendGrades",
    summary="Send grades again",
    description="All that fit the filters, each once, however often it is asked for.",
    responses=problems(TargetNotConfiguredError, *_CHANGING),
    status_code=202,
    openapi_extra=json_body(GradesToSend),
)
async def send_many(request: Request, opened: Opened, caller: Writer) -> GradesQueued:
    asked = await read_small(request, GradesToSend)
    if not asked.conditions():
        raise FieldInvalidError(name="state", hint="Name at least one filter.")
    spark_api_of(opened)
    queued = await send_grades(opened.sessions, asked, caller=caller.name, is_dry=asked.dry_run)
    return GradesQueued(queued=queued)


@router.post(
    "/grades/{grade_id}/send",
    name="sendGrade",
    summary="Send a grade again",
    description="The same version, with new attempts.",
    responses=problems(NotFoundError, TargetNotConfiguredError, *INTERNAL_PROBLEMS),
    status_code=202,
)
async def send_one(grade_id: UUID, opened: Opened, caller: Writer) -> GradeState:
    spark_api_of(opened)
    return await send_grade_again(opened.sessions, grade_id, caller=caller.name)


@router.get(
    "/grade-sync/status",
    name="getGradeSyncStatus",
    summary="Count grades",
    description="Scores by how far they are.",
    responses=problems(*INTERNAL_PROBLEMS),
    dependencies=[READ],
)
async def read_status(opened: Opened) -> GradeSyncCounts:
    return await count_grades(opened.sessions)
