"""The status report's checklist, played once from Spark's side: each step is seen as it happens."""

import json
import secrets
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert
from typer.testing import Result

from app.database import Sessions
from app.models import ActivityEvent
from app.settings import Settings
from app.submissions.going_live import RESTORE, look_at_steps, mark_step
from tests.conftest import create_assignment
from tests.support import samples
from tests.support.bodies import Part
from tests.support.canaries import CANARIES
from tests.support.commands import run_on
from tests.support.databases import look_into, ready_database
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.spark import SUBMISSION, encoded, submission

FILES = {"images": "a.png", "videos": "b.mp4", "documents": "c.pdf"}


async def _doctor(settings: Settings, *words: str) -> Result:
    return await run_on(settings)("doctor", "--ready", *words)


async def test_each_step_is_seen_when_it_happens(settings: Settings) -> None:
    new = SecretStr(secrets.token_hex(32))
    CANARIES.release(new.get_secret_value())
    async with ready_database(settings) as own, look_into(own) as sessions:
        rotating = {"spark_webhook_secret": new}
        previous = {"spark_webhook_secret_previous": own.spark_webhook_secret}
        async with run_elsewhere(own, **rotating, **previous) as service:
            seen = await _play(service, own, sessions, new)
        await _deliver_a_grade(sessions)
        assert await _new(own, sessions, seen) == {"grade"}
        done = await _doctor(own)
        assert done.exit_code == 1
        assert done.stdout.count("\nok ") + done.stdout.startswith("ok ") == 17
        assert "open     restore: A restore was rehearsed" in done.stdout
        await mark_step(sessions, RESTORE, caller="test")
        done = await _doctor(own, "--json")
        assert (done.exit_code, {each["mark"] for each in json.loads(done.stdout)}) == (0, {"ok"})


async def _play(
    service: Elsewhere, settings: Settings, sessions: Sessions, new: SecretStr
) -> set[str]:
    """Everything that can be done from Spark's side. Gives what was seen."""
    spark, seen = service.spark, set[str]()

    async def expect(*names: str) -> None:
        found = await _new(settings, sessions, seen)
        assert found == set(names)
        seen.update(found)

    token = spark.launch_token()
    code = await spark.launch_code(token)
    await expect("launch")
    assert (await spark.exchange(code)).status_code == 200
    await expect("code")
    await spark.launch(token)
    await spark.launch(spark.launch_token(iat=1_700_000_000, exp=1_700_000_600))
    await service.running.app.state.resources.failure_events.settle()
    await expect("launch_reused", "launch_expired")
    student, assignment = await spark.sign_in(), await create_assignment(sessions)
    work = submission(student, assignment, submission_text="It rained.")
    assert (await spark.submit(work)).status_code == 200
    await expect("json", "v0", "secret_old")
    assert (await spark.submit(work)).status_code == 200
    await expect("duplicate")
    assert (await spark.submit(work | {"submission_text": "It rained a lot."})).status_code == 200
    await expect("resubmission")
    parts = [
        Part(f"f{place}", content, filename=name)
        for place, (name, content) in enumerate(
            zip(FILES.values(), (samples.png(), samples.mp4(), samples.pdf()), strict=True)
        )
    ]
    shown = work | {"submission_text": "Here it is."}
    assert (await spark.submit_form(shown, *parts)).status_code == 200
    await expect("form", *(f"file_{family}" for family in FILES))
    stranger = spark.claims()
    early = work | {"spark_user_id": stranger["sub"]}
    assert (await spark.submit(early)).status_code == 404
    await spark.sign_in(**{name: stranger[name] for name in ("sub", "email")})
    assert (await spark.submit(early | {"submission_text": "It rained, again."})).status_code == 200
    await expect("retry")
    renewed = replace(spark, webhook_secret=new)
    raw = encoded(work | {"submission_text": "It stopped."})
    answer = await service.spark.browser.post(
        SUBMISSION,
        content=raw,
        headers={"Content-Type": "application/json"} | renewed.sign_v1(raw),
    )
    assert answer.status_code == 200, answer.text
    await expect("secret_new", "v1")
    return seen


async def _new(settings: Settings, sessions: Sessions, seen: set[str]) -> set[str]:
    steps = await look_at_steps(sessions, settings)
    return {step.name for step in steps if step.seen_at} - seen


async def _deliver_a_grade(sessions: Sessions) -> None:
    """As tests/grades sees it come about."""
    event: dict[str, Any] = {"event_type": "spark_grade_sync_success", "event_category": "lms"}
    of = {"session_id": "01a22c43-6c7e-712a-9a90-a3c3e3161629", "event_data": {}}
    async with sessions() as session, session.begin():
        await session.execute(insert(ActivityEvent).values(**event, **of))


@pytest.mark.parametrize("families", [("images",), ("images", "audio")])
async def test_only_families_that_are_allowed_are_waited_for(
    settings: Settings, sessions: Sessions, families: tuple[str, ...]
) -> None:
    asked = settings.model_copy(update={"allowed_file_types": families})
    names = [step.name for step in await look_at_steps(sessions, asked)]
    assert [name for name in names if name.startswith("file_")] == [f"file_{f}" for f in families]
