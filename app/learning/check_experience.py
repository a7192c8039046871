"""Compare what students were paid with the ledger, and mend what is too little.

A total is at least what its ledger explains; more is no fault, because the main app awards natively
and keeps no ledger. Every completion that homework of Spark made has its award. Memory is that of
one batch of students; a statement sees one moment, in which an award is there whole or not at all.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.adoption.people import PAYS_SQL
from app.database import Session, Sessions, Statement, retried
from app.learning.enrolment import take_turns

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

_STUDENTS = Statement(
    f"select id from users where id > :after order by id limit {STUDENTS_AT_ONCE}"  # noqa: S608
)
_DIFFERENT = Statement(
    """
    with total as (select * from user_skill_xp where user_id = any (:students::uuid[])),
    ledger as (
      select user_id, pillar, sum(xp_amount) as xp_amount from spark.xp_ledger
      where user_id = any (:students) group by user_id, pillar)
    select user_id, pillar, coalesce(total.xp_amount, 0) as total,
      coalesce(ledger.xp_amount, 0) as ledger
    from total full join ledger using (user_id, pillar)
    where coalesce(total.xp_amount, 0) <> coalesce(ledger.xp_amount, 0)
    order by user_id, pillar
    """
)
_IS_UNPAID = """exists (
        select from spark.submission_revisions r
        where r.completion_id = k.id and r.created_at <= k.created_at)
      and not exists (
        select from spark.xp_ledger x where x.user_id = k.user_id and x.task_id = k.task_id)"""
_UNPAID = Statement(
    f"""
    select k.user_id, k.id from quest_task_completions k
    where k.user_id = any (:students::uuid[]) and {_IS_UNPAID} order by k.user_id, k.id
    """  # noqa: S608 - of our own pieces
)
# Nobody erases it meanwhile.
_OWED = Statement(
    f"""
    select k.user_id, k.task_id, k.id as completion_id, t.pillar,
      {PAYS_SQL} as xp_amount
    from quest_task_completions k join user_quest_tasks t on t.id = k.task_id
    where k.user_id = :student and {_IS_UNPAID} order by k.task_id
    for key share of k
    """  # noqa: S608 - of our own pieces
)
_PAY = Statement(
    """
    insert into spark.xp_ledger (id, user_id, task_id, completion_id, pillar, xp_amount)
    values (:id, :user_id, :task_id, :completion_id, :pillar, :xp_amount) on conflict do nothing
    """
)
_MAKE_TOTALS = Statement(
    """
    insert into user_skill_xp (user_id, pillar)
    select distinct user_id, pillar from spark.xp_ledger where user_id = :student order by pillar
    on conflict do nothing
    """
)
_LOCK_TOTALS = Statement(
    "select from user_skill_xp where user_id = :student order by pillar for update"
)
_RAISE = Statement(
    """
    update user_skill_xp t set xp_amount = ledger.xp_amount, updated_at = :now
    from (
      select pillar, sum(xp_amount) as xp_amount from spark.xp_ledger
      where user_id = :student group by pillar) ledger
    where t.user_id = :student and t.pillar = ledger.pillar and t.xp_amount < ledger.xp_amount
    """
)
_IN_ALL = Statement(
    """
    update users set total_xp = (
      select coalesce(sum(xp_amount), 0) from user_skill_xp where user_id = :student)
    where id = :student
    """
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
        return [row["id"] for row in await _STUDENTS.send(session, {"after": after})]


async def _find_faults(
    sessions: Sessions, students: list[UUID], report: XpReport
) -> list[LowTotal | UnpaidCompletion]:
    async with sessions() as session, session.begin():
        different = await _DIFFERENT.send(session, {"students": students})
        without_award = await _UNPAID.send(session, {"students": students})
    unpaid = [UnpaidCompletion(*row.values()) for row in without_award]
    too_low = [LowTotal(*row.values()) for row in different if row["total"] < row["ledger"]]
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
    student: dict[str, Any] = {"student": user_id}
    async with sessions() as session, session.begin():
        await take_turns(session, [user_id])
        await _pay(session, student, new_id)
        await _MAKE_TOTALS.send(session, student)  # a missing row cannot be locked
        await _LOCK_TOTALS.send(session, student)
        # A statement of its own: it sees every award that is in the totals just locked.
        await _RAISE.send(session, student | {"now": now})
        await _IN_ALL.send(session, student)


async def _pay(session: Session, student: dict[str, Any], new_id: Callable[[], UUID]) -> None:
    for award in await _OWED.send(session, student):
        await _PAY.send(session, {"id": new_id(), **award})
