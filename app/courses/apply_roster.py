"""The act of an import, a batch of students in each transaction; its comparison is the act undone.

All rows of a student are in one batch, so that each is judged beside the others. A batch marks its
rows with what became of them: an import that was cut off goes on where it was, and two that run at
once take turns.

    users        create · link · unchanged · skipped (no student, or leaving) · error
    enrollments  enrol · drop · held · unchanged · skipped (no student) · error
    absent       drop · held · unchanged · error: who is not in a whole list any more
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Row, Text, TextClause, bindparam, text

from app.accounts.enlist import MAX_STUDENTS, Refused
from app.accounts.students import Student, StudentAccount
from app.courses.change_roster import Move, RosterRun, change_students
from app.database import Session, Sessions, retried
from app.errors import ServiceError

HELD_PERCENT = 20  # of a course's students: so many do not leave at once by intent
Verdict = tuple[str, str | None]  # an outcome, and of an error its code
Tell = Callable[[int, int], Awaitable[None]]  # rows done, and rows in all

_TURN = text("select from spark.roster_imports where id = :import_id for update")
# Open is what is to be compared, and what was compared and is to be done.
_COUNT_OPEN = text(
    """
    select count(*) from spark.roster_rows
    where import_id = :import_id and source <> 'roles' and not is_done
      and (outcome is null or outcome in ('create', 'link', 'enrol', 'drop'))
    """
)
# Rows of a student that say the same are one, however many they are.
_BATCH = text(
    """
    with open as not materialized (
      select * from spark.roster_rows
      where import_id = :import_id and not is_done
        and (outcome is null or outcome in ('create', 'link', 'enrol', 'drop'))),
    student as materialized (
      select distinct spark_user_id from open
      where spark_user_id > :after and source <> 'roles'
      order by spark_user_id limit :students)
    select spark_user_id, source, quest_id, is_student, leaves,
      array_agg(number order by number) as numbers,
      (array_agg(email order by number))[1] as email,
      (array_agg(given_name order by number))[1] as given_name,
      (array_agg(family_name order by number))[1] as family_name
    from student join open using (spark_user_id)
    group by spark_user_id, source, quest_id, is_student, leaves
    order by spark_user_id
    """
).bindparams(students=MAX_STUDENTS)
# No name stays with a row that has no effect: an erased student's may be among them.
_MARK = text(
    """
    update spark.roster_rows r
    set outcome = became.outcome, code = became.code, is_done = :is_done,
      email = case when became.has_effect then r.email end,
      given_name = case when became.has_effect then r.given_name end,
      family_name = case when became.has_effect then r.family_name end
    from (
      select *, outcome not in ('error', 'skipped') as has_effect
      from unnest(:numbers, :outcomes, :codes) as mark (number, outcome, code)) became
    where r.import_id = :import_id and r.number = became.number
    """
).bindparams(
    bindparam("numbers", type_=ARRAY(Integer)),
    bindparam("outcomes", type_=ARRAY(Text)),
    bindparam("codes", type_=ARRAY(Text)),
)
# An enrolment that could not be read may be anybody's: then nobody counts as absent.
_LISTED_COURSES = text(
    """
    select distinct r.quest_id, i.is_whole and not exists (
        select from spark.roster_rows bad
        where bad.import_id = i.id and bad.source = 'enrollments' and bad.spark_user_id is null)
    from spark.roster_rows r join spark.roster_imports i on i.id = r.import_id
    where r.import_id = :import_id and r.quest_id is not null
    """
)
# Who has several Spark ids is there by any of them.
_ABSENT = text(
    """
    insert into spark.roster_rows
      (import_id, number, source, spark_user_id, is_student, quest_id, leaves)
    select :import_id, row_number() over (order by newest.lms_user_id) + (
        select max(number) from spark.roster_rows where import_id = :import_id),
      'absent', newest.lms_user_id, true, q.quest_id, true
    from (select distinct user_id, quest_id from user_quests
          where quest_id = :quest_id and is_active) q
    join lateral (
      select l.lms_user_id from lms_integrations l
      where l.user_id = q.user_id and l.lms_platform = 'spark'
      order by l.created_at desc nulls last, l.id limit 1) newest on true
    where not exists (
      select from spark.roster_rows o
      join lms_integrations l on l.lms_platform = 'spark' and l.lms_user_id = o.spark_user_id
      where o.import_id = :import_id and o.source = 'enrollments'
        and l.user_id = q.user_id and o.quest_id = q.quest_id)
    """
)
_HOLD = text(
    """
    update spark.roster_rows r set outcome = 'held'
    where r.import_id = :import_id and r.quest_id = :quest_id and r.outcome = 'drop'
      and 100 * (select count(*) from spark.roster_rows d
           where d.import_id = :import_id and d.quest_id = :quest_id and d.outcome = 'drop')
        > :percent * (select count(distinct q.user_id) from user_quests q
                    where q.quest_id = :quest_id and q.is_active)
    """
).bindparams(percent=HELD_PERCENT)
_RELEASE = text(
    """
    update spark.roster_rows set outcome = 'drop'
    where import_id = :import_id and outcome = 'held'
    """
)


async def compare_roster(
    sessions: Sessions, import_id: UUID, run: RosterRun, *, tell: Tell
) -> None:
    """Every row gets its outcome: what `apply_roster` would do, and what would be held."""
    named: dict[str, object] = {"import_id": import_id}
    async with sessions() as session, session.begin():
        courses = (await session.execute(_LISTED_COURSES, named)).all()
    # One course at a time, so that no statement runs into its time limit.
    for quest_id, is_whole in courses:
        if is_whole:
            await _execute(sessions, _ABSENT, named | {"quest_id": quest_id})
    await apply_roster(sessions, import_id, run, undo=True, tell=tell)
    for quest_id, _ in courses:
        await _execute(sessions, _HOLD, named | {"quest_id": quest_id})


async def apply_roster(
    sessions: Sessions, import_id: UUID, run: RosterRun, *, undo: bool = False, tell: Tell
) -> None:
    """Everything but what is held."""
    async with sessions() as session, session.begin():
        counted = await session.execute(_COUNT_OPEN, {"import_id": import_id})
    rows, done, after = counted.scalar_one(), 0, ""
    linked: set[str] = set()
    while batch := await _change_batch(sessions, import_id, after, run, linked, undo=undo):
        after = batch[0]
        done += batch[1]
        await tell(done, rows)


async def release_held(sessions: Sessions, import_id: UUID) -> None:
    """Somebody said that so many do leave."""
    await _execute(sessions, _RELEASE, {"import_id": import_id})


async def _execute(sessions: Sessions, statement: TextClause, named: dict[str, object]) -> None:
    async with sessions() as session, session.begin():
        await session.execute(statement, named)


@retried
async def _change_batch(
    sessions: Sessions,
    import_id: UUID,
    after: str,
    run: RosterRun,
    linked: set[str],
    *,
    undo: bool,
) -> tuple[str, int] | None:
    """The last student of a batch and its rows; None if there is nobody after `after`.

    `linked` are addresses that linked an account: where that was undone, it would link again for
    the next sibling.
    """
    named: dict[str, object] = {"import_id": import_id}
    async with sessions() as session, session.begin():
        await session.execute(_TURN, named)
        rows = (await session.execute(_BATCH, named | {"after": after})).all()
        if not rows:
            return None
        async with session.begin_nested() as act:
            verdicts = await _change(session, rows, linked, run)
            if undo:
                await act.rollback()
        outcomes, codes = zip(*verdicts.values(), strict=True)
        marks = {"numbers": list(verdicts), "outcomes": outcomes, "codes": codes}
        await session.execute(_MARK, named | marks | {"is_done": not undo})
    linked |= {row.email for row in rows if verdicts.get(row.numbers[0]) == ("link", None)}
    return rows[-1].spark_user_id, len(verdicts)


async def _change(
    session: Session, rows: Sequence[Row[Any]], linked: set[str], run: RosterRun
) -> dict[int, Verdict]:
    """What became of each row, by its number."""
    verdicts: dict[int, Verdict] = {}
    users: list[Row[Any]] = []
    moving: list[Row[Any]] = []
    for _, of_student in groupby(rows, key=attrgetter("spark_user_id")):
        for row, verdict in _judge(list(of_student)):
            if verdict:
                verdicts |= dict.fromkeys(row.numbers, verdict)
            else:
                (users if row.source == "users" else moving).append(row)
    students = [_student(row, linked) for row in users]
    enlisted, accounts, moved = await change_students(session, students, _moves(moving), run)
    for row in users:
        verdicts |= dict.fromkeys(row.numbers, ("error", "repeated"))
        verdicts[row.numbers[0]] = _enlisted(enlisted[row.spark_user_id])
    for row in moving:
        verdicts |= _moved(row, accounts.get(row.spark_user_id), moved)
    return verdicts


def _judge(rows: Sequence[Row[Any]]) -> Iterator[tuple[Row[Any], Verdict | None]]:
    """The rows of one student, with the verdict on those that are not carried out.

    Another role in any row makes somebody no student; roles.csv decides where it is there.
    """
    users = [row for row in rows if row.source == "users"]
    roles = [row for row in rows if row.source == "roles"]
    is_staff = bool(users) and not all(row.is_student for row in roles or users)
    first = min((row.numbers[0] for row in users), default=0)
    for row in users:
        if is_staff or row.leaves:
            yield row, ("skipped", None)
        else:
            yield row, None if row.numbers[0] == first else ("error", "repeated")
    for row in rows:
        if row.source == "enrollments" and (is_staff or not row.is_student):
            yield row, ("skipped", None)
        elif row.source in ("enrollments", "absent"):
            yield row, None if row.quest_id else ("error", "course_not_found")


def _student(row: Row[Any], linked: set[str]) -> Student:
    email = None if row.email in linked else row.email
    return Student(row.spark_user_id, email, row.given_name, row.family_name)


def _moves(rows: Sequence[Row[Any]]) -> list[Move]:
    """Nobody leaves a course by one row and stays in it by another."""
    stay = {(row.spark_user_id, row.quest_id) for row in rows if not row.leaves}
    return [
        (row.spark_user_id, row.quest_id, row.leaves)
        for row in rows
        if not (row.leaves and (row.spark_user_id, row.quest_id) in stay)
    ]


def _enlisted(account: StudentAccount | Refused) -> Verdict:
    if isinstance(account, ServiceError):
        return "error", account.code
    if account.created:
        return "create", None
    return ("link" if account.linked else "unchanged"), None


def _moved(
    row: Row[Any], account: StudentAccount | Refused | None, moved: set[Move]
) -> dict[int, Verdict]:
    if isinstance(account, ServiceError):
        return dict.fromkeys(row.numbers, ("error", account.code))
    if account is None and not row.leaves:
        return dict.fromkeys(row.numbers, ("error", "user_not_found"))
    verdicts: dict[int, Verdict] = dict.fromkeys(row.numbers, ("unchanged", None))
    if (row.spark_user_id, row.quest_id, row.leaves) in moved:
        verdicts[row.numbers[0]] = ("drop" if row.leaves else "enrol"), None
    return verdicts
