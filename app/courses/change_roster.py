"""The transactions: students of a roster are enrolled in a course or dropped from it.

Each takes a part of the list, because a first roster locks each student it makes. Every part is
atomic and may be repeated, so a message that was cut off is simply sent again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

from sqlalchemy import bindparam, or_, select

from app.accounts.enlist import MAX_STUDENTS, Refused, active_or_refused, enlist, find_students
from app.accounts.students import AccountRules, StudentAccount
from app.activity.record_event import record_event
from app.courses.roster import Roster, RosterEntry
from app.database import Session, Sessions, retried
from app.deliveries.inbox import Entry, keep_delivery
from app.deliveries.payload import Subject
from app.errors import CourseNotFoundError, ServiceError
from app.learning.course_enrolment import drop_students, enrol_students
from app.models import PLATFORM, SparkCourse


@dataclass(frozen=True)
class Change:
    """When and for whom a roster is changed."""

    now: datetime
    new_id: Callable[[], UUID]
    rules: AccountRules


@dataclass(frozen=True)
class EntryFault:
    """Why one entry had no effect; the others had theirs."""

    index: int
    spark_user_id: str
    fault: ServiceError


@dataclass
class Changed:
    """What became of the entries; the counts and the faults add up to them."""

    entries: int = 0
    enrolled: int = 0
    dropped: int = 0
    users_created: int = 0
    faults: list[EntryFault] = field(default_factory=list)

    @property
    def unchanged(self) -> int:
        return self.entries - self.enrolled - self.dropped - len(self.faults)

    def add(self, part: "Changed") -> None:
        self.entries += part.entries
        self.enrolled += part.enrolled
        self.dropped += part.dropped
        self.users_created += part.users_created
        self.faults += part.faults


Numbered = Sequence[tuple[int, RosterEntry]]


async def change_roster(
    sessions: Sessions, roster: Roster, entry: Entry, change: Change
) -> Changed:
    """Raises CourseNotFoundError before anything is changed."""
    quest_id = await _find_course(sessions, roster)
    changed = Changed()
    for part in _parts(roster):
        changed.add(await _change_part(sessions, quest_id, part, change))
    await _record(sessions, roster, changed, entry)
    return changed


async def rehearse_roster(sessions: Sessions, roster: Roster, change: Change) -> Changed:
    """What `change_roster` would do, and raises; everything is undone."""
    quest_id = await _find_course(sessions, roster)
    changed = Changed()
    for part in _parts(roster):
        async with sessions() as session, session.begin() as transaction:
            changed.add(await _change(session, quest_id, part, change))
            await transaction.rollback()
    return changed


def _parts(roster: Roster) -> Iterator[Numbered]:
    numbered = iter(enumerate(roster.entries))
    while part := list(islice(numbered, MAX_STUDENTS)):
        yield part


@retried
async def _change_part(
    sessions: Sessions, quest_id: UUID, part: Numbered, change: Change
) -> Changed:
    async with sessions() as session, session.begin():
        return await _change(session, quest_id, part, change)


async def _change(session: Session, quest_id: UUID, part: Numbered, change: Change) -> Changed:
    joining = [entry.student for _, entry in part if entry.action == "enroll"]
    leaving = [entry.spark_user_id for _, entry in part if entry.action == "drop"]
    joined = await enlist(
        session,
        joining,
        now=change.now,
        new_id=change.new_id,
        rules=change.rules,
    )
    left = {
        name: active_or_refused(found)
        for name, found in (await find_students(session, leaving)).items()
    }
    return Changed(
        entries=len(part),
        enrolled=await enrol_students(session, _ids(joined), quest_id=quest_id, now=change.now),
        dropped=await drop_students(session, _ids(left), quest_id=quest_id, now=change.now),
        users_created=sum(_is_new(account) for account in joined.values()),
        faults=list(_faults(part, {**joined, **left})),
    )


def _ids(accounts: Mapping[str, StudentAccount | Refused]) -> list[UUID]:
    return [account.user_id for account in accounts.values() if isinstance(account, StudentAccount)]


def _is_new(account: StudentAccount | Refused) -> bool:
    return isinstance(account, StudentAccount) and account.created


def _faults(
    part: Numbered, accounts: Mapping[str, StudentAccount | Refused]
) -> Iterator[EntryFault]:
    """A student who was never here need not be dropped: that is no fault."""
    for index, entry in part:
        account = accounts.get(entry.spark_user_id)
        if isinstance(account, ServiceError):
            yield EntryFault(index, entry.spark_user_id, account)


_ORG = bindparam("org_id", type_=SparkCourse.spark_org_id.type)
_FIND = select(SparkCourse.quest_id).where(
    SparkCourse.lms_platform == PLATFORM,
    SparkCourse.spark_course_id == bindparam("course_id"),
    or_(_ORG.is_(None), SparkCourse.spark_org_id == _ORG),
)


async def _find_course(sessions: Sessions, roster: Roster) -> UUID:
    """Its quest. Raises CourseNotFoundError."""
    named = {"course_id": roster.spark_course_id, "org_id": roster.spark_org_id}
    async with sessions() as session, session.begin():
        found = await session.execute(_FIND, named)
    quests = [quest_id for quest_id in found.scalars() if quest_id]
    if len(quests) == 1:
        return quests[0]
    hint = "Several organisations have this course: send spark_org_id." if quests else None
    raise CourseNotFoundError(hint=hint, spark_course_id=roster.spark_course_id)


@retried
async def _record(sessions: Sessions, roster: Roster, changed: Changed, entry: Entry) -> None:
    async with sessions() as session, session.begin():
        await record_event(
            session,
            "spark_roster_success",
            user_id=None,
            session_id=entry.id,
            data={
                "spark_course_id": roster.spark_course_id,
                "enrolled": changed.enrolled,
                "dropped": changed.dropped,
                "users_created": changed.users_created,
                "unchanged": changed.unchanged,
                "errors": len(changed.faults),
            },
            page_url=entry.route,
        )
        await keep_delivery(session, entry, Subject(spark_course_id=roster.spark_course_id))
