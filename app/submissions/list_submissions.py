"""What was handed in, as lists show it: never the text, which is a child's work."""

from collections.abc import Iterator
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement, RowMapping, Select, case, func, select

from app import fields
from app.activity.audit import record_audit_of_many
from app.clock import MILLISECOND, first_id, moment_of
from app.database import Sessions, matching, page_of
from app.evidence.revision_files import FILES_OF
from app.models import PLATFORM, LmsIntegration, QuestTaskCompletion, SubmissionRevision, Upload

Outcome = Literal["current", "replaced"]


class SubmissionFilter(fields.ContractModel):
    """Which handings-in; None means any."""

    user_id: fields.NullableId = Field(None, description="Of this student.")
    spark_user_id: fields.OfSparkUser = None
    spark_assignment_id: fields.OfSparkAssignment = None
    quest_id: fields.NullableId = Field(None, description="In this quest.")
    received_from: fields.FirstMoment = Field(
        None, description="ISO 8601 date or moment, UTC unless it says; itself included."
    )
    received_to: fields.LastMoment = Field(
        None, description="As `received_from`; itself included, a date with its whole day."
    )
    outcome: Outcome | None = Field(
        None,
        description="`current`: evidence shows it; `replaced`: every other.",
        examples=["current"],
    )


class RevisionFacts(fields.ContractModel):
    """One revision of a completion."""

    id: fields.Id = Field(title="Submission id", description="This handing-in.")
    revision: fields.Revision = Field(
        description="1 for the first handing-in of the completion, then counted up."
    )
    outcome: Outcome = Field(
        description=(
            "`current`: evidence shows it; `replaced`: another is shown, or it came too late to be."
        ),
        examples=["current"],
    )
    submitted_at: fields.Moment = Field(
        description="When the student handed in, as Spark says, or when it was restored."
    )
    received_at: fields.Moment = Field(description="When it was recorded here.")
    replaced_at: fields.NullableMoment = Field(
        description="Since when it is not shown; null for the current one."
    )
    restored_from: fields.NullableId = Field(
        description="The handing-in whose content it shows again; null for what Spark sent."
    )


class SubmissionFacts(RevisionFacts):
    """A handing-in, without what the student wrote."""

    completion_id: fields.Id = Field(description="The completion it is a revision of.")
    user_id: fields.UserId
    quest_id: fields.QuestId
    task_id: fields.TaskId
    spark_assignment_id: fields.SparkAssignmentId[str] = Field(
        description="What it was handed in for."
    )
    spark_course_id: fields.SparkCourseId[str | None] = Field(description="As Spark named it.")
    file_count: int = Field(ge=0, description="Files it has now.", examples=[2])
    has_text: bool = Field(description="Whether it has a text.", examples=[True])


# Subqueries and no joins: they are asked for the page's rows alone, whatever the planner expects.
_TASK_ID = (
    select(QuestTaskCompletion.task_id)
    .where(QuestTaskCompletion.id == SubmissionRevision.completion_id)
    .scalar_subquery()
)
_FILE_COUNT = (
    select(func.count())
    .where(Upload.submission_id == FILES_OF, Upload.state == "committed")
    .scalar_subquery()
)
FACTS = select(
    SubmissionRevision.id,
    SubmissionRevision.completion_id,
    SubmissionRevision.user_id,
    SubmissionRevision.quest_id,
    _TASK_ID.label("task_id"),
    SubmissionRevision.revision,
    case((SubmissionRevision.replaced_at.is_(None), "current"), else_="replaced").label("outcome"),
    SubmissionRevision.spark_assignment_id,
    SubmissionRevision.spark_course_id,
    SubmissionRevision.submitted_at,
    SubmissionRevision.replaced_at,
    SubmissionRevision.restored_from,
    _FILE_COUNT.label("file_count"),
    SubmissionRevision.submission_text.is_not(None).label("has_text"),
)


async def list_submissions(
    sessions: Sessions, filters: SubmissionFilter, before: UUID | None, limit: int, *, caller: str
) -> list[SubmissionFacts]:
    """As `page_of`: ids are in the order of time. Those before the last are audited as shown."""
    async with sessions() as session, session.begin():
        found = await session.execute(newest_submissions(filters, before, limit))
        listed = [SubmissionFacts(**submission_facts(row)) for row in found.mappings()]
        whose = [each.user_id for each in listed[:limit]]
        await record_audit_of_many(session, caller, "sensitive_read", whose, what="submissions")
        return listed


def submission_facts(row: RowMapping) -> dict[str, Any]:
    """A row of FACTS with `received_at`, which its id tells."""
    return {**row, "received_at": moment_of(row["id"])}


def newest_submissions(
    filters: SubmissionFilter, before: UUID | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Built for what is asked: with one statement for all filters no index could be chosen."""
    return page_of(FACTS.where(*_conditions(filters)), SubmissionRevision.id, before, limit)


def _conditions(filters: SubmissionFilter) -> Iterator[ColumnElement[bool]]:
    own = filters.model_dump(include={"user_id", "spark_assignment_id", "quest_id"})
    yield from matching(SubmissionRevision, own)
    if filters.spark_user_id is not None:
        linked = select(LmsIntegration.user_id).where(
            LmsIntegration.lms_platform == PLATFORM,
            LmsIntegration.lms_user_id == filters.spark_user_id,
        )
        yield SubmissionRevision.user_id == linked.scalar_subquery()
    if filters.outcome is not None:
        is_current = SubmissionRevision.replaced_at.is_(None)
        yield is_current if filters.outcome == "current" else ~is_current
    if filters.received_from is not None:
        yield SubmissionRevision.id >= first_id(filters.received_from)
    if filters.received_to is not None:
        yield SubmissionRevision.id < first_id(filters.received_to + MILLISECOND)
