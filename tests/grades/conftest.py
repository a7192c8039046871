"""A service that calls a Spark of the tests', and what its worker does when a test says so."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.database import Sessions
from app.jobs.call_spark import SPARK
from app.models import Job, JobTarget, UserQuestTask
from app.settings import Settings
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.fake_spark import FakeSpark
from tests.support.outward import run_outward
from tests.support.spark import Assignment, SignedIn, submission
from tests.support.work import do_jobs, forget_jobs


@pytest.fixture(scope="package")
async def calling(settings: Settings) -> AsyncIterator[tuple[Settings, FakeSpark]]:
    async with run_outward(settings) as both:
        yield both


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

    @property
    def secret(self) -> str:
        [secret] = self.elsewhere.running.settings.outbound_secrets
        return secret.get_secret_value()

    async def work_off(self) -> int:
        return await do_jobs(self.elsewhere.running.app.state.resources)

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
async def grading_service(calling: tuple[Settings, FakeSpark]) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(calling[0]) as elsewhere:
        yield elsewhere


@pytest.fixture
async def grading(
    grading_service: Elsewhere,
    calling: tuple[Settings, FakeSpark],
    sessions: Sessions,
    main_app: dict[str, str],
) -> Grading:
    grading = Grading(grading_service, calling[1], sessions, main_app)
    await forget_jobs(sessions)
    await grading.fake.forget()
    right = {"api_key": grading.key, "outbound_secret": grading.secret}
    await grading.fake.change(**right, unknown_students=[])
    return grading


async def any_task(sessions: Sessions, student: SignedIn) -> str:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserQuestTask.id).where(UserQuestTask.user_id == student.user_id).limit(1)
        )
        return str(found.scalar_one())
