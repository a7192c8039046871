"""A service with stores of its own, whose operators are told at the Spark of the tests."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import delete, func, insert, select, update

from app.alerts.evaluate import evaluate_alerts
from app.alerts.rules import ALERT, RULES
from app.database import Sessions
from app.models import ActivityEvent, Alert, ExpiryNotice, Job, JobTarget, Upload
from app.settings import Settings
from tests.conftest import create_assignment
from tests.support.canaries import CANARIES
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.fake_spark import FakeSpark
from tests.support.outward import run_outward
from tests.support.running import everything_is_written
from tests.support.spark import submission
from tests.support.stores import own_stores
from tests.support.work import do_jobs


@dataclass(frozen=True)
class Telling:
    """The service without a worker, and whom it tells."""

    elsewhere: Elsewhere
    fake: FakeSpark
    main_app: dict[str, str]

    @property
    def settings(self) -> Settings:
        return self.elsewhere.running.settings

    @property
    def sessions(self) -> Sessions:
        opened: Sessions = self.elsewhere.running.app.state.resources.sessions
        return opened

    async def evaluate(self, **later: float) -> int:
        """As the worker does each minute, so much later; how many messages were ordered."""
        await everything_is_written()
        now = datetime.now(tz=UTC) + timedelta(**later)
        return await evaluate_alerts(self.sessions, self.settings, now=now)

    async def work_off(self, *kinds: str) -> int:
        return await do_jobs(self.elsewhere.running.app.state.resources, *kinds)

    async def told(self) -> list[dict[str, Any]]:
        """All that was received, after what is due was sent."""
        await self.work_off(ALERT)
        return await self.fake.alerts()

    async def firing(self) -> dict[str, Any]:
        """Whatever fires, as the API has it."""
        answer = await self.ask("GET", "alerts")
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert {item["name"] for item in items} == {rule.name for rule in RULES}
        return {item["name"]: item for item in items if item["state"] == "firing"}

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        client = self.elsewhere.spark.browser
        return await client.request(method, f"/internal/v1/{path}", headers=self.main_app, **more)

    async def fail_sign_ins(self, times: int, **ago: float) -> None:
        """Rows, where time is to have passed; else by `launch`."""
        at = datetime.now(tz=UTC) - timedelta(**ago)
        row = {"event_type": "spark_sso_failed", "event_category": "lms", "created_at": at}
        data = {"event_data": {"error_type": "missing_token"}}
        rows = [{**row, **data, "session_id": uuid4()} for _ in range(times)]
        async with self.sessions() as session, session.begin():
            await session.execute(insert(ActivityEvent).values(rows))

    async def give(self, grades: int = 1) -> None:
        student = await self.elsewhere.spark.sign_in()
        for _ in range(grades):
            assignment = await create_assignment(self.sessions)
            answer = await self.elsewhere.spark.submit(submission(student, assignment))
            grade = {"user_id": student.user_id, "task_id": answer.json()["task_id"], "score": 90}
            given = await self.ask("POST", "grades", json=grade)
            assert given.status_code == 202, given.text

    async def jobs(self) -> list[Any]:
        async with self.sessions() as session, session.begin():
            found = await session.execute(select(Job).where(Job.kind == ALERT))
            return list(found.all())

    async def come_due(self) -> None:
        """Pauses and waits are over."""
        async with self.sessions() as session, session.begin():
            await session.execute(update(Job).values(run_at=func.now()))
            paused = update(JobTarget).where(JobTarget.paused_until.is_not(None))
            await session.execute(paused.values(paused_until=func.now()))

    async def forget(self) -> None:
        async with self.sessions() as session, session.begin():
            for table in (ActivityEvent, Alert, ExpiryNotice, Job, JobTarget):
                await session.execute(delete(table))
            await session.execute(update(Upload).values(location=None, scan=None))
        await self.fake.forget()


@pytest.fixture(scope="package")
def own_settings(settings: Settings) -> Iterator[Settings]:
    with own_stores(settings) as stores:
        yield stores.given_to(settings)


@pytest.fixture(scope="package")
async def service(own_settings: Settings, main_app: dict[str, str]) -> AsyncIterator[Telling]:
    secret = secrets.token_hex(32)
    CANARIES.release(secret)
    async with run_outward(own_settings) as (calling, fake):
        await fake.change(alert_secret=secret)
        url = f"{fake.url}/alerts"
        changes: dict[str, Any] = {
            "alert_webhook_url": SecretStr(url),
            "alert_webhook_secret": SecretStr(secret),
            "public_url": "https://spark.optio.example",
        }
        async with run_elsewhere(calling, **changes) as elsewhere:
            yield Telling(elsewhere, fake, main_app)


@pytest.fixture
async def telling(service: Telling) -> Telling:
    await everything_is_written()
    await service.forget()
    key = service.settings.spark_api_key
    assert key
    await service.fake.change(api_key=key.get_secret_value())
    return service
