"""A student's XP as the main app reads it, and the command that compares it with its ledger."""

import asyncio
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import delete, func, insert, select, text, update

from app.clock import new_id, utc_now
from app.database import Sessions
from app.learning.check_experience import (
    STUDENTS_AT_ONCE,
    LowTotal,
    UnpaidCompletion,
    XpReport,
    check_experience,
    repair_student,
)
from app.models import (
    CourseQuestTask,
    SubmissionRevision,
    User,
    UserSkillXp,
    UserSubjectXp,
    XpAward,
)
from app.settings import Settings
from tests.conftest import create_assignment
from tests.support.commands import invoke
from tests.support.kinds import IS_ADOPTED
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import eventually
from tests.support.stores import own_stores

ITEM_MEMBERS = {
    *("id", "task_id", "completion_id", "quest_id", "title", "pillar", "xp_amount", "awarded_at"),
}


async def hand_in(spark: Spark, student: SignedIn, assignment: Assignment) -> dict[str, Any]:
    answer = await spark.submit(submission(student, assignment))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def run(sessions: Sessions, *statements: Any) -> None:
    async with sessions() as session, session.begin():
        for statement in statements:
            await session.execute(statement)


async def totals_of(sessions: Sessions, student: SignedIn) -> dict[str, int]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserSkillXp.pillar, UserSkillXp.xp_amount).where(
                UserSkillXp.user_id == student.user_id
            )
        )
        return {row.pillar: row.xp_amount for row in found}


async def ledger_of(sessions: Sessions, student: SignedIn) -> list[int]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(XpAward.xp_amount).where(XpAward.user_id == student.user_id)
        )
        return list(found.scalars())


# ---------------------------------------------------------------------------- totals and ledger


async def test_totals_and_the_ledger_behind_them(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    other = await create_assignment(sessions)
    of_other = CourseQuestTask.quest_id == other.quest_id
    credit = {"science": 60}
    await run(
        sessions,
        update(CourseQuestTask)
        .where(of_other)
        .values(pillar="art", xp_value=7, subject_xp_distribution=credit),
    )
    one, two = await hand_in(spark, student, assignment), await hand_in(spark, student, other)
    native = UserSkillXp.user_id == student.user_id, UserSkillXp.pillar == "stem"
    await run(sessions, update(UserSkillXp).where(*native).values(xp_amount=150))
    path = f"/internal/v1/students/{student.user_id}/xp"
    answer = await browser.get(path, headers=main_app)
    body = answer.json()
    assert body.keys() == {"user_id", "total", "pillars", "subjects", "items", "next_cursor"}
    assert (body["user_id"], body["total"]) == (student.user_id, 157)
    approved = {} if IS_ADOPTED else credit  # the main app pays it later
    assert (body["pillars"], body["subjects"]) == ({"stem": 150, "art": 7}, approved)
    newest, oldest = body["items"]
    assert newest.keys() == oldest.keys() == ITEM_MEMBERS
    for item, paid, amount in ((newest, two, 7), (oldest, one, 100)):
        for name in ("task_id", "completion_id", "quest_id"):
            assert item[name] == paid[name]
        assert (item["xp_amount"], item["title"]) == (amount, "Research")
    first = (await browser.get(path, params={"limit": 1}, headers=main_app)).json()
    cursor = {"limit": 1, "cursor": first["next_cursor"]}
    second = (await browser.get(path, params=cursor, headers=main_app)).json()
    assert [*first["items"], *second["items"]] == body["items"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("row", ["P237"])
async def test_an_unknown_student_is_not_found(
    browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn, row: str
) -> None:
    path = "/internal/v1/students/{}/xp"
    unknown = await browser.get(path.format(uuid4()), headers=main_app)
    assert_problem(unknown, 404, "not_found")
    assert_problem(await browser.get(path.format("1"), headers=main_app), 400, "field_invalid")
    forged = await browser.get(
        path.format(student.user_id), params={"cursor": "0" * 48}, headers=main_app
    )
    assert_problem(forged, 400, "field_invalid")


async def test_a_student_without_xp_has_none(
    browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn
) -> None:
    body = (
        await browser.get(f"/internal/v1/students/{student.user_id}/xp", headers=main_app)
    ).json()
    empty = {"total": 0, "pillars": {}, "subjects": {}, "items": [], "next_cursor": None}
    assert body == {"user_id": student.user_id} | empty


async def test_a_school_subject_that_the_main_app_adds_is_shown_among_the_others(
    browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn, sessions: Sessions
) -> None:
    await run(sessions, text("alter type school_subject add value if not exists 'latin'"))
    subjects = [{"school_subject": name, "xp_amount": 7} for name in ("math", "latin", "cte")]
    await run(
        sessions,
        insert(UserSubjectXp).values([row | {"user_id": student.user_id} for row in subjects]),
    )
    path = f"/internal/v1/students/{student.user_id}/xp"
    body = (await browser.get(path, headers=main_app)).json()
    assert list(body["subjects"].items()) == [("cte", 7), ("latin", 7), ("math", 7)]


# ---------------------------------------------------------------------------- xp check


class Checker:
    """Runs the command's act, over all students, and hears what it tells of one."""

    def __init__(self, sessions: Sessions, student: SignedIn) -> None:
        self._sessions = sessions
        self._user_id = UUID(student.user_id)
        self.report = XpReport()

    async def check(self, *, repair: bool = False) -> list[LowTotal | UnpaidCompletion]:
        told: list[LowTotal | UnpaidCompletion] = []
        mend = partial(repair_student, self._sessions, now=utc_now(), new_id=new_id)
        self.report = await check_experience(
            self._sessions, tell=told.append, repair=mend if repair else None
        )
        return [fault for fault in told if fault.user_id == self._user_id]

    async def repair(self) -> None:
        await repair_student(self._sessions, self._user_id, now=utc_now(), new_id=new_id)


@pytest.fixture
def checker(sessions: Sessions, student: SignedIn) -> Checker:
    return Checker(sessions, student)


@pytest.mark.parametrize("total", [None, 0, 60])
async def test_a_total_below_its_ledger_is_told_and_raised(
    checker: Checker,
    spark: Spark,
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
    total: int | None,
) -> None:
    await hand_in(spark, student, assignment)
    assert await checker.check() == []
    mine = UserSkillXp.user_id == student.user_id
    if total is None:
        await run(sessions, delete(UserSkillXp).where(mine))
    else:
        await run(sessions, update(UserSkillXp).where(mine).values(xp_amount=total))
    fault = LowTotal(UUID(student.user_id), "stem", total or 0, 100)
    assert await checker.check() == await checker.check(repair=True) == [fault]
    assert await totals_of(sessions, student) == {"stem": 100}
    assert await checker.check(repair=True) == []
    assert await ledger_of(sessions, student) == [100]


async def test_more_than_the_ledger_is_counted_and_left(
    checker: Checker, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    await checker.check()
    before = checker.report.above
    await hand_in(spark, student, assignment)
    mine = UserSkillXp.user_id == student.user_id
    art = {"user_id": student.user_id, "pillar": "art", "xp_amount": 5}
    native = update(UserSkillXp).where(mine).values(xp_amount=120), insert(UserSkillXp).values(art)
    await run(sessions, *native)
    assert await checker.check(repair=True) == []
    assert checker.report.above == before + 2
    await checker.repair()
    assert await totals_of(sessions, student) == {"stem": 120, "art": 5}


async def test_what_was_completed_natively_is_not_paid_again(
    checker: Checker, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    """The main app has paid it, and keeps no ledger."""
    first = await hand_in(spark, student, assignment)
    await run(
        sessions,
        delete(SubmissionRevision).where(SubmissionRevision.user_id == student.user_id),
        delete(XpAward).where(XpAward.user_id == student.user_id),
    )
    again = await hand_in(spark, student, assignment)
    assert (again["completion_id"], again["xp_awarded"]) == (first["completion_id"], 0)
    assert await totals_of(sessions, student) == {"stem": 100}
    assert await checker.check(repair=True) == []
    assert await ledger_of(sessions, student) == []


@pytest.mark.parametrize("total", [0, 30, 100, 130])
async def test_a_completion_without_an_award_gets_one_and_no_xp_twice(
    checker: Checker,
    spark: Spark,
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
    total: int,
) -> None:
    paid = await hand_in(spark, student, assignment)
    await run(
        sessions,
        delete(XpAward).where(XpAward.user_id == student.user_id),
        update(UserSkillXp).where(UserSkillXp.user_id == student.user_id).values(xp_amount=total),
    )
    fault = UnpaidCompletion(UUID(student.user_id), UUID(paid["completion_id"]))
    assert await checker.check(repair=True) == [fault]
    assert await checker.check() == []
    assert await ledger_of(sessions, student) == [100]
    assert await totals_of(sessions, student) == {"stem": max(total, 100)}


async def test_every_student_is_looked_at_once(
    checker: Checker, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    """More than one batch, and a fault in any of them."""
    await hand_in(spark, student, assignment)
    await run(
        sessions,
        insert(User).values([{"id": uuid4()} for _ in range(STUDENTS_AT_ONCE)]),
        delete(UserSkillXp).where(UserSkillXp.user_id == student.user_id),
    )
    assert len(await checker.check()) == 1
    async with sessions() as session, session.begin():
        found = await session.execute(select(func.count()).select_from(User))
        assert checker.report.students == found.scalar_one()


@pytest.mark.parametrize("lost", ["awards", "totals", "both"])
async def test_repairs_and_awards_at_once_pay_everything_once(
    checker: Checker, spark: Spark, sessions: Sessions, student: SignedIn, lost: str
) -> None:
    assignments = [await create_assignment(sessions) for _ in range(8)]
    old, new = assignments[:3], assignments[3:]
    for assignment in old:
        await hand_in(spark, student, assignment)
    if lost != "totals":
        await run(sessions, delete(XpAward).where(XpAward.user_id == student.user_id))
    if lost != "awards":
        await run(sessions, delete(UserSkillXp).where(UserSkillXp.user_id == student.user_id))
    both = [(hand_in(spark, student, assignment), checker.repair()) for assignment in new]
    again = [hand_in(spark, student, assignment) for assignment in old]
    await asyncio.gather(*(act for acts in both for act in acts), *again)
    await checker.repair()
    assert await ledger_of(sessions, student) == [100] * 8
    expected = 800 if lost != "awards" else None  # the totals held what the awards had paid
    [total] = (await totals_of(sessions, student)).values()
    assert total == expected or (expected is None and 800 <= total <= 1100)


async def test_a_repair_counts_an_award_that_is_being_paid(
    checker: Checker, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    """The total is below its ledger, and somebody is adding to both."""
    await hand_in(spark, student, assignment)
    mine = update(UserSkillXp).where(UserSkillXp.user_id == student.user_id)
    await run(sessions, mine.values(xp_amount=60))
    award = {"id": new_id(), "user_id": student.user_id, "pillar": "stem", "xp_amount": 20}
    ids = {"task_id": uuid4(), "completion_id": uuid4()}
    async with sessions() as session, session.begin():
        await session.execute(insert(XpAward).values(award | ids))
        await session.execute(mine.values(xp_amount=UserSkillXp.xp_amount + 20))
        repairing = asyncio.create_task(checker.repair())
        await eventually(partial(somebody_waits, sessions))
    await repairing
    assert await totals_of(sessions, student) == {"stem": 120}


async def somebody_waits(sessions: Sessions) -> bool:
    async with sessions() as session, session.begin():
        waiting = await session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        return bool(waiting.scalar_one())


def test_the_command_tells_and_mends(settings: Settings) -> None:
    with own_stores(settings) as stores:
        own = stores.given_to(settings)
        [user] = stores.rows("INSERT INTO users (id) VALUES (gen_random_uuid()) RETURNING id")
        stores.rows(
            "INSERT INTO spark.xp_ledger (id, user_id, task_id, completion_id, pillar, xp_amount)"
            " SELECT id, id, id, id, 'art', 5 FROM users"
        )
        said = (
            f"{user['id']} art 0 5\n"
            "students: 1, totals too low: 1, completions unpaid: 0, totals above the ledger: 0\n"
        )
        told = invoke(own, "xp", "check")
        assert (told.exit_code, told.stdout) == (1, said)
        mended = invoke(own, "xp", "check", "--repair")
        assert (mended.exit_code, mended.stdout, mended.stderr) == (0, said, "")
        assert stores.rows("SELECT pillar, xp_amount FROM user_skill_xp") == [
            {"pillar": "art", "xp_amount": 5}
        ]
