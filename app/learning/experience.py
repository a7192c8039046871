"""XP: a task pays a student once; the ledger's unique key says so, the totals follow it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    Integer,
    Text,
    Update,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import InstrumentedAttribute

from app.learning.enrolment import Task
from app.models import SCHOOL_SUBJECTS, User, UserSkillXp, UserSubjectXp, XpAward

# No task is worth as much: a slip must not keep homework out or overflow the totals.
SLIP = 1_000_000

_SUBJECTS = (
    func.unnest(
        bindparam("subjects", type_=ARRAY(Text)), bindparam("subject_xp", type_=ARRAY(Integer))
    )
    .table_valued(column("subject", Text), column("amount", Integer))
    .render_derived("subjects")
)


def award(completion: CTE) -> tuple[CTE, CTE, CTE]:
    """Pieces of a statement: what is paid now for this completion, and how it adds up, in all (by
    pillar, too) and by school subject. No row if the task has paid before, or was completed before:
    then the main app has paid, which keeps no ledger. The caller has the student's turn.
    """
    paid = (
        insert(XpAward)
        .from_select(
            ["id", "user_id", "task_id", "completion_id", "pillar", "xp_amount"],
            select(
                bindparam("award_id", type_=Uuid),
                bindparam("user_id", type_=Uuid),
                bindparam("task_id", type_=Uuid),
                completion.c.id,
                bindparam("pillar", type_=Text),
                bindparam("xp_value", type_=Integer),
            ).where(completion.c.is_new),
        )
        .on_conflict_do_nothing()
        .returning(XpAward.user_id, XpAward.pillar, XpAward.xp_amount)
        .cte("paid")
    )
    by_subject = insert(UserSubjectXp).from_select(
        ["user_id", "school_subject", "xp_amount"],
        select(
            paid.c.user_id,
            cast(_SUBJECTS.c.subject, UserSubjectXp.school_subject.type),
            _SUBJECTS.c.amount,
        ).join_from(paid, _SUBJECTS, true()),
    )
    by_pillar = insert(UserSkillXp).from_select(
        ["user_id", "pillar", "xp_amount"], select(paid.c.user_id, paid.c.pillar, paid.c.xp_amount)
    )
    paid_pillar = (
        _added(by_pillar, UserSkillXp, UserSkillXp.pillar)
        .returning(UserSkillXp.user_id, UserSkillXp.pillar, UserSkillXp.xp_amount)
        .cte("by_pillar")
    )
    return (
        paid,
        _in_all(paid_pillar).cte("in_all"),
        _added(by_subject, UserSubjectXp, UserSubjectXp.school_subject).cte("by_subject"),
    )


def _added(rows: Insert, table: Any, kind: InstrumentedAttribute[str]) -> Insert:
    """To what the student has of that kind already."""
    return rows.on_conflict_do_update(
        index_elements=[table.user_id, kind],
        set_={
            "xp_amount": table.xp_amount + rows.excluded.xp_amount,
            "updated_at": bindparam("now"),
        },
    )


def _in_all(paid_pillar: CTE) -> Update:
    """The statement does not see what it has just added: the pillar's sum comes from there."""
    others = select(func.coalesce(func.sum(UserSkillXp.xp_amount), 0)).where(
        UserSkillXp.user_id == paid_pillar.c.user_id, UserSkillXp.pillar != paid_pillar.c.pillar
    )
    return (
        update(User)
        .where(User.id == paid_pillar.c.user_id)
        .values(total_xp=paid_pillar.c.xp_amount + others.scalar_subquery())
    )


def award_parameters(task: Task, award_id: UUID, *, defers_credit: bool) -> dict[str, Any]:
    """The parameters of `award` that come from the task. Credit that the main app defers is neither
    asked for nor given: the student does, and an adviser (ADOPTION #17).
    """
    subjects = {} if defers_credit else subject_xp(task.subject_xp_distribution)
    return {
        "award_id": award_id,
        "task_id": task.task_id,
        "pillar": task.pillar,
        "xp_value": task.xp_value,
        "subjects": list(subjects),
        "subject_xp": list(subjects.values()),
    }


def subject_xp(distribution: object) -> Mapping[str, int]:
    """What a distribution says in known subjects, in one order, so that two awards cannot lock
    each other out. Editors write subjects as they show them: `Language Arts`.
    """
    if not isinstance(distribution, dict):
        return {}
    named = {str(name).strip().lower().replace(" ", "_"): xp for name, xp in distribution.items()}
    return {
        name: xp
        for name, xp in sorted(named.items())
        if name in SCHOOL_SUBJECTS and type(xp) is int and 0 < xp < SLIP
    }
