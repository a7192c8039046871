"""What evidence names is never removed from the bucket, whoever wrote it (ADOPTION #16).

On a database of our own and on an adopted one.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from app.database import create_engine
from app.files.find_named import PAGES_PER_STATEMENT
from app.files.reconcile import Report
from app.migrate import upgrade
from app.settings import Settings
from tests.support.adopted import main_app_database
from tests.support.compared import compare, new_key
from tests.support.stores import Stores, own_stores

SUPABASE = "https://db.example.test/storage/v1"
NAMED: dict[str, Callable[[str], dict[str, Any]]] = {
    "pointer": lambda key: {"url": f"evidence-files/{key}"},
    "canonical": lambda key: {"url": f"{SUPABASE}/object/public/quest-evidence/{key}"},
    "signed": lambda key: {"url": f"{SUPABASE}/object/sign/quest-evidence/{key}?token=ey.J.x"},
    "encoded": lambda key: {"url": f"{SUPABASE}/object/public/a%2F{key.replace('/', '%2F')}"},
    "bare": lambda key: {"url": key},
    "capitals": lambda key: {"url": key.upper()},
    "thumbnail": lambda key: {"url": "", "thumbnail_url": f"quest-evidence/{key}"},
    "poster": lambda key: {"poster_url": f"quest-evidence/{key}"},
    "src": lambda key: {"src": f"quest-evidence/{key}"},
    "item": lambda key: {"items": [{"text": "rain"}, {"url": f"quest-evidence/{key}"}]},
    "item's thumbnail": lambda key: {"items": [{"thumbnail_url": f"quest-evidence/{key}"}]},
    "prose": lambda key: {"text": f"See {SUPABASE}/object/public/quest-evidence/{key}."},
}
OWN_ROWS = """
    with pupil as (insert into users (id, role) values (gen_random_uuid(), 'student') returning id),
    quest as (insert into quests (title, quest_type) values ('Weather', 'course') returning id),
    enrolment as (insert into user_quests (user_id, quest_id)
        select pupil.id, quest.id from pupil, quest returning *),
    task as (insert into user_quest_tasks (user_id, quest_id, user_quest_id, title, pillar)
        select user_id, quest_id, id, 'Rain', 'stem' from enrolment returning *),
    done as (insert into quest_task_completions (user_id, quest_id, task_id)
        select user_id, quest_id, id from task)
    insert into user_task_evidence_documents (user_id, quest_id, task_id)
        select user_id, quest_id, id from task
"""


@pytest.fixture(scope="module", params=["own", "adopted"])
def kept(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Stores]:
    with own_stores(settings) as own:
        if request.param == "own":
            own.rows(OWN_ROWS)
            yield own
        else:
            with adopted(settings) as address:
                yield Stores(own.variables | {"DATABASE_URL": address})


@contextmanager
def adopted(settings: Settings) -> Iterator[str]:
    with asyncio.Runner() as loop:
        database = main_app_database(settings)
        found = loop.run(database.__aenter__())
        try:
            loop.run(adopt(found))
            assert found.database_url
            yield found.database_url.get_secret_value()
        finally:
            loop.run(database.__aexit__(None, None, None))


async def adopt(found: Settings) -> None:
    engine = create_engine(found)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade, "spark")
    await engine.dispose()


@pytest.fixture
def stores(kept: Stores) -> Iterator[Stores]:
    """Empty of objects and of what this file's tests named."""
    yield kept
    kept.empty_bucket()
    kept.rows("delete from evidence_document_blocks where order_index >= 100")
    kept.rows("update quest_task_completions set evidence_url = null")


@pytest.fixture
def service(settings: Settings, stores: Stores) -> Settings:
    return stores.given_to(settings)


def write_blocks(stores: Stores, *contents: dict[str, Any]) -> None:
    """As anybody writes them."""
    stores.rows(
        "insert into evidence_document_blocks (document_id, block_type, order_index, content)"  # noqa: S608 - of this file
        " select id, 'image', 99 + number, content from"
        f" jsonb_array_elements($${json.dumps(contents)}$$::jsonb)"
        " with ordinality as given (content, number),"
        " (select id from user_task_evidence_documents limit 1) document"
    )


def test_an_object_that_a_block_names_stays(service: Settings, stores: Stores) -> None:
    """In every form, and beside an orphan."""
    named, orphan = {new_key(): form for form in NAMED}, new_key()
    stores.put(*named, orphan, content=b"rain")
    write_blocks(stores, *(NAMED[form](key) for key, form in named.items()))
    found = Report(objects=len(NAMED) + 1, foreign=len(NAMED), orphans=1)
    assert compare(service) == (found, [("orphan", orphan)])
    assert compare(service, delete=True)[1] == [("orphan", orphan)]
    assert {named.get(key) for key in stores.object_keys()} == {*NAMED}


def test_an_object_that_a_completion_names_stays(service: Settings, stores: Stores) -> None:
    named = new_key()
    stores.put(named, new_key(), content=b"rain")
    stores.rows(
        "update quest_task_completions set"  # noqa: S608 - of this file
        f" evidence_url = '{SUPABASE}/object/public/evidence-files/{named}' where id ="
        " (select id from quest_task_completions limit 1)"
    )
    assert compare(service, delete=True)[0]["deleted"] == 1
    assert stores.object_keys() == {named}


def test_one_of_very_many_blocks_is_found(service: Settings, stores: Stores) -> None:
    """More than one statement reads."""
    named = [new_key() for _ in range(3)]
    stores.put(*named, new_key(), content=b"rain")
    blocks = [{"url": f"quest-evidence/{key}"} for key in named]
    write_blocks(stores, blocks[0], *[{"text": "rain"}] * 9000, *blocks[1:])
    (size,) = stores.rows("select pg_relation_size('evidence_document_blocks') / 8192 as pages")
    assert size["pages"] > PAGES_PER_STATEMENT
    assert compare(service, delete=True)[0]["deleted"] == 1
    assert stores.object_keys() == {*named}


def test_a_block_that_is_saved_meanwhile_keeps_its_object(
    service: Settings, stores: Stores
) -> None:
    first, second = sorted((new_key(), new_key()))
    stores.put(first, second, content=b"rain")
    save = partial(write_blocks, stores, {"url": f"quest-evidence/{second}"})
    report, findings = compare(service, delete=True, when_told=save)
    assert report == Report(objects=2, foreign=1, orphans=1, deleted=1)
    assert findings == [("orphan", first)]
    assert stores.object_keys() == {second}


def test_the_name_of_another_file_of_the_student_keeps_none(
    service: Settings, stores: Stores
) -> None:
    orphan = new_key()
    stores.put(orphan, content=b"rain")
    owner = orphan.partition("/")[0]
    write_blocks(stores, {"url": f"quest-evidence/{owner}/{uuid4()}.pdf"})
    assert compare(service, delete=True)[0] == Report(objects=1, orphans=1, deleted=1)
