"""What is stored already is not judged as new, and nothing else profits by it (F32; DESIGN R36)."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import insert, select

from app.database import Sessions
from app.models import EvidenceBlock
from app.settings import Settings
from tests.support import samples
from tests.support.bodies import Part
from tests.support.evidence import Desk, as_read, body_of, desk_of, tasks_of, text
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission

PICTURE = Part("f", samples.png(), filename="gauge.png")
FOREIGN = f"{uuid4()}/{uuid4()}.pdf"  # an object of somebody else


@pytest.fixture
async def desk(
    browser: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> Desk:
    """Open on a task for which a text and a picture were handed in."""
    handed_in = body_of(await spark.submit_form(submission(student, assignment), PICTURE))
    return desk_of(browser, student, handed_in["task_id"])


async def write_natively(
    desk: Desk, sessions: Sessions, content: dict[str, Any], *, kind: str = "link"
) -> dict[str, Any]:
    """A block as another program wrote it into the table; as it is read."""
    document_id = (await desk.read())["document"]["id"]
    async with sessions() as session, session.begin():
        await session.execute(
            insert(EvidenceBlock).values(
                document_id=UUID(document_id), block_type=kind, content=content, order_index=90
            )
        )
    block: dict[str, Any] = (await desk.read())["blocks"][-1]
    return block


async def stored(sessions: Sessions, block: dict[str, Any]) -> Any:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(EvidenceBlock.content).where(EvidenceBlock.id == UUID(block["id"]))
        )
        return found.scalar_one()


def links(settings: Settings) -> dict[str, dict[str, Any]]:
    pointer = f"{settings.s3_bucket}/{FOREIGN}"
    return {
        "F32-without-scheme": {"url": "www.example.org/page", "title": "A page"},
        "F32-path": {"url": "/media/x.png"},
        "F32-mail": {"url": "mailto:ada@example.org"},
        "F32-telephone": {"url": "tel:+431234"},
        "F32-script": {"url": "javascript:alert(1)"},
        "F32-data": {"url": "data:image/png;base64,AAAA"},
        "F32-broken": {"url": "http://[::1"},
        "F32-no-text": {"url": 7, "title": "odd"},
        "F32-inside": {"items": [{"url": "/a"}, {"url": "https://example.org/"}], "url": "//x"},
        "F32-foreign-file": {"url": pointer},
        "F32-foreign-link": {"url": f"{settings.s3_endpoint_url}/{pointer}"},
        "F32-large": {"url": "/a", "note": "n" * 70_000},
    }


ROWS = (
    *("F32-without-scheme", "F32-path", "F32-mail", "F32-telephone", "F32-script", "F32-data"),
    *("F32-broken", "F32-no-text", "F32-inside", "F32-foreign-file", "F32-foreign-link"),
    "F32-large",
)


@pytest.mark.parametrize("row", ROWS)
async def test_what_was_read_can_be_saved_beside_other_changes(
    desk: Desk, sessions: Sessions, settings: Settings, row: str
) -> None:
    content = links(settings)[row]
    native = await write_natively(desk, sessions, content)
    assert native["content"] == content
    read = await desk.read()
    blocks = [as_read(block) for block in read["blocks"]]
    await desk.saved(text("something new"), *blocks, version=read["document"]["version"])
    assert await stored(sessions, native) == content
    after = await desk.read()
    assert [block["content"] for block in after["blocks"]][-1] == content
    await desk.saved(
        *(as_read(block) for block in reversed(after["blocks"])),
        version=after["document"]["version"],
    )
    assert await stored(sessions, native) == content


async def test_links_to_files_of_ours_are_the_pointers_that_are_stored(
    desk: Desk, sessions: Sessions, settings: Settings
) -> None:
    pointer = (await stored(sessions, (await desk.read())["blocks"][1]))["url"]
    content = {"url": "/a", "file": {"url": pointer, "filename": "gauge.png"}}
    native = await write_natively(desk, sessions, content)
    assert native["content"]["file"]["url"].startswith("http")
    await desk.saved(*(as_read(block) for block in (await desk.read())["blocks"]))
    assert await stored(sessions, native) == content


LAUNDERED = (
    "R36-new-block",
    "R36-another-block",
    "R36-another-url",
    "R36-one-more-member",
    "R36-another-type",
    "R36-pointer-for-path",
    "R36-another-document",
    "R36-unknown-block",
    "R36-foreign-file-in-a-new-block-beside-it",
)


@pytest.mark.parametrize("row", LAUNDERED)
async def test_nothing_else_may_be_what_it_might_not_have_been(
    desk: Desk, browser: httpx.AsyncClient, student: SignedIn, sessions: Sessions,
    settings: Settings, row: str,
) -> None:  # fmt: skip
    content = {"url": "javascript:alert(1)"}
    native = await write_natively(desk, sessions, content)
    other = desk_of(browser, student, await _other_task(sessions, student, desk))
    [elsewhere] = (await other.saved(text("A pond that is not mine")))["blocks"]
    read = await desk.read()
    kept = [as_read(block) for block in read["blocks"]]
    first, last = kept[0], kept[-1]
    pointer = f"{settings.s3_bucket}/{FOREIGN}"
    tries: dict[str, list[dict[str, Any]]] = {
        "R36-new-block": [*kept, {"type": "link", "content": content}],
        "R36-another-block": [first | {"content": content}, *kept[1:]],
        "R36-another-url": [*kept[:-1], last | {"content": {"url": "javascript:alert(2)"}}],
        "R36-one-more-member": [*kept[:-1], last | {"content": content | {"title": "x"}}],
        "R36-another-type": [*kept[:-1], last | {"type": "document"}],
        "R36-pointer-for-path": [*kept[:-1], last | {"content": {"url": pointer}}],
        "R36-another-document": [*kept, last | {"id": elsewhere["id"]}],
        "R36-unknown-block": [*kept, last | {"id": str(uuid4())}],
        "R36-foreign-file-in-a-new-block-beside-it": [
            *kept,
            {"type": "link", "content": {"url": f"{settings.s3_endpoint_url}/{pointer}"}},
        ],
    }
    answer = await desk.save(*tries[row], version=read["document"]["version"])
    assert_problem(answer, 400, "field_invalid")
    assert (await desk.read())["blocks"] != []
    assert await stored(sessions, native) == content


@pytest.mark.parametrize("form", ["R36-pointer", "R36-link", "R36-link-with-signature"])
async def test_a_foreign_file_that_is_named_is_not_signed(
    desk: Desk, sessions: Sessions, settings: Settings, form: str
) -> None:
    pointer = f"{settings.s3_bucket}/{FOREIGN}"
    link = f"{settings.s3_endpoint_url}/{pointer}"
    native = await write_natively(
        desk, sessions, {"url": pointer if form == "R36-pointer" else link}
    )
    url = {"R36-pointer": pointer, "R36-link": link}.get(form, f"{link}?X-Amz-Signature=0")
    read = await desk.read()
    blocks = [as_read(block) for block in read["blocks"]]
    blocks[-1]["content"] = {"url": url}
    await desk.saved(*blocks, version=read["document"]["version"])
    assert "X-Amz-Signature" not in json.dumps((await desk.read())["blocks"][-1])
    assert await stored(sessions, native) == native["content"]


async def _other_task(sessions: Sessions, student: SignedIn, desk: Desk) -> str:
    return next(task for task in await tasks_of(sessions, student.user_id) if task != desk.task_id)
