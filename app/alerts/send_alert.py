"""The job that tells operators at ALERT_WEBHOOK_URL, as Slack or as their own receiver reads it."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
import structlog

from app.alerts.rules import ALERTS
from app.database import Sessions
from app.jobs.call_target import Call, TargetTest, call_target, read_test, sign_call
from app.jobs.lease import Lease
from app.jobs.settle import settle_alone
from app.jobs.targets import reach_target
from app.settings import Settings

SLACK = "hooks.slack.com"  # reads `text`, and refuses what else there is
_WRONG = "It does not take alerts: is ALERT_WEBHOOK_URL the whole address, as it was given?"
_KEY = "It refuses us: compare ALERT_WEBHOOK_URL and ALERT_WEBHOOK_SECRET with what it knows."
HINTS = {
    "delivered": "It was taken: look whether somebody sees it there.",
    "alerts_400": _WRONG,
    "alerts_401": _KEY,
    "alerts_403": _KEY,
    "alerts_404": _WRONG,
    "alerts_410": _WRONG,
    **dict.fromkeys(
        ("alerts_301", "alerts_302", "alerts_307", "alerts_308"),
        "It leads elsewhere, and is not followed: set ALERT_WEBHOOK_URL to that address.",
    ),
    "alerts_unreachable": "Nobody answers there: is ALERT_WEBHOOK_URL right?",
    "alerts_certificate_invalid": "Its certificate is not valid for ALERT_WEBHOOK_URL.",
}
OTHERWISE = "Ask again; if it stays so, ask whoever runs the receiver. What is to be told waits."

log = structlog.get_logger()


class AlertHook:
    """ALERT_WEBHOOK_URL, which may be a secret itself."""

    def __init__(
        self, settings: Settings, client: httpx.AsyncClient, *, now: Callable[[], datetime]
    ) -> None:
        assert settings.alert_webhook_url  # noqa: S101 - or nobody makes one
        self._url = settings.alert_webhook_url.get_secret_value()
        self._secrets = [settings.alert_webhook_secret] if settings.alert_webhook_secret else []
        self._environment = settings.environment
        self._client = client
        self._now = now

    async def call(self, message_id: str, message: Mapping[str, Any]) -> Call:
        if httpx.URL(self._url).host == SLACK:
            message = {"text": message["text"]}
        body = json.dumps(message, ensure_ascii=False).encode()
        headers = sign_call(self._secrets, message_id, body, now=self._now())
        return await call_target(self._client, ALERTS, "POST", self._url, body, headers)

    async def test(self) -> TargetTest:
        now = self._now()
        alert = {
            "name": "test",
            "state": "firing",
            "value": 1,
            "threshold": 1,
            "since": now.isoformat(),
            "environment": self._environment,
            "url": None,
        }
        text = f"[Spark, {self._environment}] A test of alerts: nothing is wrong."
        call = await self.call(f"test.{now:%Y%m%dT%H%M%S%fZ}", {"text": text, "alert": alert})
        return read_test(call, HINTS, OTHERWISE)


async def test_alerts(sessions: Sessions, hook: AlertHook) -> TargetTest:
    """What waits to be told is told, if it is taken."""
    tested = await hook.test()
    if tested.ok:
        async with sessions() as session, session.begin():
            await reach_target(session, ALERTS)
    return tested


async def send_alert(sessions: Sessions, hook: AlertHook, lease: Lease) -> None:
    call = await hook.call(lease.payload["id"], lease.payload["body"])
    ended = await settle_alone(sessions, lease, call.outcome)
    log.info("alert_sent", alert=lease.key, code=call.outcome.code, state=ended)
