"""The inbox: every authentic delivery with what it was answered, so that it can be explained and
processed again.

A success is written in the transaction of its act, a refusal in one of its own. The signed text is
personal data: retention ends its life, and so does erasing the student. The text of a roster names
many children and is never needed again: it is not kept.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    LargeBinary,
    any_,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from app.database import FAILURES, OUTAGES, Session, Sessions
from app.deliveries.authenticate import FRESH, Authentic
from app.deliveries.payload import Subject, beside_if_large, read_subject
from app.errors import NotFoundError, OverloadedError, ServiceError
from app.models import PLATFORM, Erasure, InboxDelivery, LmsIntegration

JSON = "application/json"
DATABASE_FAILURES: tuple[type[Exception], ...] = (OverloadedError, *OUTAGES)
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
    authentic: Authentic
    tally: Tally = field(default_factory=Tally)

    @cached_property
    def digest(self) -> bytes:
        return hashlib.sha256(self.text).digest()

    @property
    def is_json(self) -> bool:
        return self.media_type == JSON


_COLUMNS = (
    "id",
    "route",
    "media_type",
    "received_at",
    "status",
    "code",
    "digest",
    "request_id",
    "webhook_id",
    "message",
    "body_bytes",
    "file_count",
    "user_id",
    "spark_user_id",
    "spark_assignment_id",
    "spark_course_id",
    "submission_id",
)

_ROW = {
    name: bindparam(f"delivery_{name}", type_=InboxDelivery.__table__.c[name].type)
    for name in _COLUMNS
}


def _upsert(new: Insert) -> Insert:
    return new.on_conflict_do_update(
        index_elements=[InboxDelivery.id],
        set_={
            "status": new.excluded.status,
            "code": new.excluded.code,
            # Whose it is and what it became stays known, whatever a replay comes to.
            "user_id": func.coalesce(new.excluded.user_id, InboxDelivery.user_id),
            "submission_id": func.coalesce(new.excluded.submission_id, InboxDelivery.submission_id),
            "replayed_at": func.now(),
        },
    )


_KEEP = _upsert(insert(InboxDelivery).values(_ROW))

# The personal columns of a refusal are blank when its student is erased: of what was done before
# the erasure was finished, and of anything until a click makes a new link. Refusals share the
# student's turn, and an erasure takes it alone, so that it sees every refusal that was written.
_PERSONAL = (
    "webhook_id",
    "message",
    "user_id",
    "spark_user_id",
    "spark_assignment_id",
    "spark_course_id",
)
_LINKED = select(LmsIntegration.user_id).where(
    LmsIntegration.lms_platform == PLATFORM,
    LmsIntegration.lms_user_id == _ROW["spark_user_id"],
)
_IS_ERASED = (
    select(Erasure.id)
    .where(
        Erasure.subject_hash == any_(bindparam("subject_hashes", type_=ARRAY(LargeBinary))),
        or_(
            Erasure.requested_at
            >= func.least(
                bindparam("said_at", type_=InboxDelivery.received_at.type), _ROW["received_at"]
            ),
            Erasure.completed_at.is_(None),
            ~_LINKED.exists(),
        ),
    )
    .exists()
)
_GUARD = (
    select(_IS_ERASED.label("forgets"))
    .select_from(func.pg_advisory_xact_lock_shared(bindparam("turn", type_=BigInteger)))
    .cte("guard")
)
_KEEP_REFUSAL = _upsert(
    insert(InboxDelivery).from_select(
        _COLUMNS,
        select(
            *(
                case((_GUARD.c.forgets, null()), else_=value) if name in _PERSONAL else value
                for name, value in (_ROW | {"user_id": _LINKED.scalar_subquery()}).items()
            )
        ),
    )
)
_SEEN_IN_TIME = select(
    select(InboxDelivery.id)
    .where(
        InboxDelivery.digest == bindparam("digest"),
        InboxDelivery.received_at.between(bindparam("earliest"), bindparam("latest")),
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
    row = _row(entry, subject, keeps_text=keeps_text)
    outcome = {"delivery_user_id": user_id, "delivery_submission_id": submission_id}
    await session.execute(_KEEP, row | outcome)


def _row(entry: Entry, subject: Subject, *, keeps_text: bool = True) -> dict[str, Any]:
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
        "delivery_webhook_id": entry.authentic.webhook_id,
        "delivery_message": entry.text if keeps_text and entry.route != ROSTER_ROUTE else None,
        "delivery_body_bytes": len(entry.text) + entry.tally.file_bytes,
        "delivery_file_count": entry.tally.file_count,
        "delivery_user_id": None,
        "delivery_spark_user_id": subject.spark_user_id,
        "delivery_spark_assignment_id": subject.spark_assignment_id,
        "delivery_spark_course_id": subject.spark_course_id,
        "delivery_submission_id": None,
    }


@asynccontextmanager
async def remember_refusal(
    sessions: Sessions, entry: Entry, hashes_of: Callable[[str], Sequence[bytes]]
) -> AsyncIterator[None]:
    """Keep a delivery whose handling fails, with why; not where it may be the database.

    `hashes_of` gives the hashes under which a student's tombstone would be, the current key's
    first.
    """
    try:
        yield
    except DATABASE_FAILURES:
        raise
    except Exception as failure:
        subject = await beside_if_large(read_subject, entry.text)
        student = subject.spark_user_id
        with suppress(*FAILURES):
            await _keep_refusal(
                sessions, entry, subject, hashes_of(student) if student else (), failure
            )
        raise


async def _keep_refusal(
    sessions: Sessions,
    entry: Entry,
    subject: Subject,
    subject_hashes: Sequence[bytes],
    failure: Exception,
) -> None:
    kind = type(failure) if isinstance(failure, ServiceError) else ServiceError
    row = _row(entry, subject) | {"delivery_status": kind.status, "delivery_code": kind.code}
    erasure = {
        "subject_hashes": list(subject_hashes),
        "said_at": subject.submitted_at,
        "turn": turn_of(subject_hashes),
    }
    async with sessions() as session, session.begin():
        await session.execute(_KEEP_REFUSAL, row | erasure)


def turn_of(subject_hashes: Sequence[bytes]) -> int:
    """The advisory lock of a student: refusals share it, an erasure has it alone."""
    return int.from_bytes(subject_hashes[0][:8], signed=True) if subject_hashes else 0


async def was_seen_in_time(session: Session, digest: bytes, *, said_at: datetime) -> bool:
    """Whether this very text arrived before, when the time it names was fresh (SECURITY D8)."""
    seen = await session.execute(
        _SEEN_IN_TIME, {"digest": digest, "earliest": said_at - FRESH, "latest": said_at + FRESH}
    )
    return bool(seen.scalar_one())


async def get_delivery(sessions: Sessions, delivery_id: UUID) -> Entry:
    """As it arrived; `text` is empty once it is not kept any more. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        found = await session.execute(_GET, {"delivery_id": delivery_id})
        row = found.mappings().one_or_none()
    if row is None:
        raise NotFoundError
    kept = dict(row)
    return Entry(authentic=Authentic(kept.pop("webhook_id")), **kept)
