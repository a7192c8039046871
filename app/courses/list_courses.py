"""Which quest a course of Spark's is here, and which task each of its assignments means."""

from uuid import UUID

from pydantic import Field
from sqlalchemy import bindparam, select

from app import fields
from app.database import Session, Sessions, page_of
from app.errors import NotFoundError
from app.models import PLATFORM, CourseQuestTask, Quest, SparkAssignment, SparkCourse


class CourseFilter(fields.ContractModel):
    """Which courses; None means any."""

    spark_course_id: fields.SparkId | None = Field(
        None,
        description="Of this id: of each organisation that uses it.",
        examples=["test_course_001"],
    )


class KnownCourse(fields.ContractModel):
    """A course that Spark has named."""

    id: fields.Id = Field(title="Course id", description="The course, here.")
    spark_org_id: str = Field(
        description="Its organisation; empty where Spark names none.", examples=["24"]
    )
    spark_course_id: fields.SparkCourseId[str] = Field(description="As Spark names it.")
    quest_id: fields.NullableId = Field(description="Its quest; null before its first sync.")
    title: str | None = Field(description="The quest's.", examples=["Weather"])
    created_at: fields.Moment = Field(description="When Spark named it first.")
    synced_at: fields.Moment = Field(description="When Spark named it last.")


class MappedAssignment(fields.ContractModel):
    """An assignment, and its task of the quest."""

    id: fields.Id = Field(title="Assignment id", description="The assignment, here.")
    spark_assignment_id: fields.SparkAssignmentId[str] = Field(description="As Spark names it.")
    title: str = Field(
        description="As Spark has it; of a task that was chosen by hand, the task's.",
        examples=["Research"],
    )
    task_id: fields.NullableId = Field(
        description="The quest's task; null where it was deleted, and not found again yet."
    )
    task_title: str | None = Field(description="The task's.", examples=["Research"])
    mapped_at: fields.NullableMoment = Field(
        description="When the task was chosen by hand; null where the course's sync decided."
    )
    due_date: fields.NullableMoment = Field(description="As Spark says.")
    retired_at: fields.NullableMoment = Field(description="Since when Spark names it no more.")


_COURSES = (
    select(
        *(SparkCourse.__table__.c[name] for name in KnownCourse.model_fields if name != "title"),
        Quest.title,
    )
    .outerjoin(Quest, Quest.id == SparkCourse.quest_id)
    .where(SparkCourse.lms_platform == PLATFORM)
)
_ASSIGNMENTS = (
    select(
        *(
            SparkAssignment.__table__.c[name]
            for name in MappedAssignment.model_fields
            if name != "task_title"
        ),
        CourseQuestTask.title.label("task_title"),
    )
    .outerjoin(CourseQuestTask, CourseQuestTask.id == SparkAssignment.task_id)
    .where(SparkAssignment.course_id == bindparam("course_id"))
)
_COURSE = select(SparkCourse.id).where(SparkCourse.id == bindparam("course_id"))


async def list_courses(
    sessions: Sessions, filters: CourseFilter, before: UUID | None, limit: int
) -> list[KnownCourse]:
    """As `page_of`."""
    asked = page_of(_COURSES, SparkCourse.id, before, limit)
    if filters.spark_course_id is not None:
        asked = asked.where(SparkCourse.spark_course_id == filters.spark_course_id)
    async with sessions() as session, session.begin():
        return [KnownCourse(**row) for row in (await session.execute(asked)).mappings()]


async def list_assignments(
    sessions: Sessions, course_id: UUID, before: UUID | None, limit: int
) -> list[MappedAssignment]:
    """As `page_of`. Raises NotFoundError."""
    asked = page_of(_ASSIGNMENTS, SparkAssignment.id, before, limit)
    of_course = {"course_id": course_id}
    async with sessions() as session, session.begin():
        if (await session.execute(_COURSE, of_course)).scalar_one_or_none() is None:
            raise NotFoundError
        found = await session.execute(asked, of_course)
        return [MappedAssignment(**row) for row in found.mappings()]


async def read_assignment(session: Session, assignment_id: UUID) -> MappedAssignment:
    one = _ASSIGNMENTS.where(SparkAssignment.id == assignment_id)
    course_id = select(SparkAssignment.course_id).where(SparkAssignment.id == assignment_id)
    found = await session.execute(one, {"course_id": (await session.execute(course_id)).scalar()})
    return MappedAssignment(**found.mappings().one())
