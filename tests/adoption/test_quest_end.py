"""The end of a quest, which the main app asks its student for (ADOPTION #24)."""

import pytest

from app.settings import Settings
from tests.support.beside import serve_beside
from tests.support.beside_spark import ESSAY, handed_in
from tests.support.people import ANN

ENDED = """
select completed_at is not null as is_completed from user_quests where user_id = :id and is_active
"""


@pytest.mark.parametrize(("chosen", "ends"), [(None, False), (False, False), (True, True)])
async def test_24_a_quest_ends_only_where_that_is_wanted(
    settings: Settings, *, chosen: bool | None, ends: bool
) -> None:
    async with serve_beside(settings, "spark_service", complete_quests=chosen) as beside:
        await handed_in(beside.spark, "ann", ESSAY)
        assert await beside.rows(ENDED, id=ANN) == [(ends,)]
