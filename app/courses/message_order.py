"""Whether a course or roster message may be taken, or a later one has superseded it (DESIGN R45).

What is taken twice has its effect twice: an old drop would throw a student out again, and an old
course bring back old titles. A message that says when it was sent is taken in that order. One of
old senders says nothing: if its text was taken before and another came since, that is noticed.
"""

from datetime import datetime

from app.activity.record_event import record_event
from app.database import Session
from app.deliveries.authenticate import check_said_time
from app.deliveries.inbox import Entry, was_taken
from app.errors import MessageSupersededError
from app.fields import AnswerWarning

DETAIL = (
    "This very message was taken before, and another one since. Say `sent_at`, or sign by Standard"
    " Webhooks, so that nobody can send an old one again."
)
Last = tuple[bytes | None, datetime | None]  # the digest taken last, and the latest sent_at


def check_sent_at(sent_at: datetime | None, entry: Entry, *, now: datetime) -> None:
    """Raises TimestampTooOldError or TimestampInFutureError, if it is said at all."""
    if sent_at is not None:
        has_own_time = entry.attempt.has_own_time
        check_said_time(sent_at, name="sent_at", has_own_time=has_own_time, now=now)


def check_latest(latest: datetime | None, sent_at: datetime | None) -> None:
    """Who does not say when is in no order. Raises MessageSupersededError."""
    if sent_at is not None and latest is not None and sent_at < latest:
        raise MessageSupersededError


async def check_order(
    session: Session, entry: Entry, last: Last, *, sent_at: datetime | None, requires_time: bool
) -> list[AnswerWarning]:
    """What is noticed. The caller holds the course's row, and writes this message's marks there.

    Raises MessageSupersededError.
    """
    digest, latest = last
    if sent_at is not None:
        check_latest(latest, sent_at)
        return []
    if entry.attempt.has_own_time or digest in (None, entry.digest):
        return []
    if not await was_taken(session, entry):
        return []
    if requires_time:
        raise MessageSupersededError
    await record_event(
        session,
        "spark_message_repeated",
        user_id=None,
        session_id=entry.id,
        data={"error_type": "repeated_without_time", "request_id": entry.request_id},
        page_url=entry.route,
    )
    return [AnswerWarning(code="repeated_without_time", detail=DETAIL, field="sent_at")]
