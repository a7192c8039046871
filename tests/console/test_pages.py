"""What the pages say is what happened, with denominators, and what to do."""

import html
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import insert, select, text

from app.activity.find_causes import ERRORS
from app.console.render import in_words
from app.errors import AssignmentNotFoundError, ServiceError
from app.models import ActivityEvent, AuditEntry, Milestone
from app.submissions.going_live import RESTORE
from tests.console.conftest import Console
from tests.support.console import PAGES, at_console, words
from tests.support.hostile import HOSTILE

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def _text(page: httpx.Response) -> str:
    assert page.status_code == 200, page.text
    return words(page.text)


async def test_success_is_told_with_its_denominator(lived_in: Console) -> None:
    async with lived_in.sessions() as session, session.begin():
        counted = await session.execute(
            text(
                "select count(*) filter (where event_type like '%success') as good, count(*) as all"
                " from user_activity_events where event_type like 'spark_webhook_%'"
                " and created_at >= date_trunc('hour', now(), 'UTC') - interval '23 hours'"
            )
        )
        good, total = counted.one()
    page = _text(await lived_in.visitor.get("/console"))
    assert f"Submissions {100 * good / total:.1f} % {good} of {total} succeeded below 99 %" in page


@pytest.mark.parametrize("period", ["24h", "7d", "30d"])
async def test_a_longer_time_counts_more(lived_in: Console, period: str) -> None:
    """Hours that were counted already, and those that were not, are counted once each."""
    before = _text(await lived_in.visitor.get(f"/console?range={period}"))
    async with lived_in.sessions() as session, session.begin():
        await session.execute(
            text(
                "insert into spark.activity_hours (hour, event_type, events)"
                " select date_trunc('hour', created_at, 'UTC'), event_type, count(*)"
                " from user_activity_events"
                " where created_at < date_trunc('hour', now(), 'UTC') - interval '2 days'"
                " group by 1, 2 on conflict do nothing"
            )
        )
    after = _text(await lived_in.visitor.get(f"/console?range={period}"))
    figures = re.findall(r"[\d,]+ of [\d,]+ succeeded", before)
    assert len(figures) == 4
    assert re.findall(r"[\d,]+ of [\d,]+ succeeded", after) == figures


async def test_an_unknown_time_is_refused_with_a_page(lived_in: Console) -> None:
    page = await lived_in.visitor.get("/console?range=1y")
    assert page.status_code == 400
    assert "Invalid field" in page.text


async def test_a_cause_has_its_count_its_students_and_what_to_do(lived_in: Console) -> None:
    page = await lived_in.visitor.get("/console?range=7d")
    said = _text(page)
    assert "Assignment not found assignment_not_found" in said
    assert re.search(r"assignment_not_found \d+ 38 11 students", said)
    assert str(AssignmentNotFoundError.hint) in said
    assert "/console/deliveries?code=assignment_not_found&amp;from=" in page.text
    assert "Grade not taken by Spark spark_404" in said
    assert "/console/outbound?kind=grade&amp;state=dead" in page.text


async def test_what_could_not_be_kept_counts_as_failed(empty: Console) -> None:
    async with empty.sessions() as session, session.begin():
        data = {"times": 7, "error_message": "Database unavailable", "error_type": "unavailable"}
        event = {"event_type": "spark_failures_unwritten", "event_category": "lms"}
        of = {"session_id": "01a22c43-6c7e-712a-9a90-a3c3e3161629", "page_url": "/spark/sso"}
        await session.execute(insert(ActivityEvent).values(**event, **of, event_data=data))
    said = _text(await empty.visitor.get("/console"))
    assert "Sign-ins 0.0 % 0 of 7 succeeded below 95 %" in said
    assert "Database unavailable database_unavailable 7" in said


async def test_a_target_that_is_not_open_is_the_first_thing_said(lived_in: Console) -> None:
    said = _text(await lived_in.visitor.get("/console"))
    assert re.search(
        r"Spark.s API was paused \d+ min ago \( spark_503 \): 38 jobs wait, next try in", said
    )


async def test_an_alert_that_fires_says_what_to_do(lived_in: Console) -> None:
    page = await lived_in.visitor.get("/console")
    said = _text(page)
    assert re.search(
        r"A target has not been called for 18 minutes\. The alert target down \(> 10 minutes\)"
        r" began to fire \d+ min ago : 1 spark_503 \.",
        said,
    )
    assert "Do: Ask whoever runs it" in said
    assert "<code>python -m app jobs resume NAME</code>" in page.text
    rules = _text(await lived_in.visitor.get("/console/system"))
    assert "Jobs late No worker runs" in rules
    assert "> 10 minutes A target has not been called for 18 minutes." in rules
    assert re.search(
        r"Target refused .{60,200} ok > ?|Target refused .* ok any not yet never", rules
    )


async def test_the_system_page_shows_keys_and_acts_but_no_secret(lived_in: Console) -> None:
    page = await lived_in.visitor.get("/console/system")
    said = _text(page)
    assert "main app" in said
    assert "revoked" in said
    assert "Grace changed jobs" in said
    assert "reason spark_503" in said
    assert "Ada signed in console" in said
    assert "spark_0001" in said
    assert re.search(r"DATABASE_POOL_SIZE \d+ of \d+", said)
    assert re.search(r"spark\.deliveries messages from Spark .{0,80}30 days", said)
    assert not re.search(r"optio_[0-9a-f]{16}\.", page.text)


async def test_a_look_is_no_act(lived_in: Console) -> None:
    async with lived_in.sessions() as session, session.begin():
        rows = [
            {"caller": "main", "action": "sensitive_read", "detail": {"what": "only a look"}},
            {"caller": "user:1", "action": "sensitive_update", "detail": {"what": "a student"}},
        ]
        await session.execute(insert(AuditEntry), rows)
    said = _text(await lived_in.visitor.get("/console/system"))
    assert "only a look" not in said
    assert "a student" not in said.partition("What is kept")[0]


async def test_a_key_says_when_it_was_used_last(lived_in: Console) -> None:
    async with lived_in.sessions() as session, session.begin():
        asked = text("select count(*) from spark.service_keys where last_used_at is not null")
        assert (await session.execute(asked)).scalar_one() > 0


# ------------------------------------------------------------------------------- going live


def _seen(page: httpx.Response) -> int:
    found = re.search(r"(\d+) of 18 seen", _text(page))
    assert found
    return int(found[1])


async def test_what_was_seen_of_going_live_stays_seen(empty: Console) -> None:
    before = _seen(await empty.visitor.get("/console"))
    async with empty.sessions() as session, session.begin():
        event = {"event_type": "spark_sso_token_expired", "event_category": "lms"}
        of = {"session_id": "01a22c43-6c7e-712a-9a90-a3c3e3161629"}
        await session.execute(insert(ActivityEvent).values(**event, **of, event_data={}))
    page = await empty.visitor.get("/console")
    assert _seen(page) == before + 1
    assert "An expired launch was refused, a moment ago" in _text(page)
    async with empty.sessions() as session, session.begin():
        await session.execute(text("delete from user_activity_events"))
    assert _seen(await empty.visitor.get("/console")) == before + 1


async def test_a_restore_is_marked_by_a_person(empty: Console) -> None:
    async with at_console(empty.url, empty.sessions, ["read", "write"]) as helper:
        refused = await helper.post("/console/going-live", data={"step": RESTORE})
        assert refused.status_code == 403
        assert "lacks the scope <code>admin</code>" in refused.text
        assert "disabled" in (await helper.get("/console")).text
    other = await empty.visitor.post("/console/going-live", data={"step": "launch"})
    assert other.status_code == 404
    answer = await empty.visitor.post("/console/going-live", data={"step": RESTORE})
    assert answer.headers["location"] == "/console"
    page = _text(await empty.visitor.get("/console"))
    assert "Marked as done." in page
    assert "A restore was rehearsed, a moment ago" in page
    async with empty.sessions() as session, session.begin():
        marked = (await session.execute(select(Milestone.marked_by))).scalars().all()
        acts = select(AuditEntry.detail).where(AuditEntry.action == "sensitive_update")
        assert {"milestone": RESTORE} in (await session.execute(acts)).scalars().all()
    assert any(marked)


# ------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("page", PAGES)
async def test_a_hostile_text_is_only_a_text(hostile: Console, page: str) -> None:
    shown = (await hostile.visitor.get(PAGES[page])).text
    for name, word in HOSTILE.items():
        if any(sign in word for sign in "<\"'"):
            assert word not in shown, name
    assert "<script" not in shown
    assert str(7919 * 7907) not in shown  # which no count is, nor connections of the server
    if page != "explain":  # which shows what it is asked for
        assert html.escape(HOSTILE["a form"][:40]) in shown.replace("&#34;", "&quot;")


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(seconds=5), "a moment ago"),
        (timedelta(minutes=1), "1 min ago"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=40), "21 Oct 2026"),
        (-timedelta(minutes=18, seconds=1), "in 18 min"),
    ],
)
def test_times_are_said_as_people_say_them(distance: timedelta, words: str) -> None:
    assert in_words(NOW - distance, NOW) == words


def test_every_code_of_the_catalogue_has_its_error() -> None:
    def kinds(parent: type[ServiceError]) -> set[type[ServiceError]]:
        return {parent}.union(*map(kinds, parent.__subclasses__()))

    assert {kind.code for kind in kinds(ServiceError)} == set(ERRORS)
    assert ERRORS["forbidden"].title == "Forbidden"
