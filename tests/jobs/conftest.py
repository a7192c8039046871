"""A service with stores of its own, the Spark it calls, and no worker but those of a test."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.database import Sessions
from app.settings import Settings
from app.worker import sweep
from tests.conftest import create_assignment
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.fake_spark import FakeSpark
from tests.support.outward import run_outward
from tests.support.spark import submission
from tests.support.stores import Stores, own_stores
from tests.support.work import do_jobs


@pytest.fixture(scope="module")
def stores(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


@dataclass(frozen=True)
class Outward:
    """The service without a worker, the Spark it calls, and what it stores."""

    elsewhere: Elsewhere
    settings: Settings
    fake: FakeSpark
    stores: Stores
    main_app: dict[str, str]

    @property
    def sessions(self) -> Sessions:
        opened: Sessions = self.elsewhere.running.app.state.resources.sessions
        return opened

    async def hand_in(self, *urls: str) -> tuple[str, dict[str, Any]]:
        student = await self.elsewhere.spark.sign_in()
        assignment = await create_assignment(self.sessions)
        payload = submission(student, assignment, submission_files=[{"url": url} for url in urls])
        answer = await self.elsewhere.spark.submit(payload)
        assert answer.status_code == 200, answer.text
        return student.user_id, answer.json()

    async def give(self) -> None:
        user_id, body = await self.hand_in()
        grade = {"user_id": user_id, "task_id": body["task_id"], "score": 90}
        client = self.elsewhere.spark.browser
        answer = await client.post("/internal/v1/grades", json=grade, headers=self.main_app)
        assert answer.status_code == 202, answer.text

    async def go_on(self) -> None:
        """As another worker does once the leases of the killed one are over."""
        past = "SET lease_until = now() - interval '1 second'"
        await self.stores.execute(f"UPDATE spark.jobs {past} WHERE state = 'running'")
        await self.stores.execute(f"UPDATE spark.uploads {past} WHERE state <> 'committed'")
        resources = self.elsewhere.running.app.state.resources
        await sweep(resources)
        await do_jobs(resources)


@pytest.fixture(scope="module")
async def outward(
    settings: Settings, stores: Stores, main_app: dict[str, str]
) -> AsyncIterator[Outward]:
    async with (
        run_outward(stores.given_to(settings)) as (calling, fake),
        run_elsewhere(calling) as elsewhere,
    ):
        yield Outward(elsewhere, calling, fake, stores, main_app)
