"""Doctor counts ids that no message finds, and users with two, and says which rows they are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from app.adoption.finding import Finding
from app.adoption.inspect_rows import QUESTIONS, inspect_rows
from app.database import Session, create_engine
from app.migrate import migrate, upgrade
from app.settings import Settings
from app.text import identifier_text
from tests.support.adopted import main_app_database
from tests.support.databases import empty_database
from tests.support.people import EVE

HIDDEN = "\u200b"
SPOILT = {
    "lms_integrations.lms_user_id": "update lms_integrations set lms_user_id = lms_user_id || :bad",
    "quests.lms_course_id": "update quests set lms_course_id = lms_course_id || :bad",
    "quests.lms_assignment_id": "update quests set lms_assignment_id = :bad || lms_assignment_id",
    "quest_sample_tasks.spark_assignment_id": "update quest_sample_tasks set"
    " spark_assignment_id = :bad || spark_assignment_id",
    "spark.courses.spark_course_id": "update spark.courses set spark_course_id = :bad || 'c'",
    "spark.courses.spark_org_id": "update spark.courses set spark_org_id = 'o' || :bad",
    "spark.assignments.spark_assignment_id": "update spark.assignments set"
    " spark_assignment_id = 'a' || :bad",
}
SYNCED = """
    with course as (insert into spark.courses (lms_platform, spark_course_id, quest_id)
        select 'spark', 'essays', quest_id from course_quest_tasks limit 1 returning id)
    insert into spark.assignments (course_id, spark_assignment_id, task_id)
        select course.id, 'essay', task.id
        from course, (select id from course_quest_tasks limit 1) task
"""


@asynccontextmanager
async def looked_into(service: Settings) -> AsyncIterator[Session]:
    """What is changed there is not kept."""
    engine = create_engine(service)
    try:
        async with engine.connect() as session, session.begin() as transaction:
            yield session
            await transaction.rollback()
    finally:
        await engine.dispose()


@pytest.fixture(scope="module")
async def adopted(settings: Settings) -> AsyncIterator[Settings]:
    async with main_app_database(settings) as found:
        engine = create_engine(found)
        async with engine.begin() as connection:
            await connection.run_sync(upgrade, "spark")
            await connection.execute(text(SYNCED))
        await engine.dispose()
        yield found


@pytest.fixture
async def session(adopted: Settings) -> AsyncIterator[Session]:
    async with looked_into(adopted) as opened:
        yield opened


async def listed(session: Session, finding: Finding) -> list[tuple[object, ...]]:
    """What the SQL of the next step lists."""
    statement = str(finding.next_step).rpartition(": select ")[2]
    rows = await session.exec_driver_sql(f"select {statement.removesuffix(';')}")
    return [tuple(row) for row in rows]


async def test_a_user_with_two_ids_is_counted_and_can_be_listed(session: Session) -> None:
    (found,) = [one for one in await inspect_rows(session) if one.subject == "lms_integrations"]
    assert (found.mark, found.text.partition(";")[0]) == ("data", "users with several Spark ids: 1")
    assert [(str(user), ids) for user, ids, *_ in await listed(session, found)] == [(EVE, 2)]
    assert "spark_eve" not in str(found)


@pytest.mark.parametrize("column", SPOILT)
async def test_ids_that_nobody_finds_are_counted_and_can_be_listed(
    session: Session, column: str
) -> None:
    spoilt = await session.execute(text(SPOILT[column]), {"bad": HIDDEN})
    (found,) = [one for one in await inspect_rows(session) if one.subject == column]
    rows = await listed(session, found)
    assert found.mark == "data"
    assert found.text.startswith(f"ids with invisible characters: {len(rows)}; ")
    assert 0 < len(rows) <= spoilt.rowcount
    assert all(HIDDEN in str(identifier) for _, identifier in rows)
    assert HIDDEN not in str(found)


async def test_another_platforms_ids_are_its_own(session: Session) -> None:
    await session.execute(
        text("update lms_integrations set lms_user_id = ' x ' where lms_platform = 'canvas'")
    )
    assert "lms_integrations.lms_user_id" not in [
        one.subject for one in await inspect_rows(session)
    ]


async def test_what_counts_is_what_reading_an_id_changes_or_refuses(session: Session) -> None:
    """R35, R46: every character of the plane alone, before, within and after an id."""
    characters = [chr(n) for n in range(1, 0x10000) if not 0xD800 <= n <= 0xDFFF]
    ids = [form.format(one) for one in characters for form in ("{}", "{}a", "a{}b", "b{}")]
    (question,) = [one for one in QUESTIONS if one.subject == "lms_integrations.lms_user_id"]
    pattern = question.sql.rpartition(" ~ ")[2]
    listing = f"select id from unnest(cast(:ids as text[])) as id where id ~ {pattern}"  # noqa: S608
    found = await session.execute(text(listing), {"ids": ids})
    assert {*found.scalars()} == {*filter(is_never_read, ids)}


def is_never_read(identifier: str) -> bool:
    try:
        return identifier_text(identifier) != identifier
    except ValueError:
        return True


async def test_a_new_database_of_ours_has_none(settings: Settings) -> None:
    async with empty_database(settings) as own:
        await asyncio.to_thread(migrate, own)
        async with looked_into(own) as session:
            assert await inspect_rows(session) == []
