"""Compare what students were paid with the ledger, and mend what is too little.

A total is at least what its ledger explains; more is no fault, because the main app awards natively
and keeps no ledger. Every completion that homework of Spark made has its award. Memory is that of
one batch of students; a statement sees one moment, in which an award is there whole or not at all.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.database import Session, Sessions, retried
from app.learning.enrolment import XP_VALUE, take_turns
from app.models import (
    QuestTaskCompletion,
    SubmissionRevision,
    User,
    UserQuestTask,
    UserSkillXp,
    XpAward,
)

STUDENTS_AT_ONCE = 500


@dataclass(frozen=True)
class LowTotal:
    """A total that is below its ledger."""

    user_id: UUID
    pillar: str
    total: int
    ledger: int


@dataclass(frozen=True)
class UnpaidCompletion:
    """A completion that Spark's homework made, and that has no award."""

    user_id: UUID
    completion_id: UUID


@dataclass
class XpReport:
    """What was seen and found, counted; `above` are totals that are more than their ledger."""

    students: int = 0
    too_low: int = 0
    unpaid: int = 0
    above: int = 0

    @property
    def faults(self) -> int:
        return self.too_low + self.unpaid


Tell = Callable[[LowTotal | UnpaidCompletion], None]
Repair = Callable[[UUID], Awaitable[None]]

_STUDENTS = (
    select(User.id).where(User.id > bindparam("after")).order_by(User.id).limit(STUDENTS_AT_ONCE)
)
_IDS = bindparam("students", type_=ARRAY(Uuid))
_TOTAL = select(UserSkillXp).where(UserSkillXp.user_id == any_(_IDS)).subquery("total")
_LEDGER = (
    select(XpAward.user_id, XpAward.pillar, func.sum(XpAward.xp_amount).label("xp_amount"))
    .where(XpAward.user_id == any_(_IDS))
    .group_by(XpAward.user_id, XpAward.pillar)
    .subquery("ledger")
)
_USER_ID = func.coalesce(_TOTAL.c.user_id, _LEDGER.c.user_id)
_PILLAR = func.coalesce(_TOTAL.c.pillar, _LEDGER.c.pillar)
_HAS = func.coalesce(_TOTAL.c.xp_amount, 0).label("total")
_SHOULD_HAVE = func.coalesce(_LEDGER.c.xp_amount, 0).label("ledger")
_DIFFERENT = (
    select(_USER_ID, _PILLAR, _HAS, _SHOULD_HAVE)
    .select_from(
        _TOTAL.join(
            _LEDGER,
            (_LEDGER.c.user_id == _TOTAL.c.user_id) & (_LEDGER.c.pillar == _TOTAL.c.pillar),
            full=True,
        )
    )
    .where(_HAS != _SHOULD_HAVE)
    .order_by(_USER_ID, _PILLAR)
)
_IS_UNPAID = (
    select(SubmissionRevision.id)
    .where(
        SubmissionRevision.completion_id == QuestTaskCompletion.id,
        SubmissionRevision.created_at <= QuestTaskCompletion.created_at,
    )
    .exists(),
    ~select(XpAward.id)
    .where(
        XpAward.user_id == QuestTaskCompletion.user_id,
        XpAward.task_id == QuestTaskCompletion.task_id,
    )
    .exists(),
)
_UNPAID = (
    select(QuestTaskCompletion.user_id, QuestTaskCompletion.id)
    .where(QuestTaskCompletion.user_id == any_(_IDS), *_IS_UNPAID)
    .order_by(QuestTaskCompletion.user_id, QuestTaskCompletion.id)
)

_STUDENT = bindparam("student", type_=Uuid)
_OWED = (
    select(
        QuestTaskCompletion.user_id,
        QuestTaskCompletion.task_id,
        QuestTaskCompletion.id.label("completion_id"),
        UserQuestTask.pillar,
        XP_VALUE.label("xp_amount"),
    )
    .join(UserQuestTask, UserQuestTask.id == QuestTaskCompletion.task_id)
    .where(QuestTaskCompletion.user_id == _STUDENT, *_IS_UNPAID)
    .order_by(QuestTaskCompletion.task_id)
    .with_for_update(
        key_share=True, read=True, of=QuestTaskCompletion
    )  # nobody erases it meanwhile
)
_PAY = insert(XpAward).on_conflict_do_nothing()
_MAKE_TOTALS = (
    insert(UserSkillXp)
    .from_select(
        ["user_id", "pillar"],
        select(XpAward.user_id, XpAward.pillar)
        .where(XpAward.user_id == _STUDENT)
        .distinct()
        .order_by(XpAward.pillar),
    )
    .on_conflict_do_nothing()
)
_LOCK_TOTALS = (
    select(UserSkillXp.id)
    .where(UserSkillXp.user_id == _STUDENT)
    .order_by(UserSkillXp.pillar)
    .with_for_update()
)
_EXPLAINED = (
    select(func.sum(XpAward.xp_amount))
    .where(XpAward.user_id == UserSkillXp.user_id, XpAward.pillar == UserSkillXp.pillar)
    .scalar_subquery()
)
_RAISE = (
    update(UserSkillXp)
    .where(UserSkillXp.user_id == _STUDENT, UserSkillXp.xp_amount < _EXPLAINED)
    .values(xp_amount=_EXPLAINED, updated_at=bindparam("now"))
)
_IN_ALL = (
    update(User)
    .where(User.id == _STUDENT)
    .values(
        total_xp=select(func.coalesce(func.sum(UserSkillXp.xp_amount), 0))
        .where(UserSkillXp.user_id == User.id)
        .scalar_subquery()
    )
)


async def check_experience(sessions: Sessions, *, tell: Tell, repair: Repair | None) -> XpReport:
    """`tell` hears each fault as it is found, and then `repair`, if there is one, each student who
    has some.
    """
    report, after = XpReport(), UUID(int=0)
    while students := await _next_students(sessions, after):
        faults = await _find_faults(sessions, students, report)
        for fault in faults:
            tell(fault)
        if repair is not None:
            for user_id in dict.fromkeys(fault.user_id for fault in faults):
                await repair(user_id)
        after = students[-1]
    return report


async def _next_students(sessions: Sessions, after: UUID) -> list[UUID]:
    async with sessions() as session, session.begin():
        found = await session.execute(_STUDENTS, {"after": after})
        return list(found.scalars())


async def _find_faults(
    sessions: Sessions, students: list[UUID], report: XpReport
) -> list[LowTotal | UnpaidCompletion]:
    async with sessions() as session, session.begin():
        different = (await session.execute(_DIFFERENT, {"students": students})).all()
        without_award = await session.execute(_UNPAID, {"students": students})
        unpaid = [UnpaidCompletion(*row) for row in without_award]
    too_low = [LowTotal(*row) for row in different if row.total < row.ledger]
    report.students += len(students)
    report.too_low += len(too_low)
    report.unpaid += len(unpaid)
    report.above += len(different) - len(too_low)
    return [*too_low, *unpaid]


@retried
async def repair_student(
    sessions: Sessions, user_id: UUID, *, now: datetime, new_id: Callable[[], UUID]
) -> None:
    """Award completions without an award the XP of their task, and raise totals to their ledger.
    Lowers nothing and may be repeated.

    Takes the student's turn and then its locks as an award does, the ledger first and totals
    second, so that neither waits for the other's end and no award is counted twice or missed.
    """
    student = {"student": user_id}
    async with sessions() as session, session.begin():
        await take_turns(session, [user_id])
        await _pay(session, student, new_id)
        await session.execute(_MAKE_TOTALS, student)  # a missing row cannot be locked
        await session.execute(_LOCK_TOTALS, student)
        # A statement of its own: it sees every award that is in the totals just locked.
        await session.execute(_RAISE, student | {"now": now})
        await session.execute(_IN_ALL, student)


async def _pay(session: Session, student: dict[str, UUID], new_id: Callable[[], UUID]) -> None:
    owed = await session.execute(_OWED, student)
    for award in owed.mappings().all():
        await session.execute(_PAY, {"id": new_id(), **award})
