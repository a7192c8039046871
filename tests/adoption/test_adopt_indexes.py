"""Optional indexes on the main app's tables, when somebody asks for them."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.database import create_engine
from app.settings import Settings
from tests.support.commands import run_on
from tests.support.databases import execute

OURS = (
    "select indexrelid::regclass::text from pg_index where indexrelid::regclass::text like 'ix_%'"
)
WANTED = "ix_quests_lms_platform_lms_course_id"


async def test_none_is_made_that_the_main_app_has_under_another_name(found: Settings) -> None:
    await execute(found, "create index theirs on quests (lms_platform, lms_course_id, title)")
    assert (await run_on(found)("adopt", "--apply", "--indexes")).exit_code == 0
    made = {row[0] for row in await execute(found, OURS)}
    assert "ix_user_activity_events_personal" in made
    assert "ix_quests_lms_platform_lms_assignment_id" in made
    assert not made & {WANTED, "ix_user_quests_quest_id", "ix_lms_integrations_user_id"}
    assert "nothing to do" in (await run_on(found)("adopt", "--apply", "--indexes")).stdout


async def test_one_that_was_left_invalid_is_dropped_and_made_again(found: Settings) -> None:
    """As a build leaves it that was ended: here for two rows that a unique one refuses."""
    await execute(
        found,
        "insert into quests (title, quest_type) select 'Twice', 'optio' from generate_series(1, 2)",
    )
    engine = create_engine(found)
    async with engine.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(IntegrityError):
            await outside.execute(
                text(f"create unique index concurrently {WANTED} on quests (title)")
            )
    await engine.dispose()
    valid = "select indisvalid from pg_index where indexrelid::regclass::text like '%lms_course_id'"
    assert await execute(found, valid) == [(False,)]
    shown = await run_on(found)("adopt", "--indexes")
    assert f"CREATE INDEX CONCURRENTLY {WANTED}" in shown.stdout
    assert (await run_on(found)("adopt", "--apply", "--indexes")).exit_code == 0
    assert await execute(found, valid) == [(True,)]
