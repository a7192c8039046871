"""Each rule fires by what happens to a service, and tells counts and codes of it."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert

from app.alerts.rules import RULES
from app.files.scan_file import Scanner
from app.models import ActivityEvent, SubmissionRevision
from app.privacy.expire_submissions import expire_submissions
from tests.alerts.conftest import Telling
from tests.conftest import create_assignment
from tests.support.bodies import Part
from tests.support.canaries import CANARIES
from tests.support.elsewhere import change_intake
from tests.support.heic import heic
from tests.support.patience import patient
from tests.support.samples import mp4, png
from tests.support.spark import encoded, submission

Cause = Callable[[Telling], Awaitable[None]]


async def sign_ins(telling: Telling, times: int = 5) -> None:
    for _ in range(times):
        await telling.elsewhere.spark.launch(token_hex(20))


async def signatures(telling: Telling, wrong: int = 4, missing: int = 6) -> None:
    spark = telling.elsewhere.spark
    raw = encoded(submission(await spark.sign_in(), await create_assignment(telling.sessions)))
    for headers in [{"X-Spark-Signature": "0" * 64}] * wrong + [{}] * missing:
        assert (await spark.post(raw, headers)).status_code == 401


async def downloads(telling: Telling, gone: int = 10) -> None:
    spark, fake = telling.elsewhere.spark, telling.fake
    student, assignment = await spark.sign_in(), await create_assignment(telling.sessions)
    files = [{"url": f"{fake.files_url}/files/{token_hex(8)}.txt"} for _ in range(gone)]
    answer = await spark.submit(submission(student, assignment, submission_files=files))
    assert answer.status_code == 200, answer.text
    assert await telling.work_off("download") == gone


async def submissions(telling: Telling, taken: int = 1, failed: int = 20) -> None:
    """An outage of the store is walked in test_outage.py."""
    spark = telling.elsewhere.spark
    for _ in range(taken):
        student = await spark.sign_in()
        await spark.submit(submission(student, await create_assignment(telling.sessions)))
    path = "/spark/webhook/submission"
    row = {"event_type": "spark_webhook_failed", "event_category": "lms", "page_url": path}
    rows = [{**row, "session_id": uuid4(), "event_data": {"error_type": "unavailable"}}] * failed
    rows = [{**each, "id": uuid4()} for each in rows]
    async with telling.sessions() as session, session.begin():
        if rows:
            await session.execute(insert(ActivityEvent).values(rows))


async def target_down(telling: Telling) -> None:
    await telling.give(5)
    await telling.fake.script("/grades", *[{"status": 503}] * 5)
    await telling.work_off("grade")


async def target_refused(telling: Telling) -> None:
    await telling.fake.change(api_key=token_hex(20))
    await telling.give()
    await telling.work_off("grade")


async def dead_jobs(telling: Telling) -> None:
    await telling.give()
    await telling.fake.script("/grades", {"status": 404})
    await telling.work_off("grade")


async def jobs_late(telling: Telling) -> None:
    await telling.give()


async def a_heic_picture(telling: Telling) -> None:
    spark = telling.elsewhere.spark
    payload = submission(await spark.sign_in(), await create_assignment(telling.sessions))
    photo = Part("f", heic(), filename="rain.heic")
    assert (await spark.submit_form(payload, photo)).status_code == 200
    await telling.work_off("grade")


async def expiring(telling: Telling) -> None:
    """Of this moment, by what may be the shortest time."""
    async with telling.sessions() as session, session.begin():
        await session.execute(delete(SubmissionRevision))
    await submissions(telling, taken=1, failed=0)
    settings = telling.settings.model_copy(update={"submission_retention_days": 30})
    await expire_submissions(telling.sessions, settings, now=datetime.now(tz=UTC))


async def unread(telling: Telling) -> None:
    spark = telling.elsewhere.spark
    payload = submission(await spark.sign_in(), await create_assignment(telling.sessions))
    cut = Part("f", mp4(), filename="rain.mp4")
    whole = Part("f", png(), filename="rain.png")
    assert (await spark.submit_form(payload, cut, whole)).status_code == 200


async def unscanned(telling: Telling) -> None:
    nowhere = Scanner("tcp://127.0.0.1:1", required=False)
    change_intake(telling.elsewhere.running, scanner=nowhere)
    await unread(telling)
    change_intake(telling.elsewhere.running, scanner=None)


CAUSES: dict[str, tuple[Cause, float, float, dict[str, int]]] = {
    "sign_in_failures": (sign_ins, 0, 5, {"invalid_signature": 5}),
    "signature_failures": (signatures, 0, 10, {"invalid_signature": 4, "missing_signature": 6}),
    "download_failures": (downloads, 0, 100, {"status_404": 10}),
    "submission_success": (submissions, 0, 100 / 21, {"unavailable": 20}),
    "target_down": (target_down, 11, 11, {"spark_503": 1}),
    "target_refused": (target_refused, 0, 1, {"spark_401": 1}),
    "dead_jobs": (dead_jobs, 0, 1, {"grade": 1}),
    "jobs_late": (jobs_late, 16, 16, {"grade": 1}),
    "submissions_expire": (expiring, 0, 1, {"submissions": 1}),
    "location_unknown": (unread, 0, 1, {"video/mp4": 1}),
    "files_unscanned": (unscanned, 0, 2, {"unscanned": 2}),
}


def test_every_rule_is_tried() -> None:
    assert list(CAUSES) == [rule.name for rule in RULES]


@pytest.mark.parametrize("name", CAUSES)
async def test_a_rule_fires_and_says_counts_and_codes(telling: Telling, name: str) -> None:
    cause, minutes, value, codes = CAUSES[name]
    await cause(telling)
    await telling.evaluate(minutes=minutes)
    fired = (await telling.firing())[name]
    assert (fired["value"], fired["codes"]) == (pytest.approx(value, abs=patient(0.1)), codes)
    [told] = [each for each in await telling.told() if each["alert"]["name"] == name]
    alert = told["alert"]
    assert alert.pop("value") == pytest.approx(value, abs=patient(0.1))
    assert alert == {
        "name": name,
        "state": "firing",
        "threshold": fired["threshold"],
        "since": alert["since"],
        "environment": "development",
        "url": "https://spark.optio.example/console",
    }
    assert told["text"].startswith(f"[Spark, development] {name} fires.\n")
    for code, times in codes.items():
        assert f"{code} {times}" in told["text"]
    for line in (fired["means"], f"Look: {fired['look']}", f"Do: {fired['do']}"):
        assert line in told["text"].splitlines()


async def slowly(telling: Telling) -> None:
    await telling.fail_sign_ins(4, seconds=90)
    await telling.fail_sign_ins(4, seconds=5)


JUST_NOT: dict[str, tuple[Cause, float]] = {
    "sign_in_failures": (lambda telling: sign_ins(telling, 4), 0),
    "sign_in_failures, over two minutes": (slowly, 0),
    "signature_failures": (lambda telling: signatures(telling, 9, 0), 0),
    "download_failures, too few": (lambda telling: downloads(telling, 9), 0),
    "submission_success, too few": (lambda telling: submissions(telling, 0, 19), 0),
    "target_down": (target_down, 9),
    "jobs_late": (jobs_late, 14),
    "jobs_late, of a target that is not called": (target_down, 9),
    "jobs_late, of a picture that nobody converts": (a_heic_picture, 60),
    "location_unknown, an hour ago": (unread, 61),
    "files_unscanned, an hour ago": (unscanned, 61),
    "files_unscanned, without a scanner": (unread, 0),
}


@pytest.mark.parametrize("name", JUST_NOT)
async def test_what_is_less_does_not_fire(telling: Telling, name: str) -> None:
    cause, minutes = JUST_NOT[name]
    await cause(telling)
    await telling.evaluate(minutes=minutes)
    rule, _, _ = name.partition(",")
    assert rule not in await telling.firing()
    assert rule not in [each["alert"]["name"] for each in await telling.told()]


async def test_what_is_the_senders_own_fault_is_no_failure(telling: Telling) -> None:
    spark = telling.elsewhere.spark
    student = await spark.sign_in()
    for _ in range(20):
        unknown = await spark.submit(
            submission(
                student, await create_assignment(telling.sessions), spark_assignment_id=uuid4().hex
            )
        )
        assert unknown.status_code == 400
    await telling.evaluate()
    assert await telling.firing() == {}


async def test_what_could_only_be_counted_counts(telling: Telling) -> None:
    data = {"error_type": "unavailable", "times": 30}
    row = {"event_type": "spark_failures_unwritten", "event_category": "lms", "event_data": data}
    of = {"page_url": "/spark/webhook/submission", "session_id": uuid4()}
    async with telling.sessions() as session, session.begin():
        await session.execute(insert(ActivityEvent).values(**row, **of))
    await telling.evaluate()
    assert (await telling.firing())["submission_success"]["codes"] == {"unavailable": 30}


async def test_nothing_of_a_child_is_told(telling: Telling) -> None:
    for cause, *_ in CAUSES.values():
        await cause(telling)
        await telling.evaluate(minutes=16)
    await telling.evaluate()
    told: list[dict[str, Any]] = await telling.told()
    assert len({each["alert"]["name"] for each in told}) > 5
    text = json.dumps(told)
    assert CANARIES.found_in(text) == []
    for secret in ("@", "127.0.0.1", "localhost"):
        assert secret not in text
