"""What differs from a database of our own is asked of the catalogue, once."""

import pytest

from app.adoption.read_catalogue import Catalogue, look
from app.adoption.shape import LiveShape
from app.database import create_engine
from app.settings import Settings
from tests.support.adopted import Shape as Dump
from tests.support.adopted import main_app_database
from tests.support.databases import execute
from tests.support.kinds import ORGANIZATION


async def read(settings: Settings, shape: LiveShape) -> Catalogue:
    engine = create_engine(settings)
    async with engine.connect() as session:
        found = await shape.read(session)
    await engine.dispose()
    return found


def differences(found: Catalogue) -> list[bool]:
    return [found.has_auth_rows, found.links_need_organization, found.defers_credit]


async def test_a_database_of_our_own_needs_nothing(settings: Settings) -> None:
    assert differences(await read(settings, LiveShape())) == [False, False, False]


@pytest.mark.parametrize(
    ("dump", "expected"),
    [
        ("2026_08", [True, True, True]),
        ("2025_12", [True, False, False]),
    ],
)
async def test_the_main_apps_differs(settings: Settings, dump: Dump, expected: list[bool]) -> None:
    async with main_app_database(settings, dump) as found:
        assert differences(await read(found, LiveShape())) == expected


async def test_it_is_kept_until_it_is_asked_for_again(settings: Settings) -> None:
    async with main_app_database(settings) as found:
        shape = LiveShape()
        before = await read(found, shape)
        await execute(found, "alter table user_subject_xp drop column pending_xp")
        assert await read(found, shape) == before
        engine = create_engine(found)
        assert not shape.learn(await look(engine.connect)).defers_credit
        await engine.dispose()


async def test_an_organisation_is_needed_also_where_a_default_names_one(
    settings: Settings,
) -> None:
    """What is written is the setting, null if there is none: no default takes its place."""
    default = f"alter table lms_integrations alter organization_id set default '{ORGANIZATION}'"
    async with main_app_database(settings) as found:
        await execute(found, default)
        assert (await read(found, LiveShape())).links_need_organization
