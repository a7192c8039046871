"""What a student has earned: the totals the main app shows, and the ledger behind them."""

from typing import Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import Select, Text, cast, select

from app.activity.audit import record_audit
from app.database import Sessions, page_of
from app.errors import NotFoundError
from app.fields import ContractModel, Id, Moment, NullableId, TaskId
from app.models import User, UserQuestTask, UserSkillXp, UserSubjectXp, XpAward


class AwardItem(ContractModel):
    """What a task paid; it pays a student once."""

    id: Id = Field(title="Award id", description="The award.")
    task_id: TaskId
    completion_id: Id = Field(description="What it was paid for.")
    quest_id: NullableId = Field(description="The task's quest; null once the task is gone.")
    title: str | None = Field(
        description="The task's; null once it is gone.", examples=["Research"]
    )
    pillar: str = Field(description="The task's.", examples=["stem"])
    xp_amount: int = Field(ge=0, title="XP", description="What it paid.", examples=[100])
    awarded_at: Moment = Field(description="When it was paid.")


async def get_totals(
    sessions: Sessions, user_id: UUID, *, caller: str
) -> tuple[dict[str, int], dict[str, int]]:
    """By pillar and by school subject; the main app awards natively as well, so they may be more
    than the ledger says. Audited. Raises NotFoundError for an unknown user.
    """
    async with sessions() as session, session.begin():
        if (await session.execute(select(User.id).where(User.id == user_id))).one_or_none() is None:
            raise NotFoundError
        await record_audit(session, caller, "sensitive_read", user_id=user_id, what="xp")
        pillars = await session.execute(
            select(UserSkillXp.pillar, UserSkillXp.xp_amount)
            .where(UserSkillXp.user_id == user_id)
            .order_by(UserSkillXp.pillar)
        )
        subjects = await session.execute(
            select(UserSubjectXp.school_subject, UserSubjectXp.xp_amount)
            .where(UserSubjectXp.user_id == user_id)
            .order_by(cast(UserSubjectXp.school_subject, Text))
        )
        return (
            {row.pillar: row.xp_amount for row in pillars},
            {row.school_subject: row.xp_amount for row in subjects},
        )


async def list_awards(
    sessions: Sessions, user_id: UUID, before: UUID | None, limit: int
) -> list[AwardItem]:
    """As `page_of`: ids are in the order of time."""
    async with sessions() as session, session.begin():
        found = await session.execute(newest_awards(user_id, before, limit))
        return [AwardItem(**row) for row in found.mappings()]


def newest_awards(user_id: UUID, before: UUID | None, limit: int) -> Select[*tuple[Any, ...]]:
    awards = (
        select(
            XpAward.id,
            XpAward.task_id,
            XpAward.completion_id,
            UserQuestTask.quest_id,
            UserQuestTask.title,
            XpAward.pillar,
            XpAward.xp_amount,
            XpAward.awarded_at,
        )
        .outerjoin(UserQuestTask, UserQuestTask.id == XpAward.task_id)
        .where(XpAward.user_id == user_id)
    )
    return page_of(awards, XpAward.id, before, limit)
