"""What was handed in, as lists show it: never the text, which is a child's work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, select

from app.clock import moment_of
from app.database import Sessions
from app.evidence.completions import FILES_OF
from app.models import (
    PLATFORM,
    LmsIntegration,
    QuestTaskCompletion,
    SubmissionRevision,
    Upload,
)

Outcome = Literal["current", "replaced"]


@dataclass(frozen=True)
class Listed:
    """A handing-in; `restored_from` is the one that has its files, if it has none of its own."""

    id: UUID
    completion_id: UUID
    user_id: UUID
    quest_id: UUID
    task_id: UUID
    revision: int
    outcome: Outcome
    spark_assignment_id: str
    spark_course_id: str | None
    submitted_at: datetime
    replaced_at: datetime | None
    restored_from: UUID | None
    file_count: int
    has_text: bool

    @property
    def received_at(self) -> datetime:
        return moment_of(self.id)


@dataclass(frozen=True)
class Wanted:
    """Which handings-in, those with `first_id` and `end_id` between them; None means any."""

    user_id: UUID | None
    spark_user_id: str | None
    spark_assignment_id: str | None
    quest_id: UUID | None
    outcome: Outcome | None
    first_id: UUID | None
    end_id: UUID | None


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
LISTED = select(
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
    sessions: Sessions, wanted: Wanted, before: UUID | None, limit: int
) -> Sequence[Listed]:
    """The newest first, by their ids, which are in the order of time; older than `before`."""
    async with sessions() as session, session.begin():
        found = await session.execute(newest_submissions(wanted, before, limit))
        return [Listed(**row) for row in found.mappings()]


def newest_submissions(wanted: Wanted, before: UUID | None, limit: int) -> Select[*tuple[Any, ...]]:
    """Built for what is asked: with one statement for all filters no index could be chosen."""
    conditions = _conditions(wanted, before)
    return LISTED.where(*conditions).order_by(SubmissionRevision.id.desc()).limit(limit)


def _conditions(wanted: Wanted, before: UUID | None) -> Iterator[ColumnElement[bool]]:
    if wanted.user_id is not None:
        yield SubmissionRevision.user_id == wanted.user_id
    if wanted.spark_user_id is not None:
        linked = select(LmsIntegration.user_id).where(
            LmsIntegration.lms_platform == PLATFORM,
            LmsIntegration.lms_user_id == wanted.spark_user_id,
        )
        yield SubmissionRevision.user_id == linked.scalar_subquery()
    if wanted.spark_assignment_id is not None:
        yield SubmissionRevision.spark_assignment_id == wanted.spark_assignment_id
    if wanted.quest_id is not None:
        yield SubmissionRevision.quest_id == wanted.quest_id
    if wanted.outcome is not None:
        is_current = SubmissionRevision.replaced_at.is_(None)
        yield is_current if wanted.outcome == "current" else ~is_current
    if wanted.first_id is not None:
        yield SubmissionRevision.id >= wanted.first_id
    if wanted.end_id is not None:
        yield SubmissionRevision.id < wanted.end_id
    if before is not None:
        yield SubmissionRevision.id < before
