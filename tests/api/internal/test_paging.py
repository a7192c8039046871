"""The header `Link` leads through every list (RFC 8288)."""

from typing import Any

import httpx
import pytest

from app.database import Sessions
from tests.support.evidence import body_of, desk_of, tasks_of, text
from tests.support.spark import Assignment, SignedIn, Spark, submission

LISTS = (
    "deliveries?spark_user_id={spark_user_id}",
    "submissions?user_id={user_id}&received_to=2100-01-01",
    "completions?user_id={user_id}",
    "students/{user_id}/xp?",
    "events?after={after}&types=spark_webhook_success&types=spark_evidence_updated",
)


@pytest.fixture
async def homework(
    browser: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    """Of one student: two submissions of one task, and another task completed here."""
    for words in ("first", "second"):
        body_of(await spark.submit(submission(student, assignment, submission_text=words)))
    desk = desk_of(browser, student, (await tasks_of(sessions, student.user_id))[1])
    await desk.saved(text(), status="completed")


@pytest.fixture
async def after(browser: httpx.AsyncClient, main_app: dict[str, str]) -> str:
    """Behind all events that were there before."""
    answer = await browser.get("/internal/v1/events?from=now", headers=main_app)
    assert "link" not in answer.headers
    cursor: str = body_of(answer)["next_cursor"]
    return cursor


@pytest.mark.parametrize("path", LISTS, ids=[path.partition("?")[0] for path in LISTS])
async def test_link_leads_to_the_next_page_until_the_last(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    student: SignedIn,
    path: str,
    after: str,
    homework: None,
) -> None:
    path = f"/internal/v1/{path}".format(
        spark_user_id=student.spark_user_id, user_id=student.user_id, after=after
    )
    whole = await browser.get(f"{path}&limit=200", headers=main_app)
    assert "link" not in whole.headers
    items: list[Any] = []
    here = f"{path}&limit=1"
    while here:
        page = await browser.get(here, headers=main_app)
        items += body_of(page)["items"]
        assert ("next" in page.links) == (len(items) < len(body_of(whole)["items"]))
        here = page.links.get("next", {}).get("url", "")
    assert items == body_of(whole)["items"]
    assert len(items) > 1
