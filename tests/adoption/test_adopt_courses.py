"""Courses that the predecessor synced become courses of ours, with their ids."""

import json

import pytest

from app.settings import Settings
from tests.support.commands import run_on
from tests.support.databases import execute

COURSE = "b0000000-0000-4000-8000-000000000002"
MAPPED = """
select c.spark_org_id, c.spark_course_id, c.quest_id::text, a.spark_assignment_id, a.task_id::text,
    t.title, q.lms_platform
from spark.assignments a join spark.courses c on c.id = a.course_id
join course_quest_tasks t on t.id = a.task_id and t.quest_id = c.quest_id
join quests q on q.id = c.quest_id
order by 4
"""
ADOPT = ("adopt", "--apply", "--courses")


async def test_templates_keep_the_ids_that_students_copies_name(found: Settings) -> None:
    assert (await run_on(found)(*ADOPT)).exit_code == 0
    rows = await execute(found, MAPPED)
    course = ("", "weather_101", COURSE)
    task = "d0000000-0000-4000-8000-00000000000{}".format
    assert rows == [
        (*course, "rain", task(1), "Measure rain", "spark"),
        (*course, "wind", task(2), "Draw a wind rose", "spark"),
    ]
    assert "nothing to do" in (await run_on(found)(*ADOPT)).stdout


async def test_an_adopted_database_is_mapped_later(found: Settings) -> None:
    told = (await run_on(found)("adopt", "--apply")).stdout
    assert "data     quests: courses of the predecessor: 1, assignments: 2\n" in told
    assert await execute(found, MAPPED) == []
    assert (await run_on(found)(*ADOPT)).exit_code == 0
    assert len(await execute(found, MAPPED)) == 2


async def test_an_id_that_no_message_finds_is_not_mapped(found: Settings) -> None:
    """R35: it is counted, for somebody to look at before."""
    await execute(
        found,
        "update quest_sample_tasks set spark_assignment_id = ' rain' where title = 'Measure rain'",
    )
    told = (await run_on(found)(*ADOPT)).stdout
    assert "data     quest_sample_tasks.spark_assignment_id: ids with invisible characters" in told
    assert [row[3] for row in await execute(found, MAPPED)] == ["wind"]


async def test_a_course_that_no_message_finds_is_mapped_when_it_is_trimmed(found: Settings) -> None:
    await execute(found, "update quests set lms_course_id = lms_course_id || E'\\u00a0'")
    assert (await run_on(found)(*ADOPT)).exit_code == 0
    assert await execute(found, MAPPED) == []
    await execute(found, "update quests set lms_course_id = rtrim(lms_course_id, E'\\u00a0')")
    assert (await run_on(found)(*ADOPT)).exit_code == 0
    assert len(await execute(found, MAPPED)) == 2


@pytest.mark.parametrize("column", ["description", "subject_xp_distribution", "diploma_subjects"])
async def test_what_templates_say_no_more_is_left_out(found: Settings, column: str) -> None:
    await execute(found, f"alter table quest_sample_tasks drop {column}")
    assert (await run_on(found)(*ADOPT)).exit_code == 0
    assert len(await execute(found, MAPPED)) == 2


async def test_templates_of_the_newer_table_are_mapped_too(found: Settings) -> None:
    await execute(
        found,
        "insert into quest_template_tasks (id, quest_id, title, pillar, spark_assignment_id)"
        " select gen_random_uuid(), id, 'Snow', 'stem', 'ffffffff-0000-4000-8000-000000000001'"
        " from quests where lms_course_id = 'weather_101'",
    )
    assert (await run_on(found)(*ADOPT)).exit_code == 0
    assert [row[5] for row in await execute(found, MAPPED)] == [
        *("Snow", "Measure rain", "Draw a wind rose"),
    ]


@pytest.mark.parametrize("is_synced", [False, True])
async def test_a_course_id_of_several_quests_is_reported_and_not_mapped(
    found: Settings, *, is_synced: bool
) -> None:
    """Also of one that Spark has synced since."""
    second = (
        "insert into quests (id, title, quest_type, lms_platform, lms_course_id) values"
        " ('b0000000-0000-4000-8000-0000000000ff', 'Again', 'course', 'spark', 'weather_101')"
    )
    if is_synced:
        assert (await run_on(found)("adopt", "--apply")).exit_code == 0
    await execute(found, second)
    if is_synced:
        await execute(
            found,
            "insert into spark.courses (lms_platform, spark_course_id, quest_id)"
            " values ('spark', 'weather_101', 'b0000000-0000-4000-8000-0000000000ff')",
        )
    done = await run_on(found)(*ADOPT, "--json")
    assert done.exit_code == 0
    told, _ = json.JSONDecoder().raw_decode(done.stdout)
    shared = [each for each in told if "shared course id" in each["text"]]
    assert len(await execute(found, shared[0]["next_step"].partition(": ")[2])) == 2
    assert await execute(found, MAPPED) == []
    untouched = "select lms_platform from quests where title = 'A course as it was synced'"
    assert await execute(found, untouched) == [(None,)]


@pytest.mark.parametrize(
    "change",
    [
        "update quest_sample_tasks set spark_assignment_id = 'rain'",
        "update quest_sample_tasks set pillar = 'other' where spark_assignment_id = 'rain'",
    ],
    ids=["two of one id", "a pillar that course tasks refuse"],
)
async def test_an_assignment_that_is_not_clear_is_reported_and_not_mapped(
    found: Settings, change: str
) -> None:
    await execute(
        found, "alter table quest_sample_tasks drop constraint quest_sample_tasks_pillar_check"
    )
    await execute(found, change)
    done = await run_on(found)(*ADOPT)
    assert done.exit_code == 0
    assert "assignments that are not mapped: " in done.stdout
    assert "rain" not in {row[3] for row in await execute(found, MAPPED)}
