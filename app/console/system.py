"""System: whether it can work, what it runs on, who may call, and how long what is kept."""

import asyncio
import platform
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from prometheus_client import Counter, Gauge
from starlette.responses import Response

from app import __version__, metrics
from app.accounts.service_keys import list_keys
from app.activity.audit import read_privileged
from app.adoption.describe_database import describe_database
from app.alerts.list_alerts import list_alerts
from app.api.dependencies import Opened, Resources
from app.console.render import console_router, render
from app.console.visit import Reader
from app.privacy.keeping import list_keeping

ACTS = 50
DID = {  # the audit log's words are OWASP's
    "authn_login_success": "signed in",
    "authn_token_revoked": "ended sessions",  # nosec
    "authn_token_reuse": "used a code twice",  # nosec
    "sensitive_create": "made",
    "sensitive_read": "read",
    "sensitive_update": "changed",
    "sensitive_delete": "removed",
}

router = console_router()


@router.get("/system")
async def show_system(request: Request, opened: Opened, _: Reader) -> Response:
    (checks, differences), alerts, database, keys, acts = await asyncio.gather(
        opened.readiness.read(),
        list_alerts(opened.sessions),
        describe_database(opened.sessions),
        list_keys(opened.sessions),
        read_privileged(opened.sessions, ACTS),
    )
    return render(
        request,
        "system.html",
        checks=checks,
        differences=differences,
        database=database,
        versions={
            "Service": __version__,
            "Commit": opened.settings.render_git_commit,
            "Python": platform.python_version(),
            "Postgres": database["server"],
        },
        places=_places(opened),
        swept_at=_moment(metrics.LAST_PASS),
        swept={step: int(count) for step, count in _by_label(metrics.SWEPT) if count},
        alerts=alerts,
        keys=keys,
        settings_keys=len(opened.settings.internal_api_keys),
        keeping=list(list_keeping(opened.settings)),
        acts=acts,
        did=DID,
    )


def _places(opened: Resources) -> list[tuple[str, int, int]]:
    """Of this process: what is limited, how much of it is in use, and the setting that says so."""
    settings = opened.settings
    return [
        ("DATABASE_POOL_SIZE", opened.connections_in_use(), settings.database_pool_size),
        (
            "MAX_CONCURRENT_UPLOADS",
            _value(metrics.UPLOADS_RUNNING),
            settings.max_concurrent_uploads,
        ),
    ]


def _value(gauge: Gauge) -> int:
    return int(sum(value for _, value in _by_label(gauge)))


def _moment(gauge: Gauge) -> datetime | None:
    return datetime.fromtimestamp(seconds, tz=UTC) if (seconds := _value(gauge)) else None


def _by_label(metric: Gauge | Counter) -> list[tuple[Any, float]]:
    """The values by the only label, if it has one."""
    [found] = metric.collect()
    return [
        (next(iter(sample.labels.values()), ""), sample.value)
        for sample in found.samples
        if not sample.name.endswith("_created")
    ]
