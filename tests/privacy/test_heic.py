"""A HEIC picture and its JPEG go together wherever a child's files go (DESIGN R29)."""

import asyncio
import hashlib
import io
import zipfile

import pytest

from app.files.order_pictures import PICTURE
from app.worker import sweep
from tests.support.bodies import Part
from tests.support.commands import run_on
from tests.support.evidence import body_of
from tests.support.families import STUDENTS, Child, Family
from tests.support.heic import heic
from tests.support.moves import moved, older_account, shown_files
from tests.support.spark import submission
from tests.support.work import do_jobs

PHOTO = Part("photo", heic(), filename="gauge.heic")
JPEG = b"\xff\xd8\xff"


async def convert(family: Family) -> None:
    await do_jobs(family.resources, PICTURE)


async def hand_in(family: Family) -> Child:
    child = await family.raise_child()
    payload = submission(child.student, family.course.assignment)
    body_of(await family.spark.submit_form(payload, PHOTO))
    return child


async def keys_of(family: Family, user_id: str) -> list[str]:
    keys = await asyncio.to_thread(family.stores.object_keys)
    return sorted(key for key in keys if key.startswith(user_id))


async def test_both_are_exported(family: Family) -> None:
    child = await hand_in(family)
    await convert(family)
    path = f"{STUDENTS}/{child.user_id}/export"
    answer = await family.client.get(path, headers=family.main_app)
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    files = {name: archive.read(name) for name in archive.namelist() if "gauge" in name}
    assert [content[:3] for name, content in files.items() if name.endswith(".jpg")] == [JPEG]
    assert len(files) == 2
    sums = archive.read("SHA256SUMS").decode()
    assert all(f"{hashlib.sha256(files[name]).hexdigest()}  {name}" in sums for name in files)


@pytest.mark.parametrize("state", ["converted", "waiting"])
async def test_both_are_erased(family: Family, state: str) -> None:
    child = await hand_in(family)
    if state == "converted":
        await convert(family)
    assert (await family.erased(child))["counts"]["files"] == len(child.files) + 1 + (
        state == "converted"
    )
    await convert(family)
    assert await keys_of(family, child.user_id) == []
    rows = f"SELECT id FROM spark.uploads WHERE user_id = '{child.user_id}'"  # noqa: S608 - an id
    assert await family.stores.execute(rows) == []


async def test_neither_is_a_finding_or_swept(family: Family) -> None:
    child = await hand_in(family)
    await convert(family)
    before = await keys_of(family, child.user_id)
    await sweep(family.resources)
    told = await run_on(family.settings)("reconcile", "--delete")
    rows = f"SELECT id FROM spark.uploads WHERE user_id = '{child.user_id}'"  # noqa: S608 - an id
    ids = [str(row["id"]) for row in await family.stores.execute(rows)]
    assert "rows without an object" in told.stdout
    assert [name for name in (*before, *ids) if name in told.stdout] == []
    assert len(before) == len(ids) == len(child.files) + 2
    assert await keys_of(family, child.user_id) == before


@pytest.mark.parametrize("state", ["converted", "waiting"])
async def test_both_move_to_the_childs_other_account(family: Family, state: str) -> None:
    child, older = await hand_in(family), await older_account(family)
    if state == "converted":
        await convert(family)
    await moved(family, child, older)
    await convert(family)
    await sweep(family.resources)
    assert await keys_of(family, child.user_id) == []
    [picture] = [each for each in await shown_files(family, older.user_id) if each[:3] == JPEG]
    assert picture
    rows = await family.stores.execute(
        "SELECT u.picture, jpeg.object_key FROM spark.uploads u"  # noqa: S608 - an id
        " JOIN spark.uploads jpeg ON jpeg.derived_from = u.id"
        f" WHERE u.user_id = '{older.user_id}' AND jpeg.user_id = u.user_id"
    )
    assert [row["picture"] for row in rows] == ["jpeg"]
    assert rows[0]["object_key"] in await keys_of(family, older.user_id)
