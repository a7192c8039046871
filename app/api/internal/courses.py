"""Spark's courses: which quest each is, and which task each assignment means, also by hand."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from app.api.callers import READ, Writer
from app.api.dependencies import Now, Opened, read_body, require_json
from app.api.described import json_body
from app.api.paging import LINKED, ListPage, PageQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.courses.list_courses import (
    CourseFilter,
    KnownCourse,
    MappedAssignment,
    list_assignments,
    list_courses,
)
from app.courses.map_assignment import map_assignment
from app.deliveries.payload import read_payload
from app.errors import FieldMissingError, MappingConflictError, NotFoundError
from app.fields import ContractModel, Id, SparkId

router = APIRouter(prefix="/internal/v1/courses", tags=["courses"])


class CourseQuery(CourseFilter, PageQuery):
    """Which courses."""


class CourseList(ListPage[KnownCourse]):
    """A page of courses."""


class AssignmentList(ListPage[MappedAssignment]):
    """A page of a course's assignments."""


@router.get(
    "",
    name="listCourses",
    dependencies=[READ],
    summary="List courses",
    description="That Spark has named, and their quests; in no order of time.",
    responses=LINKED | problems(*INTERNAL_PROBLEMS),
)
async def read_courses(
    query: Annotated[CourseQuery, Query()],
    opened: Opened,
    pages: Pages,
) -> CourseList:
    return CourseList(**await pages.read(query, partial(list_courses, opened.sessions, query)))


@router.get(
    "/{course_id}/assignments",
    name="listAssignments",
    dependencies=[READ],
    summary="List a course's assignments",
    description="Each with its task, and whether a person chose that; in no order of time.",
    responses=LINKED | problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def read_assignments(
    course_id: UUID,
    query: Annotated[PageQuery, Query()],
    opened: Opened,
    pages: Pages,
) -> AssignmentList:
    return AssignmentList(
        **await pages.read(query, partial(list_assignments, opened.sessions, course_id))
    )


class TaskChoice(ContractModel):
    """The task that an assignment means."""

    task_id: Id = Field(description="Of the course's quest: of `course_quest_tasks`.")


@router.put(
    "/{course_id}/assignments/{spark_assignment_id:path}/task",
    name="mapAssignment",
    summary="Map an assignment to a task by hand",
    description=(
        "Homework goes to this task from then on, and no course message changes that, nor the"
        " task's title, text and place. The task it had before stays. It is 409 where another"
        " assignment has the task, or homework is recorded with the one it had. Audited; repeating"
        " it changes nothing."
    ),
    responses=problems(
        NotFoundError, FieldMissingError, MappingConflictError, *JSON_PROBLEMS, *INTERNAL_PROBLEMS
    ),
    openapi_extra=json_body(TaskChoice),
)
async def choose_task(
    course_id: UUID,
    spark_assignment_id: Annotated[
        SparkId, Path(description="As Spark names it.", examples=["essay_1"])
    ],
    request: Request,
    opened: Opened,
    now: Now,
    caller: Writer,
) -> MappedAssignment:
    require_json(request)
    choice = read_payload(await read_body(request), TaskChoice)
    return await map_assignment(
        opened.sessions,
        course_id,
        spark_assignment_id,
        choice.task_id,
        caller=caller.name,
        now=now,
    )
