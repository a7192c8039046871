"""The work nobody waits for: removing what was abandoned, is old enough or was to be erased, and
counting what is over.

Any number of workers may run.
"""

import asyncio
from typing import NoReturn

import structlog

from app.activity.hours import count_hours
from app.api.dependencies import Resources
from app.files.uploads import sweep_uploads
from app.privacy.erase import resume_erasures
from app.privacy.retention import apply_retention

SWEEP_EVERY_SECONDS = 60

log = structlog.get_logger()


async def run_worker(resources: Resources) -> NoReturn:
    """Sweep until cancelled: the next process goes on where a pass was.

    A pass that fails is logged, and the next one tries again.
    """
    while True:
        try:
            await sweep(resources)
        except Exception as failure:  # noqa: BLE001 - whatever it was, the next pass may do better
            log.warning("sweep_failed", error_class=type(failure).__name__)
        await asyncio.sleep(SWEEP_EVERY_SECONDS)


async def sweep(resources: Resources) -> dict[str, int]:
    """One pass; what was removed, counted by kind."""
    removed = {
        **await apply_retention(resources.sessions, resources.settings),
        "uploads": await sweep_uploads(resources.sessions, resources.bucket),
        "erasures": await resume_erasures(resources.sessions, resources.bucket),
    }
    await count_hours(resources.sessions)
    if any(removed.values()):
        log.info("swept", **removed)
    return removed
