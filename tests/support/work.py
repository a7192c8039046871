"""What a worker of a test's own does in the database that all tests share."""

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

from sqlalchemy import delete

from app.api.dependencies import Resources
from app.database import Sessions
from app.jobs.run_jobs import work_off
from app.models import Job, JobTarget
from app.worker import job_kinds

Work = Callable[[], Coroutine[Any, Any, int]]  # what the fixture `work` is


async def do_jobs(resources: Resources, *kinds: str) -> int:
    """What is due of these kinds, or of all that a worker does; how many it was."""
    every = job_kinds(resources)
    chosen = {kind: every[kind] for kind in kinds or every}
    return await work_off(resources.sessions, chosen, owner=uuid4())


async def forget_jobs(sessions: Sessions) -> None:
    """What other tests left, and whom they paused: before a test that counts."""
    async with sessions() as session, session.begin():
        await session.execute(delete(Job))
        await session.execute(delete(JobTarget))
