"""What a student has earned: the totals the main app shows, and the ledger behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from app.database import Sessions
from app.errors import NotFoundError
from app.models import User, UserQuestTask, UserSkillXp, UserSubjectXp, XpAward


@dataclass(frozen=True)
class Totals:
    """By pillar and by school subject. The main app awards natively as well, so they may be more
    than the ledger says.
    """

    pillars: Mapping[str, int]
    subjects: Mapping[str, int]


@dataclass(frozen=True)
class Award:
    """What a task paid; `quest_id` and `title` are None once the task is gone."""

    id: UUID
    task_id: UUID
    completion_id: UUID
    quest_id: UUID | None
    title: str | None
    pillar: str
    xp_amount: int
    awarded_at: datetime


async def get_totals(sessions: Sessions, user_id: UUID) -> Totals:
    """Raises NotFoundError for an unknown user."""
    async with sessions() as session, session.begin():
        if (await session.execute(select(User.id).where(User.id == user_id))).one_or_none() is None:
            raise NotFoundError
        pillars = await session.execute(
            select(UserSkillXp.pillar, UserSkillXp.xp_amount)
            .where(UserSkillXp.user_id == user_id)
            .order_by(UserSkillXp.pillar)
        )
        subjects = await session.execute(
            select(UserSubjectXp.school_subject, UserSubjectXp.xp_amount)
            .where(UserSubjectXp.user_id == user_id)
            .order_by(UserSubjectXp.school_subject)
        )
        return Totals(
            {row.pillar: row.xp_amount for row in pillars},
            {row.school_subject: row.xp_amount for row in subjects},
        )


async def list_awards(
    sessions: Sessions, user_id: UUID, before: UUID | None, limit: int
) -> Sequence[Award]:
    """The newest first, by their ids, which are in the order of time; older than `before`."""
    async with sessions() as session, session.begin():
        found = await session.execute(newest_awards(user_id, before, limit))
        return [Award(**row) for row in found.mappings()]


def newest_awards(user_id: UUID, before: UUID | None, limit: int) -> Select[*tuple[Any, ...]]:
    newest = (
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
        .order_by(XpAward.id.desc())
        .limit(limit)
    )
    return newest if before is None else newest.where(XpAward.id < before)
