"""The inbox: every authentic delivery with what it was answered, so that it can be explained and
processed again.

A success is written in the transaction of its act, a refusal in one of its own. The signed text is
personal data: retention ends its life, and so does erasing the student. The text of a roster names
many children and is never needed again: it is not kept.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select

from app.database import Session, Statement
from app.deliveries.authenticate import Attempt
from app.deliveries.payload import Subject
from app.errors import NotFoundError
from app.models import InboxDelivery

JSON = "application/json"
SUBMISSION_ROUTE = "/spark/webhook/submission"
ROSTER_ROUTE = "/spark/webhook/roster"


class Tally:
    """The files that came beside the signed text, counted as they pass."""

    def __init__(self) -> None:
        self.file_count = 0
        self.file_bytes = 0

    def add_file(self) -> None:
        self.file_count += 1

    async def add_bytes(self, chunk: bytes) -> None:
        self.file_bytes += len(chunk)


@dataclass(frozen=True)
class Entry:
    """A delivery whose signed `text` is the sender's, as the inbox keeps it.

    Keeping an entry again, under its id, gives it the outcome of a replay; its `request_id` stays
    that of the request in which it came.
    """

    id: UUID
    route: str
    media_type: str
    received_at: datetime
    request_id: str | None
    text: bytes
    attempt: Attempt
    tally: Tally = field(default_factory=Tally)

    @cached_property
    def digest(self) -> bytes:
        return hashlib.sha256(self.text).digest()

    @property
    def is_json(self) -> bool:
        return self.media_type == JSON


COLUMNS = (
    "id",
    "route",
    "media_type",
    "received_at",
    "status",
    "code",
    "digest",
    "request_id",
    "webhook_id",
    "by_previous",
    "message",
    "body_bytes",
    "file_count",
    "user_id",
    "spark_user_id",
    "spark_assignment_id",
    "spark_course_id",
    "submission_id",
)

# Whose a delivery is and what it became stays known, whatever a replay of it comes to.
KEPT_AGAIN_SQL = """
      on conflict (id) do update set
        status = excluded.status, code = excluded.code,
        user_id = coalesce(excluded.user_id, deliveries.user_id),
        submission_id = coalesce(excluded.submission_id, deliveries.submission_id),
        replayed_at = now()"""
# A piece of a statement: the delivery of `row_of`, or what a replay of it came to.
DELIVERY_SQL = f"""
    delivery as (
      insert into spark.deliveries ({", ".join(COLUMNS)})
      select {", ".join(f":delivery_{name}" for name in COLUMNS)}
      where :delivery_id::uuid is not null {KEPT_AGAIN_SQL})
"""
_KEEP = Statement(f"with {DELIVERY_SQL} select 1")

WAS_TAKEN = select(
    select(InboxDelivery.id)
    .where(
        InboxDelivery.digest == bindparam("digest"),
        InboxDelivery.route == bindparam("route"),
        InboxDelivery.status == HTTPStatus.OK,  # by `code` another index would fit, too
    )
    .exists()
)
_SAME = InboxDelivery.__table__.alias("same")
# A text that came several times may be kept with another delivery of it.
KEPT_TEXTS = select(_SAME.c.message).where(
    _SAME.c.digest == InboxDelivery.digest, _SAME.c.message.is_not(None)
)
_GET = select(
    InboxDelivery.id,
    InboxDelivery.route,
    InboxDelivery.media_type,
    InboxDelivery.received_at,
    InboxDelivery.request_id,
    func.coalesce(KEPT_TEXTS.limit(1).scalar_subquery(), b"").label("text"),
    InboxDelivery.webhook_id,
).where(InboxDelivery.id == bindparam("delivery_id"))


async def keep_delivery(
    session: Session,
    entry: Entry,
    subject: Subject,
    *,
    user_id: UUID | None = None,
    submission_id: UUID | None = None,
    keeps_text: bool = True,
) -> None:
    """Write a delivery that succeeded. A text that was handled before need not be kept twice."""
    row = row_of(entry, subject, keeps_text=keeps_text)
    outcome = {"delivery_user_id": user_id, "delivery_submission_id": submission_id}
    await _KEEP.send(session, row | outcome)


def row_of(entry: Entry, subject: Subject, *, keeps_text: bool = True) -> dict[str, Any]:
    """A success of nobody in particular."""
    return {
        "delivery_id": entry.id,
        "delivery_route": entry.route,
        "delivery_media_type": entry.media_type,
        "delivery_received_at": entry.received_at,
        "delivery_status": 200,
        "delivery_code": None,
        "delivery_digest": entry.digest,
        "delivery_request_id": entry.request_id,
        "delivery_webhook_id": entry.attempt.webhook_id,
        "delivery_by_previous": entry.attempt.by_previous,
        "delivery_message": entry.text if keeps_text and entry.route != ROSTER_ROUTE else None,
        "delivery_body_bytes": len(entry.text) + entry.tally.file_bytes,
        "delivery_file_count": entry.tally.file_count,
        "delivery_user_id": None,
        "delivery_spark_user_id": subject.spark_user_id,
        "delivery_spark_assignment_id": subject.spark_assignment_id,
        "delivery_spark_course_id": subject.spark_course_id,
        "delivery_submission_id": None,
    }


async def was_taken(session: Session, entry: Entry) -> bool:
    """Whether this very text was answered 200 before, as far back as the inbox goes."""
    taken = await session.execute(WAS_TAKEN, {"digest": entry.digest, "route": entry.route})
    return bool(taken.scalar_one())


async def get_delivery(session: Session, delivery_id: UUID) -> Entry:
    """As it arrived; `text` is empty once it is not kept any more. Raises NotFoundError."""
    found = await session.execute(_GET, {"delivery_id": delivery_id})
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFoundError
    kept = dict(row)
    return Entry(attempt=Attempt(kept.pop("webhook_id")), **kept)
