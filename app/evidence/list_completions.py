"""What a student has completed, whether it came from Spark or not; without texts and files."""

from typing import Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import Select, select

from app import fields
from app.activity.audit import record_audit
from app.database import Sessions, matching
from app.evidence.completions import COMPLETIONS, CompletionFacts, completion_facts
from app.models import QuestTaskCompletion


class CompletionFilter(fields.ContractModel):
    """Which completions of a student: a list of all students' would need an index of the main
    app's table.
    """

    user_id: fields.UserId
    quest_id: fields.NullableId = Field(None, description="In this quest.")
    since: fields.FirstMoment = Field(
        None,
        description="Completed then or later: ISO 8601 date or moment, UTC unless it says.",
    )


async def list_completions(
    sessions: Sessions, filters: CompletionFilter, before: UUID | None, limit: int, *, caller: str
) -> list[CompletionFacts]:
    """By their ids, downwards; less than `before`. One more than `limit` tells that there are more.
    Audited.
    """
    async with sessions() as session, session.begin():
        whose = filters.user_id
        await record_audit(session, caller, "sensitive_read", user_id=whose, what="completions")
        found = await session.execute(completions_of(filters, before, limit + 1))
        return [CompletionFacts(**completion_facts(row)) for row in found.mappings()]


def completions_of(
    filters: CompletionFilter, before: UUID | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """The student's are found first, however few the planner believes that all together are."""
    own = matching(QuestTaskCompletion, filters.model_dump(include={"user_id", "quest_id"}))
    if filters.since is not None:
        own.append(QuestTaskCompletion.completed_at >= filters.since)
    if before is not None:
        own.append(QuestTaskCompletion.id < before)
    theirs = select(QuestTaskCompletion.id).where(*own).cte("theirs").prefix_with("MATERIALIZED")
    return (
        COMPLETIONS.join(theirs, theirs.c.id == QuestTaskCompletion.id)
        .order_by(theirs.c.id.desc())
        .limit(limit)
    )
