"""A service that has been used for a month: what the console's pages are looked at with."""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import insert, text

from app.accounts.service_keys import create_key, revoke_key
from app.clock import first_id, new_id
from app.database import Sessions
from app.models import Alert, AuditEntry, InboxDelivery, Job, JobTarget
from tests.support.canaries import CANARIES
from tests.support.handed_in import Homework, hand_in
from tests.support.hostile import HOSTILE

# Of each hour of a month as many as the hour of the day says; every few something fails.
_EVENTS = text(
    """
    insert into user_activity_events
      (id, session_id, event_type, event_category, event_data, created_at)
    select gen_random_uuid(), gen_random_uuid(),
      case when (n + extract(hour from t)::int * 7 + extract(doy from t)::int) % :every = 0
        then :failed else :good end,
      'lms', case when (n + extract(hour from t)::int * 7 + extract(doy from t)::int) % :every = 0
        then cast(:data as jsonb) || jsonb_build_object('request_id', gen_random_uuid())
        else '{}' end, t + n * interval '20 seconds'
    from generate_series(date_trunc('hour', now()) - interval '29 days',
        date_trunc('hour', now()) - interval '1 hour', '1 hour') t,
      generate_series(1,
        greatest(0, (:most * sin((extract(hour from t) - 5) / 24 * 2 * pi()))::int)) n
    """
)
_FLOWS = (
    ("spark_webhook_success", "spark_webhook_failed", "Assignment not found", 40, 29),
    ("spark_sso_success", "spark_sso_token_expired", "Launch token expired", 30, 331),
    ("spark_file_download_success", "spark_file_download_failed", "File URL not allowed", 8, 47),
    ("spark_grade_sync_success", "spark_grade_sync_failed", "spark_404", 16, 12),
)
HANDED_IN = [
    Homework(
        number=number,
        student=f"student_{41 + number}",
        assignment=f"weather-week-{number + 1}",
        title="The weather of our valley",
        text="It rained on four of seven days, most of it on Tuesday.\n\nI measured at noon.",
        filename=f"rain-gauge-{number + 1}.png",
        reason="spark_404" if number % 2 else "spark_422",
        answer='{"error": "unknown student"}',
    )
    for number in range(12)
]
TEXTS = ("student", "assignment", "title", "text", "filename", "reason", "answer")
_REFUSED = {"assignment_not_found": 38, "user_not_found": 6, "storage_unavailable": 3}


async def live_a_month(sessions: Sessions) -> None:
    now = datetime.now(tz=UTC)
    async with sessions() as session, session.begin():
        for good, failed, title, most, every in _FLOWS:
            data = f'{{"error_message": "{title}"}}'
            values = {"good": good, "failed": failed, "data": data, "most": most, "every": every}
            await session.execute(_EVENTS, values)
        rows = [
            _refused(code, number, now) for code, most in _REFUSED.items() for number in range(most)
        ]
        await session.execute(insert(InboxDelivery), rows)
        since = now - timedelta(minutes=18)
        target = {"name": "spark", "state": "paused", "reason": "spark_503", "since": since}
        late = {"paused_until": now + timedelta(minutes=4), "failures": 6}
        await session.execute(insert(JobTarget).values(**target, **late))
        waiting = {"kind": "grade", "target": "spark", "created_at": since, "reason": "spark_503"}
        await session.execute(insert(Job), [waiting | {"key": str(new_id())} for _ in range(38)])
        alert = {"name": "target_down", "state": "firing", "since": since, "value": 18}
        told = {"codes": {"spark_503": 1}, "told_at": since, "measured_at": now}
        await session.execute(insert(Alert).values(**alert, **told))
        for homework in HANDED_IN:
            await hand_in(session, homework)
    await _make_keys(sessions)


def _refused(code: str, number: int, now: datetime) -> dict[str, object]:
    received_at = now - timedelta(minutes=7 * number + 1)
    return {
        "id": UUID(int=first_id(received_at).int + secrets.randbits(64)),
        "message": b"{}",
        "route": "/spark/webhook/submission",
        "media_type": "application/json",
        "received_at": received_at,
        "answered_at": received_at + timedelta(milliseconds=19 + number % 7),
        "status": 404 if code == "user_not_found" else 400,
        "code": code,
        "digest": secrets.token_bytes(32),
        "body_bytes": 214,
        "spark_user_id": f"student_{number % 11}",
        "spark_assignment_id": "rain-gauge-2",
    }


async def _make_keys(sessions: Sessions) -> None:
    for name in ("main app", "Grace", "CI, until the summer"):
        key = await create_key(sessions, name, ["read", "write"])
        CANARIES.release(key)
        key_id = key.partition(".")[0]
        act = {"caller": key_id, "action": "sensitive_update"}
        detail = {"what": "jobs", "retried": "grade", "reason": "spark_503", "jobs": 12}
        async with sessions() as session, session.begin():
            await session.execute(insert(AuditEntry).values(**act, detail=detail))
    await revoke_key(sessions, key_id)


async def write_hostile(sessions: Sessions) -> None:
    """All of them, wherever a sender, a neighbour or the main app may have a text shown."""
    now = datetime.now(tz=UTC)
    for hostile in HOSTILE.values():
        CANARIES.release(await create_key(sessions, hostile, ["read"]))
        event = {"kind": "spark_webhook_failed", "message": hostile[:90]}
        target = {"name": hostile, "state": "refused", "reason": hostile}
        async with sessions() as session, session.begin():
            await session.execute(
                text(
                    "insert into user_activity_events"
                    " (session_id, event_type, event_category, event_data) values"
                    " (gen_random_uuid(), :kind, 'lms',"
                    " jsonb_build_object('error_message', cast(:message as text)))"
                ),
                event,
            )
            await session.execute(insert(JobTarget).values(**target, since=now))
            act = {"caller": hostile, "action": "sensitive_update", "detail": {hostile: hostile}}
            await session.execute(insert(AuditEntry).values(**act))
    async with sessions() as session, session.begin():
        refused = [_refused(hostile, 0, now) for hostile in HOSTILE.values()]
        await session.execute(insert(InboxDelivery), refused)
        for number, hostile in enumerate(HOSTILE.values()):
            texts = dict.fromkeys(TEXTS, hostile)
            await hand_in(session, Homework(number=number, **texts))
