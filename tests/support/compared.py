"""Bucket and rows compared by `reconcile`, for tests that have no event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from app.database import create_engine
from app.files.reconcile import Kind, Report, reconcile
from app.settings import Settings
from app.storage.bucket import open_bucket

Findings = list[tuple[Kind, str]]


def new_key() -> str:
    return f"{uuid4()}/{uuid4()}.pdf"


def compare(
    service: Settings,
    *,
    delete: bool = False,
    lease: timedelta = -timedelta(hours=1),
    when_told: Callable[[], object] = lambda: None,
) -> tuple[Report, Findings]:
    """With a lease of less than nothing, no age protects anything."""
    return asyncio.run(compared(service, delete=delete, lease=lease, when_told=when_told))


async def compared(
    service: Settings, *, delete: bool, lease: timedelta, when_told: Callable[[], object]
) -> tuple[Report, Findings]:
    findings: Findings = []

    def tell(kind: Kind, name: str) -> None:
        findings.append((kind, name))
        with ThreadPoolExecutor() as elsewhere:  # it may need an event loop of its own
            elsewhere.submit(when_told).result()

    engine = create_engine(service)
    async with open_bucket(service) as bucket:
        report = await reconcile(
            engine.connect,
            bucket,
            before=datetime.now(tz=UTC) - lease,
            delete=delete,
            tell=tell,
        )
    await engine.dispose()
    return report, findings
