"""Files that both applications can show: the main app's addresses in the database, and whose files
are signed (#16; DESIGN R19, R36).
"""

import json
import secrets
from collections.abc import AsyncIterator
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.files import order_pictures
from app.settings import Settings
from tests.support import samples
from tests.support.beside import Beside, serve_beside
from tests.support.bodies import Part
from tests.support.commands import run_on
from tests.support.evidence import Desk, as_read, body_of
from tests.support.heic import heic
from tests.support.people import (
    ANN,
    ANNS_DOCUMENT,
    ANNS_TASK,
    EVE,
    EVES_TASK,
    PAT,
)
from tests.support.problems import assert_problem
from tests.support.stored import open_s3
from tests.support.work import do_jobs

MAIN_APP = "https://db.example.test"  # as tests/adoption/20_rows.sql has it
PUBLIC = f"{MAIN_APP}/storage/v1/object/public"
MEMBERS = ("url", "thumbnail_url", "poster_url", "src")
PICTURE = Part("file", samples.png(), filename="gauge.png")
READABLE = f"read-{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    buckets = ("quest-evidence", "evidence-files", READABLE)
    async with serve_beside(
        settings, "optio_owner", supabase_url=MAIN_APP, s3_read_buckets=buckets
    ) as running:
        async with open_s3(running.main_app) as s3:
            await s3.create_bucket(Bucket=READABLE)
        yield running


@pytest.fixture
async def desk(beside: Beside) -> Desk:
    """Open on the document as 20_rows.sql has it."""
    await beside.rows(
        "delete from evidence_document_blocks where id in (select id from evidence_document_blocks"
        " where document_id = cast(:id as uuid) order by order_index offset 3)",
        id=ANNS_DOCUMENT,
    )
    return beside.desk(ANNS_TASK, ANN)


async def contents(beside: Beside, document_id: str = ANNS_DOCUMENT) -> list[Any]:
    """As they are stored."""
    found = await beside.rows(
        "select content from evidence_document_blocks where document_id = cast(:id as uuid)"
        " order by order_index",
        id=document_id,
    )
    return [row.content for row in found]


async def write_natively(beside: Beside, content: dict[str, Any], *, by: str = ANN) -> None:
    await beside.rows(
        "insert into evidence_document_blocks"
        " (document_id, block_type, content, order_index, uploaded_by_user_id)"
        " select cast(:document as uuid), 'link', cast(cast(:content as text) as jsonb),"
        " max(order_index) + 1, cast(:by as uuid) from evidence_document_blocks",
        document=ANNS_DOCUMENT,
        content=json.dumps(content),
        by=by,
    )


def signed(url: str, key: str) -> bool:
    return "X-Amz-Signature=" in url and urlsplit(url).path.endswith(f"/{key}")


async def test_16_what_the_main_app_stored_is_signed_and_comes_back_as_it_was(
    beside: Beside, desk: Desk
) -> None:
    before = await contents(beside)
    read = await desk.read()
    _, picture, parents = (block["content"] for block in read["blocks"][:3])
    assert signed(picture["items"][0]["url"], f"quest-evidence/evidence-blocks/{ANN}/b/1.jpg")
    assert signed(parents["url"], f"quest-evidence/parent-evidence/{PAT}/2.pdf")
    body_of(await desk.ask("PUT", desk.path, json=read))
    assert await contents(beside) == before


async def test_16_who_has_not_seen_the_document_takes_no_file_out_of_it(
    beside: Beside, desk: Desk
) -> None:
    before = await contents(beside)
    blocks = [as_read(block) for block in (await desk.read())["blocks"]]
    blocks[1]["content"] = {"items": []}
    assert_problem(await desk.save(*blocks), 409, "evidence_changed")
    assert await contents(beside) == before


async def test_16_what_the_predecessor_stored_is_signed(beside: Beside) -> None:
    eves = await beside.desk(EVES_TASK, EVE).read()
    assert signed(eves["blocks"][1]["content"]["url"], f"evidence-files/{EVE}/0a.pdf")


async def test_16_what_is_added_here_is_stored_as_the_main_app_names_it(
    beside: Beside, desk: Desk
) -> None:
    read = await desk.read()
    kept = [as_read(block) for block in read["blocks"]]
    saved = await desk.saved(*kept, {"type": "image", "content": {}}, version=read["version"])
    uploaded = body_of(await desk.upload(saved["blocks"][-1]["id"], PICTURE))
    url = (await contents(beside))[-1]["url"]
    assert url.startswith(f"{PUBLIC}/{beside.main_app.s3_bucket}/{ANN}/")
    for link in (uploaded["file_url"], (await desk.read())["blocks"][-1]["content"]["url"]):
        assert (await beside.spark.browser.get(link)).content == (PICTURE.content)
    body_of(await desk.ask("PUT", desk.path, json=await desk.read()))
    assert (await contents(beside))[-1]["url"] == url


@pytest.mark.parametrize(
    "form", ["object/public", "object/sign", "render/image/public", "as-ours", "ours-before"]
)
async def test_16_every_member_in_every_form_is_read(beside: Beside, desk: Desk, form: str) -> None:
    key = f"task-evidence/{ANN}/f0/{secrets.token_hex(4)} 1.jpg"
    path = f"{READABLE}/{key}"
    pointer = {
        "as-ours": f"{PUBLIC}/{path}",
        "ours-before": path,
        "object/sign": f"{MAIN_APP}/storage/v1/object/sign/{path}?token=x.y.z",
    }.get(form, f"{MAIN_APP}/storage/v1/{form}/{path.replace(' ', '%20')}")
    await write_natively(beside, {"items": [dict.fromkeys(MEMBERS, pointer)]})
    async with open_s3(beside.main_app) as s3:
        await s3.put_object(Bucket=READABLE, Key=key, Body=b"rain")
    read = await desk.read()
    [item] = read["blocks"][-1]["content"]["items"]
    for link in set(item.values()):
        download = await beside.spark.browser.get(link)
        assert download.content == b"rain"
    body_of(await desk.ask("PUT", desk.path, json=read))
    assert (await contents(beside))[-1] == {"items": [dict.fromkeys(MEMBERS, f"{PUBLIC}/{path}")]}


FOREIGN = {
    "R36-another-student": f"{PUBLIC}/quest-evidence/task-evidence/{EVE}/f0/1.jpg",
    "R36-a-parent": f"{PUBLIC}/quest-evidence/parent-evidence/{PAT}/secret.pdf",
    "R36-nobody": f"{PUBLIC}/quest-evidence/1.jpg",
    "R36-named-like-a-student": f"{PUBLIC}/quest-evidence/task-evidence/{ANN}",
    "R36-through-a-folder": f"{PUBLIC}/quest-evidence/{ANN}/../{EVE}/1.jpg",
    "R36-encoded": f"{PUBLIC}/quest-evidence/{ANN}/%2E%2E/{EVE}/1.jpg",
    "R36-another-bucket": f"{PUBLIC}/identity-documents/{ANN}/passport.pdf",
    "R36-another-host": f"https://db.example.org/storage/v1/object/public/quest-evidence/{ANN}/1",
    "R36-host-behind": f"https://evil.example/{PUBLIC}/quest-evidence/{ANN}/1.jpg",
}


@pytest.mark.parametrize("row", FOREIGN)
async def test_what_is_not_the_students_is_not_signed(beside: Beside, desk: Desk, row: str) -> None:
    content = {"items": [dict.fromkeys(MEMBERS, FOREIGN[row])]}
    await write_natively(beside, content)
    read = await desk.read()
    assert read["blocks"][-1]["content"] == content
    body_of(await desk.ask("PUT", desk.path, json=read))
    assert "X-Amz-" not in json.dumps((await desk.read())["blocks"][-1])


@pytest.mark.parametrize("row", [*FOREIGN][:5])
async def test_a_save_brings_in_no_file_that_was_not_there(
    beside: Beside, desk: Desk, row: str
) -> None:
    """Not into a new block, nor into the parent's, whose other files are signed in it."""
    address = FOREIGN[row]
    path = address.removeprefix(f"{PUBLIC}/")
    link = f"{beside.main_app.s3_endpoint_url}/{path}?X-Amz-Signature=0"
    read = await desk.read()
    kept = [as_read(block) for block in read["blocks"]]
    for url, member in product((address, path, link), ("url", "src")):
        new = {"type": "link", "content": {"items": [{member: url}]}}
        parents = kept[2] | {"content": kept[2]["content"] | {member: url}}
        for blocks in ([*kept, new], [*kept[:2], parents]):
            answer = await desk.save(*blocks, version=read["version"])
            assert_problem(answer, 400, "field_invalid")
    assert await desk.read() == read


async def test_doctor_tells_that_the_main_app_cannot_show_our_files(
    settings: Settings, beside: Beside
) -> None:
    told = await run_on(beside.main_app)("doctor")
    bucket = beside.main_app.s3_bucket
    assert f"adapt    SUPABASE_URL: files are named by its addresses, in the bucket {bucket}" in (
        told.stdout
    )
    nameless = beside.main_app.model_copy(update={"supabase_url": None})
    told = await run_on(nameless)("doctor")
    assert "data     SUPABASE_URL: is not set: the main app cannot show the files" in told.stdout
    assert "SUPABASE_URL" not in (await run_on(settings)("doctor")).stdout


async def test_beside_no_main_app_only_url_names_a_file(settings: Settings, beside: Beside) -> None:
    async with serve_beside(settings, "optio_owner") as own:
        before = await contents(own)
        read = await own.desk(ANNS_TASK, ANN).read()
        assert [block["content"] for block in read["blocks"]] == before
        pointer = f"{settings.s3_bucket}/{ANN}/{secrets.token_hex(4)}.jpg"
        await write_natively(own, {"src": pointer, "file": {"url": pointer}})
        content = (await own.desk(ANNS_TASK, ANN).read())["blocks"][-1]["content"]
        assert content["src"] == pointer
        assert signed(content["file"]["url"], pointer)


async def test_a_heic_picture_becomes_jpeg_by_the_main_apps_addresses(
    beside: Beside, desk: Desk
) -> None:
    """In a block of ours, and in one where the main app shows the same picture."""
    blocks = (await desk.read())["blocks"]
    saved = await desk.saved(*map(as_read, blocks), {"type": "image", "content": {"alt": "mine"}})
    block_id = saved["blocks"][-1]["id"]
    body_of(await desk.upload(block_id, Part("file", heic(), filename="gauge.heic")))
    url = (await contents(beside))[-1]["url"]
    item = {"url": f"{url.replace('/public/', '/sign/')}?token=a.b.c", "caption": "Rain"}
    await write_natively(beside, {"items": [item], "thumbnail_url": url})
    await do_jobs(beside.resources, order_pictures.PICTURE)
    ours, theirs = (await contents(beside))[-2:]
    assert ours["url"].startswith(f"{PUBLIC}/{beside.main_app.s3_bucket}/{ANN}/")
    assert ours["url"].endswith(".jpg")
    assert (ours["filename"], ours["alt"]) == ("gauge.jpg", "mine")
    assert theirs["thumbnail_url"] == ours["url"]
    assert theirs["items"][0]["caption"] == "Rain"
    assert {name: theirs["items"][0][name] for name in ("url", "content_type")} == {
        "url": ours["url"],
        "content_type": "image/jpeg",
    }
