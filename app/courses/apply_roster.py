"""The transactions of an import: accounts first, then enrolments, a batch in each.

A batch marks its rows as done with what became of them, so an import that was cut off goes on
where it was, and two that run at once take turns.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, func, select, update

from app.accounts.enlist import MAX_STUDENTS, active_or_refused, enlist, find_students
from app.accounts.students import Student, StudentAccount
from app.courses.change_roster import Change
from app.database import Session, Sessions, retried
from app.errors import ServiceError
from app.learning.course_enrolment import drop_students, enrol_students
from app.models import RosterImport, RosterRow

MAX_ENROLMENTS = 1000  # in one transaction

_OF_IMPORT = RosterRow.import_id == bindparam("of_import")
_TURN = select(RosterImport.id).where(RosterImport.id == bindparam("of_import")).with_for_update()
_OPEN_USERS = (
    select(RosterRow)
    .where(_OF_IMPORT, RosterRow.outcome.in_(("create", "link")), ~RosterRow.is_done)
    .where(RosterRow.number >= bindparam("first"))
    .order_by(RosterRow.number)
    .limit(MAX_STUDENTS)
)
_OPEN_ENROLMENTS = (
    select(RosterRow)
    .where(_OF_IMPORT, RosterRow.outcome.in_(("enrol", "drop")), ~RosterRow.is_done)
    .where(RosterRow.number >= bindparam("first"))
    .order_by(RosterRow.number)
    .limit(MAX_ENROLMENTS)
)
_COUNT_OPEN = select(func.count()).where(
    _OF_IMPORT, RosterRow.outcome.in_(("create", "link", "enrol", "drop")), ~RosterRow.is_done
)
_DONE = (
    update(RosterRow)
    .where(_OF_IMPORT, RosterRow.number == bindparam("of_number"))
    .values(outcome=bindparam("became"), code=bindparam("because"), is_done=True)
)
_RELEASE = update(RosterRow).where(_OF_IMPORT, RosterRow.outcome == "held").values(outcome="drop")


async def release_held(sessions: Sessions, import_id: UUID) -> None:
    """Somebody said that so many do leave."""
    async with sessions() as session, session.begin():
        await session.execute(_RELEASE, {"of_import": import_id})


async def apply_roster(
    sessions: Sessions, import_id: UUID, change: Change, *, tell: Callable[[int, int], None]
) -> None:
    """Everything but what is held. `tell` is given rows done and rows in all."""
    async with sessions() as session, session.begin():
        rows = (await session.execute(_COUNT_OPEN, {"of_import": import_id})).scalar_one()
    done = 0
    for act in (_apply_users, _apply_enrolments):
        first = 0
        while last := await act(sessions, import_id, first, change):
            first = last[0] + 1
            done += last[1]
            tell(done, rows)


@retried
async def _apply_users(
    sessions: Sessions, import_id: UUID, first: int, change: Change
) -> tuple[int, int] | None:
    """The last row of a batch and its size; None if there is no row."""
    async with sessions() as session, session.begin():
        rows = await _take(session, _OPEN_USERS, import_id, first)
        accounts = await enlist(
            session,
            [_student(row) for row in rows],
            now=change.now,
            new_id=change.new_id,
            rules=change.rules,
        )
        return await _mark(
            session, import_id, [(row, *_outcome(accounts[row.spark_user_id])) for row in rows]
        )


@retried
async def _apply_enrolments(
    sessions: Sessions, import_id: UUID, first: int, change: Change
) -> tuple[int, int] | None:
    async with sessions() as session, session.begin():
        rows = await _take(session, _OPEN_ENROLMENTS, import_id, first)
        found = await find_students(session, [row.spark_user_id for row in rows])
        became: list[tuple[Row[Any], str, str | None]] = []
        groups = defaultdict[tuple[UUID, str], list[UUID]](list)
        for row in rows:
            known = found.get(row.spark_user_id)
            account = active_or_refused(known) if known else None
            if isinstance(account, StudentAccount):
                groups[row.quest_id, row.outcome].append(account.user_id)
                became.append((row, row.outcome, None))
            else:  # its account could not be made, or was closed since the file was compared
                became.append((row, "error", account.code if account else "user_not_found"))
        for (quest_id, outcome), users in sorted(groups.items(), key=lambda item: item[0]):
            act = enrol_students if outcome == "enrol" else drop_students
            await act(session, users, quest_id=quest_id, now=change.now)
        return await _mark(session, import_id, became)


async def _take(session: Session, statement: Any, import_id: UUID, first: int) -> list[Row[Any]]:
    """The next rows, once it is this one's turn."""
    await session.execute(_TURN, {"of_import": import_id})
    found = await session.execute(statement, {"of_import": import_id, "first": first})
    return list(found.all())


async def _mark(
    session: Session, import_id: UUID, became: Sequence[tuple[Row[Any], str, str | None]]
) -> tuple[int, int] | None:
    if not became:
        return None
    marks = [
        {"of_import": import_id, "of_number": row.number, "became": outcome, "because": code}
        for row, outcome, code in became
    ]
    await session.execute(_DONE, marks)
    return became[-1][0].number, len(became)


def _student(row: Row[Any]) -> Student:
    return Student(row.spark_user_id, row.email, row.given_name, row.family_name)


def _outcome(account: StudentAccount | ServiceError) -> tuple[str, str | None]:
    if isinstance(account, ServiceError):
        return "error", account.code
    if account.created:
        return "create", None
    return ("link" if account.linked else "unchanged"), None
