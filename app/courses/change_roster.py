"""The transactions: students of a roster are enrolled in a course or dropped from it.

Each takes a part of the list, because a first roster locks each student it makes. Every part is
atomic and may be repeated, so a message that was cut off is simply sent again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.accounts.enlist import MAX_STUDENTS, Refused, active_or_refused, enlist, find_students
from app.accounts.students import AccountRules, Student, StudentAccount
from app.activity.record_event import record_event
from app.courses.message_order import check_latest, check_order
from app.courses.roster import Roster, RosterEntry
from app.database import Columns, Session, Sessions, Statement, retried
from app.deliveries.inbox import Entry, keep_delivery
from app.deliveries.payload import Subject
from app.errors import CourseNotFoundError, ServiceError
from app.fields import AnswerWarning
from app.learning.course_enrolment import drop_students, enrol_students
from app.learning.enrolment import take_turns
from app.models import PLATFORM

Accounts = Mapping[str, StudentAccount | Refused]  # by Spark id
Move = tuple[str, UUID, bool]  # a Spark id, a quest, and whether the student leaves it


@dataclass(frozen=True)
class RosterRun:
    """When, by which rules and for whom a roster is carried out."""

    now: datetime
    new_id: Callable[[], UUID]
    rules: AccountRules
    caller: str
    requires_time: bool = False


@dataclass
class RosterChange:
    """What became of the entries; the counts and the faults add up to them.

    A fault is an entry's place, the entry, and why it had no effect; the others had theirs.
    """

    entries: int = 0
    enrolled: int = 0
    dropped: int = 0
    users_created: int = 0
    faults: list[tuple[int, RosterEntry, ServiceError]] = field(default_factory=list)
    warnings: list[AnswerWarning] = field(default_factory=list)

    @property
    def unchanged(self) -> int:
        return self.entries - self.enrolled - self.dropped - len(self.faults)

    def add(self, part: "RosterChange") -> None:
        self.entries += part.entries
        self.enrolled += part.enrolled
        self.dropped += part.dropped
        self.users_created += part.users_created
        self.faults += part.faults


Numbered = Sequence[tuple[int, RosterEntry]]


async def change_roster(
    sessions: Sessions, roster: Roster, entry: Entry, run: RosterRun
) -> RosterChange:
    """Raises CourseNotFoundError or MessageSupersededError; of MAX_STUDENTS entries or fewer before
    anything is changed, else between parts: a later message may have come between.
    """
    first, *others = _parts(roster)
    change = await _begin(sessions, roster, entry, first, run)
    for part in others:
        change.add(await _change_part(sessions, roster, part, run))
    await _record(sessions, roster, change, entry)
    return change


async def rehearse_roster(
    sessions: Sessions, roster: Roster, entry: Entry, run: RosterRun
) -> RosterChange:
    """What `change_roster` would do, and raises; everything is undone."""
    change = RosterChange()
    for part in _parts(roster):
        async with sessions() as session, session.begin() as transaction:
            quest_id, change.warnings = await _take_turn(session, roster, entry, run)
            change.add(await _change(session, quest_id, part, run))
            await transaction.rollback()
    return change


def _parts(roster: Roster) -> Sequence[Numbered]:
    """At least one, and be it empty: the course has to be there."""
    numbered = list(enumerate(roster.entries))
    firsts = range(0, max(len(numbered), 1), MAX_STUDENTS)
    return [numbered[first : first + MAX_STUDENTS] for first in firsts]


@retried
async def _begin(
    sessions: Sessions, roster: Roster, entry: Entry, part: Numbered, run: RosterRun
) -> RosterChange:
    """The first part, and with it the message's place in the order: a later message for the course
    waits for this part, and may then come before the next one.
    """
    async with sessions() as session, session.begin():
        quest_id, warnings = await _take_turn(session, roster, entry, run)
        change = await _change(session, quest_id, part, run)
    change.warnings = warnings
    return change


@retried
async def _change_part(
    sessions: Sessions, roster: Roster, part: Numbered, run: RosterRun
) -> RosterChange:
    """Raises MessageSupersededError where a later message has come since."""
    async with sessions() as session, session.begin():
        course = await _lock_course(session, roster)
        check_latest(course["roster_sent_at"], roster.sent_at)
        return await _change(session, course["quest_id"], part, run)


async def _change(session: Session, quest_id: UUID, part: Numbered, run: RosterRun) -> RosterChange:
    usable = [entry for _, entry in part if not entry.fault]
    joining = [entry.student for entry in usable if entry.action == "enroll"]
    moves = [(entry.spark_user_id, quest_id, entry.action == "drop") for entry in usable]
    enlisted, linked, moved = await change_students(session, joining, moves, run)
    accounts = {**linked, **enlisted}
    return RosterChange(
        entries=len(part),
        enrolled=sum(not leaves for _, _, leaves in moved),
        dropped=sum(leaves for _, _, leaves in moved),
        users_created=sum(_is_new(account) for account in enlisted.values()),
        faults=list(_faults(part, accounts)),
    )


async def change_students(
    session: Session, joining: Sequence[Student], moves: Sequence[Move], run: RosterRun
) -> tuple[Accounts, Accounts, set[Move]]:
    """Make accounts for MAX_STUDENTS at most, each named once, and carry out the moves.

    What became of those who join, the accounts of whoever moves and is linked, and the moves that
    had an effect.
    """
    enlisted = await enlist(session, joining, now=run.now, new_id=run.new_id, rules=run.rules)
    linked = {name: each for name, each in enlisted.items() if isinstance(each, StudentAccount)}
    others = sorted({name for name, _, _ in moves} - linked.keys())
    accounts: dict[str, StudentAccount | Refused] = {
        name: active_or_refused(student)
        for name, student in (await find_students(session, others)).items()
    } | linked
    pairs = {
        move: (account.user_id, move[1])
        for move in moves
        if isinstance(account := accounts.get(move[0]), StudentAccount)
    }
    joined = [pair for (_, _, leaves), pair in pairs.items() if not leaves]
    left = [pair for (_, _, leaves), pair in pairs.items() if leaves]
    await take_turns(session, (user_id for user_id, _ in pairs.values()))
    enrolled = await enrol_students(session, joined, now=run.now)
    dropped = await drop_students(session, left, now=run.now, caller=run.caller)
    moved = {move for move, pair in pairs.items() if pair in (dropped if move[2] else enrolled)}
    return enlisted, accounts, moved


def _is_new(account: StudentAccount | Refused) -> bool:
    return isinstance(account, StudentAccount) and account.created


def _faults(part: Numbered, accounts: Accounts) -> Iterator[tuple[int, RosterEntry, ServiceError]]:
    """A student who was never here need not be dropped: that is no fault."""
    for index, entry in part:
        fault = entry.fault or accounts.get(entry.spark_user_id)
        if isinstance(fault, ServiceError):
            yield index, entry, fault


_FIND = Statement(
    f"""
    select id, quest_id, roster_digest, roster_sent_at from spark.courses
    where lms_platform = '{PLATFORM}' and spark_course_id = :course_id
      and (:org_id::text is null or spark_org_id = :org_id)
    order by id for no key update
    """  # noqa: S608 - our own word
)
_TAKEN = Statement(
    """
    update spark.courses
    set roster_digest = :digest, roster_sent_at = coalesce(:said_at, roster_sent_at)
    where id = :course
    """
)


async def _take_turn(
    session: Session, roster: Roster, entry: Entry, run: RosterRun
) -> tuple[UUID, list[AnswerWarning]]:
    """The quest of the course, which is locked until the transaction ends, and what is noticed.

    Raises CourseNotFoundError or MessageSupersededError.
    """
    course, sent_at = await _lock_course(session, roster), roster.sent_at
    last = (course["roster_digest"], course["roster_sent_at"])
    warnings = await check_order(
        session, entry, last, sent_at=sent_at, requires_time=run.requires_time
    )
    marks = {"course": course["id"], "digest": entry.digest, "said_at": sent_at}
    await _TAKEN.send(session, marks)
    return course["quest_id"], warnings


async def _lock_course(session: Session, roster: Roster) -> Columns:
    """Until the transaction ends. Raises CourseNotFoundError."""
    named = {"course_id": roster.spark_course_id, "org_id": roster.spark_org_id}
    courses = [course for course in await _FIND.send(session, named) if course["quest_id"]]
    if len(courses) != 1:
        hint = "Several organisations have this course: send spark_org_id." if courses else None
        raise CourseNotFoundError(hint=hint, spark_course_id=roster.spark_course_id)
    return courses[0]


@retried
async def _record(sessions: Sessions, roster: Roster, change: RosterChange, entry: Entry) -> None:
    async with sessions() as session, session.begin():
        await record_event(
            session,
            "spark_roster_success",
            user_id=None,
            session_id=entry.id,
            data={
                "spark_course_id": roster.spark_course_id,
                "enrolled": change.enrolled,
                "dropped": change.dropped,
                "users_created": change.users_created,
                "unchanged": change.unchanged,
                "errors": len(change.faults),
            },
            page_url=entry.route,
        )
        await keep_delivery(session, entry, Subject(spark_course_id=roster.spark_course_id))
