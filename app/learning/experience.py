"""XP: a task pays a student once; the ledger's unique key says so, the totals follow it."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Text, bindparam, column, func, select, true
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.learning.enrolment import Task
from app.models import SCHOOL_SUBJECTS, UserSkillXp, UserSubjectXp, XpAward

# Built once: building a statement costs more than running it.
_PAID = (
    insert(XpAward)
    .values(
        {
            name: bindparam(name)
            for name in ("id", "user_id", "task_id", "completion_id", "pillar", "xp_amount")
        }
    )
    .on_conflict_do_nothing()
    .returning(XpAward.user_id, XpAward.pillar, XpAward.xp_amount)
    .cte("paid")
)
_SKILL = insert(UserSkillXp).from_select(
    ["user_id", "pillar", "xp_amount"],
    select(_PAID.c.user_id, _PAID.c.pillar, _PAID.c.xp_amount),
)
_SUBJECTS = (
    func.unnest(
        bindparam("subjects", type_=ARRAY(Text)), bindparam("amounts", type_=ARRAY(Integer))
    )
    .table_valued(column("subject", Text), column("amount", Integer))
    .render_derived("subjects")
)
_SUBJECT = insert(UserSubjectXp).from_select(
    ["user_id", "school_subject", "xp_amount"],
    select(_PAID.c.user_id, _SUBJECTS.c.subject, _SUBJECTS.c.amount).select_from(
        _PAID.join(_SUBJECTS, true())
    ),
)
_AWARD = select(_PAID.c.xp_amount).add_cte(
    _SKILL.on_conflict_do_update(
        index_elements=[UserSkillXp.user_id, UserSkillXp.pillar],
        set_={
            "xp_amount": UserSkillXp.xp_amount + _SKILL.excluded.xp_amount,
            "updated_at": bindparam("now"),
        },
    ).cte("skill"),
    _SUBJECT.on_conflict_do_update(
        index_elements=[UserSubjectXp.user_id, UserSubjectXp.school_subject],
        set_={
            "xp_amount": UserSubjectXp.xp_amount + _SUBJECT.excluded.xp_amount,
            "updated_at": bindparam("now"),
        },
    ).cte("subject"),
)


async def award_xp(
    session: Session,
    task: Task,
    *,
    award_id: UUID,
    user_id: UUID,
    completion_id: UUID,
    now: datetime,
) -> int:
    """What was paid now: the task's value at the first call, 0 at every other.

    The first call also adds the task's diploma credit to the school subjects.
    """
    subjects = _subject_xp(task.subject_xp_distribution)
    paid = await session.execute(
        _AWARD,
        {
            "id": award_id,
            "user_id": user_id,
            "task_id": task.id,
            "completion_id": completion_id,
            "pillar": task.pillar,
            "xp_amount": task.xp_value,
            "subjects": list(subjects),
            "amounts": list(subjects.values()),
            "now": now,
        },
    )
    return paid.scalar_one_or_none() or 0


def _subject_xp(distribution: object) -> Mapping[str, int]:
    """What a distribution says in known subjects, in one order, so that two awards cannot lock
    each other out. Editors write subjects as they show them: `Language Arts`.
    """
    if not isinstance(distribution, dict):
        return {}
    named = {str(name).strip().lower().replace(" ", "_"): xp for name, xp in distribution.items()}
    return {
        name: xp
        for name, xp in sorted(named.items())
        # No task is worth a million: a slip must not keep homework out or overflow the totals.
        if name in SCHOOL_SUBJECTS and type(xp) is int and 0 < xp < 1_000_000
    }
