"""Editors and Spark at once (FAULTS P276): nothing that was acknowledged is lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from app.database import Sessions
from tests.support import samples
from tests.support.bodies import Part
from tests.support.evidence import Desk, as_read, body_of, desk_of, tasks_of, text, texts
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import total_xp

PICTURE = Part("file", samples.png(), filename="gauge.png")
SAVERS = ("one", "two", "spark")

Act = Callable[[], Coroutine[Any, Any, httpx.Response]]


@pytest.fixture
async def desk(
    browser: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> Desk:
    """Open on a task with a text of Spark's and one of the student's."""
    payload = submission(student, assignment, submission_text="first")
    handed_in = body_of(await spark.submit(payload))
    desk = desk_of(browser, student, handed_in["task_id"])
    [words] = (await desk.read())["blocks"]
    await desk.saved(as_read(words), text("mine"))
    return desk


@pytest.fixture
def resubmit(spark: Spark, student: SignedIn, assignment: Assignment) -> Act:
    async def act() -> httpx.Response:
        return await spark.submit(submission(student, assignment, submission_text="again"))

    return act


@pytest.mark.parametrize("order", [SAVERS, SAVERS[::-1]], ids="-".join)
@pytest.mark.parametrize("with_version", [True, False], ids=["P276-version", "P276-merge"])
async def test_two_editors_and_a_resubmission_at_once_lose_no_block(
    desk: Desk, resubmit: Act, order: tuple[str, ...], *, with_version: bool
) -> None:
    before = await desk.read()
    version = {"updated_at": before["document"]["updated_at"]} if with_version else {}
    kept = [as_read(block) for block in before["blocks"]]
    acts: dict[str, Act] = {
        "one": lambda: desk.save(*kept, text("of one"), **version),
        "two": lambda: desk.save(text("of two"), *kept, **version),
        "spark": resubmit,
    }
    answers = dict(zip(order, await asyncio.gather(*(acts[who]() for who in order)), strict=True))
    assert answers.pop("spark").status_code == 200
    assert {answer.status_code for answer in answers.values()} <= {200, 409}
    after = await desk.read()
    acknowledged = [who for who, answer in answers.items() if answer.status_code == 200]
    assert sorted(texts(after)) == sorted(["again", "mine", *(f"of {who}" for who in acknowledged)])
    assert [block["order_index"] for block in after["blocks"]] == list(range(len(after["blocks"])))
    if with_version:
        assert len(acknowledged) <= 1


async def test_an_edit_of_sparks_block_and_a_resubmission_at_once_keep_both_or_say_so(
    desk: Desk, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    for round_ in range(4):
        before = await desk.read()
        again = submission(student, assignment, submission_text=f"again {round_}")
        edited = f"edited {round_}"
        blocks = [
            as_read(block, content={"text": edited})
            if block["provenance"]["written_by"] == "spark"
            else as_read(block)
            for block in before["blocks"]
        ]
        saved, resubmitted = await asyncio.gather(
            desk.save(*blocks, updated_at=before["document"]["updated_at"]), spark.submit(again)
        )
        assert resubmitted.status_code == 200
        after = texts(await desk.read())
        assert f"again {round_}" in after
        assert (edited in after) is (saved.status_code == 200)


async def test_first_saves_at_once_make_one_document(
    browser: httpx.AsyncClient, desk: Desk, student: SignedIn, sessions: Sessions
) -> None:
    fresh = desk_of(browser, student, (await tasks_of(sessions, student.user_id))[1])
    answers = await asyncio.gather(*(fresh.save(text(str(number))) for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    [words] = texts(await fresh.read())
    assert answers[int(words)].status_code == 200


async def test_completing_at_once_pays_once(
    browser: httpx.AsyncClient, desk: Desk, student: SignedIn, sessions: Sessions
) -> None:
    fresh = desk_of(browser, student, (await tasks_of(sessions, student.user_id))[1])
    await fresh.saved(text())
    answers = await asyncio.gather(*(fresh.complete() for _ in range(6)))
    assert sorted(body_of(answer)["xp_awarded"] for answer in answers) == [0, 0, 0, 0, 0, 150]
    assert await total_xp(sessions, student.user_id) == 100 + 150


async def test_uploads_and_saves_at_once_keep_every_file_that_was_acknowledged(
    desk: Desk,
) -> None:
    for block in ("one", "two", "three"):
        before = await desk.read()
        await desk.saved(
            *map(as_read, before["blocks"]), {"type": "image", "content": {"alt": block}}
        )
    before = await desk.read()
    pictures = [block for block in before["blocks"] if block["block_type"] == "image"]
    answers = await asyncio.gather(
        *(desk.upload(block["id"], PICTURE) for block in pictures),
        *(
            desk.save(*map(as_read, before["blocks"]), updated_at=before["document"]["updated_at"])
            for _ in range(3)
        ),
    )
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert {answer.status_code for answer in answers[3:]} <= {200, 409}
    for block in (await desk.read())["blocks"]:
        if block["block_type"] == "image":
            assert (await desk.browser.get(block["content"]["url"])).content == PICTURE.content
