"""A service that calls a Spark of the tests', and what its worker does when a test says so."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import delete, func, select, update

from app.database import Sessions
from app.jobs.call_spark import SPARK
from app.jobs.run_jobs import work_off
from app.models import Job, JobTarget, UserQuestTask
from app.settings import Settings
from app.worker import job_kinds
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.fake_spark import FakeSpark, run_fake_spark
from tests.support.spark import Assignment, SignedIn, submission

KEY, SECRET = (secrets.token_hex(32) for _ in range(2))


@pytest.fixture(scope="package")
async def fake_spark() -> AsyncIterator[FakeSpark]:
    async with run_fake_spark(KEY, SECRET) as running:
        await running.change(per_minute=100_000)
        yield running


@dataclass(frozen=True)
class Grading:
    """The service, the Spark it calls, and the main app that gives grades."""

    elsewhere: Elsewhere
    fake: FakeSpark
    sessions: Sessions
    main_app: dict[str, str]

    @property
    def key(self) -> str:
        key = self.elsewhere.running.settings.spark_api_key
        assert key
        return key.get_secret_value()

    async def work_off(self) -> int:
        resources = self.elsewhere.running.app.state.resources
        return await work_off(self.sessions, job_kinds(resources), owner=uuid4())

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        client = self.elsewhere.spark.browser
        return await client.request(method, f"/internal/v1/{path}", headers=self.main_app, **more)

    async def student(self) -> SignedIn:
        return await self.elsewhere.spark.sign_in()

    async def hand_in(self, student: SignedIn, assignment: Assignment, **changes: Any) -> Any:
        answer = await self.elsewhere.spark.submit(submission(student, assignment, **changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def task_of(self, student: SignedIn, assignment: Assignment) -> str:
        """The student's own copy, after handing something in."""
        return str((await self.hand_in(student, assignment))["task_id"])

    async def give(self, student: SignedIn, task_id: str, score: float, **more: Any) -> Any:
        grade = {"user_id": student.user_id, "task_id": task_id, "score": score}
        return await self.ask("POST", "grades", json=grade | more)

    async def state(self, grade_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ask("GET", f"grades/{grade_id}")).json()
        return found

    async def jobs(self) -> list[Any]:
        async with self.sessions() as session, session.begin():
            return list((await session.execute(select(Job).where(Job.target == SPARK))).all())

    async def come_due(self) -> None:
        """Pauses and waits are over."""
        async with self.sessions() as session, session.begin():
            await session.execute(update(Job).values(run_at=func.now()))
            paused = update(JobTarget).where(JobTarget.paused_until.is_not(None))
            await session.execute(paused.values(paused_until=func.now()))


@pytest.fixture(scope="package")
async def grading_service(settings: Settings, fake_spark: FakeSpark) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(
        settings,
        spark_api_url=fake_spark.url,
        spark_api_key=SecretStr(KEY),
        spark_outbound_secret=SecretStr(SECRET),
        spark_api_per_minute=100_000,
        spark_receipts=True,
    ) as elsewhere:
        yield elsewhere


@pytest.fixture
async def grading(
    grading_service: Elsewhere,
    fake_spark: FakeSpark,
    sessions: Sessions,
    main_app: dict[str, str],
) -> Grading:
    await forget_jobs(sessions)
    await fake_spark.forget()
    await fake_spark.change(api_key=KEY, outbound_secret=SECRET, unknown_students=[])
    return Grading(grading_service, fake_spark, sessions, main_app)


async def forget_jobs(sessions: Sessions) -> None:
    """What another test left for the one target that all have."""
    async with sessions() as session, session.begin():
        await session.execute(delete(Job).where(Job.target == SPARK))
        await session.execute(delete(JobTarget).where(JobTarget.name == SPARK))


async def any_task(sessions: Sessions, student: SignedIn) -> str:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserQuestTask.id).where(UserQuestTask.user_id == student.user_id).limit(1)
        )
        return str(found.scalar_one())
