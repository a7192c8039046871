"""What operators can see: metrics, and events of failures that name nobody."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select

from app import __version__
from app.database import Sessions
from app.models import ActivityEvent
from app.settings import Settings
from tests.support.bodies import Part
from tests.support.elsewhere import run_elsewhere
from tests.support.metrics import scrape
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.samples import pdf
from tests.support.spark import Assignment, SignedIn, Spark, submission


async def test_metrics_ask_for_a_service_key(browser: httpx.AsyncClient) -> None:
    assert_problem(await browser.get("/metrics"), 401, "unauthorized")


async def test_the_targets_are_bounds_of_the_buckets_row_7(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    await browser.get("/healthz")
    found = await scrape(browser, main_app)
    for target in ("0.2", "0.5", "2.0"):
        labels = f'kind="other",le="{target}",outcome="ok",route="/healthz"'
        assert f"spark_request_seconds_bucket{{{labels}}}" in found


async def test_a_webhook_is_timed_by_kind_and_outcome_row_7(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    """A form takes as long as its sender sends, and a refusal is quick: neither is the others'."""
    work = submission(student, assignment, spark_user_id=uuid4().hex)

    async def counts() -> list[float]:
        found = await scrape(browser, main_app)
        return [
            found.get(
                f'spark_request_seconds_count{{kind="{kind}",outcome="{outcome}",'
                'route="/spark/webhook/submission"}',
                0,
            )
            for kind, outcome in (("json", "refused"), ("form", "refused"), ("other", "refused"))
        ]

    before = await counts()
    await spark.submit(work)
    await spark.submit_form(work, Part("file", pdf(), filename="a.pdf"))
    await browser.post("/spark/webhook/submission", headers={"Content-Type": uuid4().hex})
    assert await counts() == [count + 1 for count in before]


async def test_submissions_count_by_what_became_of_them_row_7(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    async def counts() -> list[float]:
        found = await scrape(browser, main_app)
        return [
            found[f'spark_submissions_total{{outcome="{outcome}"}}']
            for outcome in ("created", "revised", "duplicate")
        ]

    before = await counts()
    first, second = (submission(student, assignment, submission_text=text) for text in "ab")
    for work in (first, second, second, second):
        assert (await spark.submit(work)).status_code == 200
    assert [after - start for start, after in zip(before, await counts(), strict=True)] == [1, 1, 2]


async def test_what_runs_is_named_row_7(settings: Settings, main_app: dict[str, str]) -> None:
    async with run_elsewhere(settings, render_git_commit="4c0ffee") as elsewhere:
        found = await scrape(elsewhere.spark.browser, main_app)
    assert found[f'spark_build_info{{commit="4c0ffee",version="{__version__}"}}'] == 1


async def test_requests_count_by_route_template_and_status(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    path = "/internal/v1/completions/018f0000-0000-7000-8000-00000000dead"
    name = (
        'spark_requests_total{method="GET",'
        'route="/internal/v1/completions/{completion_id}",status="404"}'
    )
    before = (await scrape(browser, main_app)).get(name, 0)
    await browser.get(path, headers=main_app)
    after = await scrape(browser, main_app)
    assert after[name] == before + 1
    assert not any("00000000dead" in line for line in after)


async def test_recorded_bytes_count_once(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    before = await scrape(browser, main_app)
    payload, file = submission(student, assignment), Part("file", pdf(), filename="a.pdf")
    for _ in range(2):
        assert (await spark.submit_form(payload, file)).status_code == 200
    after = await scrape(browser, main_app)
    name = "spark_upload_bytes_total"
    assert after[name] == before[name] + len(pdf())
    assert after["spark_uploads_running"] == 0


@pytest.mark.parametrize(
    ("path", "event_type", "error_type"),
    [
        ("/spark/sso", "spark_sso_failed", "missing_token"),
        ("/spark/sso?token=x.y.z", "spark_sso_invalid_token", "invalid_signature"),
    ],
)
async def test_a_failed_sign_in_leaves_an_event_that_names_nobody(
    browser: httpx.AsyncClient,
    sessions: Sessions,
    path: str,
    event_type: str,
    error_type: str,
) -> None:
    answer = await browser.get(path)
    assert answer.status_code in (400, 401)
    async with asyncio.timeout(patient(10)):
        while (None, error_type) not in await _events(sessions, event_type):
            pass  # the queue is written behind the answer


async def _events(sessions: Sessions, event_type: str) -> set[tuple[object, str | None]]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.user_id, ActivityEvent.event_data).where(
                ActivityEvent.event_type == event_type
            )
        )
        return {(user_id, (data or {}).get("error_type")) for user_id, data in found}


async def test_a_reused_code_leaves_an_event_of_its_owner(spark: Spark, sessions: Sessions) -> None:
    code = await spark.launch_code()
    owner = (await spark.exchange(code)).json()["user_id"]
    await spark.exchange(code)
    events = {
        (str(user_id), kind) for user_id, kind in await _events(sessions, "spark_token_code_reuse")
    }
    assert (owner, "code_reuse") in events
