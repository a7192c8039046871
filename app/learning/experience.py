"""XP: a task pays a student once; the ledger's unique key says so, the totals follow it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.learning.enrolment import Task
from app.models import UserSkillXp, XpAward


async def award_xp(
    session: Session,
    task: Task,
    *,
    award_id: UUID,
    user_id: UUID,
    completion_id: UUID,
    now: datetime,
) -> int:
    """What was paid now: the task's value at the first call, 0 at every other."""
    paid = await session.execute(
        insert(XpAward)
        .values(
            id=award_id,
            user_id=user_id,
            task_id=task.id,
            completion_id=completion_id,
            pillar=task.pillar,
            xp_amount=task.xp_value,
        )
        .on_conflict_do_nothing()
        .returning(XpAward.xp_amount)
    )
    amount = paid.scalar_one_or_none()
    if amount is None:
        return 0
    total = insert(UserSkillXp).values(user_id=user_id, pillar=task.pillar, xp_amount=amount)
    await session.execute(
        total.on_conflict_do_update(
            index_elements=[UserSkillXp.user_id, UserSkillXp.pillar],
            set_={"xp_amount": UserSkillXp.xp_amount + amount, "updated_at": now},
        )
    )
    return amount
