"""The inbox: every authentic delivery with what it was answered, so that it can be explained and
processed again.

A success is written in the transaction of its act, a refusal in one of its own. The signed text is
personal data: retention ends its life, and so does erasing the student. The text of a roster names
many children and is never needed again: it is not kept.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
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
from app.deliveries.authenticate import FRESH
from app.errors import NotFoundError, OverloadedError, ServiceError
from app.models import PLATFORM, Erasure, InboxDelivery, LmsIntegration

JSON = "application/json"
DATABASE_FAILURES: tuple[type[Exception], ...] = (OverloadedError, *OUTAGES)
SUBMISSION_ROUTE = "/spark/webhook/submission"
ROSTER_ROUTE = "/spark/webhook/roster"


@dataclass
class Entry:
    """A delivery on its way into the inbox; what is learned of it on the way is added.

    `text` is exactly what was signed; `digest` its SHA-256. `is_repeated` says that the same text
    was handled before, so that it need not be kept twice. Keeping an entry again, under its id,
    gives it the outcome of a replay; `was_answered` says that it was recorded already.

    `subject_hashes` are those under which the student's tombstone would be, the current key's
    first, and `said_at` is when the sender says this was done; both once the message is read.
    """

    id: UUID
    route: str
    media_type: str
    received_at: datetime
    text: bytes
    webhook_id: str | None
    body_bytes: int = 0
    file_count: int = 0
    user_id: UUID | None = None
    spark_user_id: str | None = None
    spark_assignment_id: str | None = None
    spark_course_id: str | None = None
    is_repeated: bool = False
    was_answered: bool = False
    subject_hashes: Sequence[bytes] = ()
    said_at: datetime | None = None
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256(self.text).digest()

    @property
    def keeps_text(self) -> bool:
        return not self.is_repeated and self.route != ROSTER_ROUTE

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

# Built once: building a statement costs more than running it.
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
KEPT = _KEEP.cte("kept")  # a piece of a statement, with the parameters of `delivery_row`

# A refusal, without what it says and about whom, if that is something an erased student did before
# the erasure was finished, or anything while no click has made a new link. Erasures take the same
# turn alone, so that nothing is written that they would not see.
_PERSONAL = (
    "webhook_id",
    "message",
    "user_id",
    "spark_user_id",
    "spark_assignment_id",
    "spark_course_id",
)
_IS_LINKED = (
    select(LmsIntegration.id)
    .where(
        LmsIntegration.lms_platform == PLATFORM,
        LmsIntegration.lms_user_id == _ROW["spark_user_id"],
    )
    .exists()
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
            ~_IS_LINKED,
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
                for name, value in _ROW.items()
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
    func.coalesce(KEPT_TEXTS.limit(1).scalar_subquery(), b"").label("text"),
    InboxDelivery.webhook_id,
    InboxDelivery.body_bytes,
    InboxDelivery.file_count,
    InboxDelivery.user_id,
    InboxDelivery.submission_id.is_not(None).label("was_answered"),
).where(InboxDelivery.id == bindparam("delivery_id"))


async def keep_delivery(
    session: Session,
    entry: Entry,
    *,
    status: int = 200,
    code: str | None = None,
    submission_id: UUID | None = None,
) -> None:
    """Write it with its outcome."""
    row = delivery_row(entry, status=status, code=code, submission_id=submission_id)
    await session.execute(_KEEP, row)


def delivery_row(
    entry: Entry,
    *,
    status: int = 200,
    code: str | None = None,
    submission_id: UUID | None = None,
) -> dict[str, Any]:
    return {
        "delivery_id": entry.id,
        "delivery_route": entry.route,
        "delivery_media_type": entry.media_type,
        "delivery_received_at": entry.received_at,
        "delivery_status": status,
        "delivery_code": code,
        "delivery_digest": entry.digest,
        "delivery_webhook_id": entry.webhook_id,
        "delivery_message": entry.text if entry.keeps_text else None,
        "delivery_body_bytes": entry.body_bytes,
        "delivery_file_count": entry.file_count,
        "delivery_user_id": entry.user_id,
        "delivery_spark_user_id": entry.spark_user_id,
        "delivery_spark_assignment_id": entry.spark_assignment_id,
        "delivery_spark_course_id": entry.spark_course_id,
        "delivery_submission_id": submission_id,
    }


@asynccontextmanager
async def remember_refusal(sessions: Sessions, entry: Entry) -> AsyncIterator[None]:
    """Keep a delivery whose handling fails, with why; not where it may be the database."""
    try:
        yield
    except DATABASE_FAILURES:
        raise
    except Exception as failure:
        status, code = _outcome(failure)
        with suppress(*FAILURES):
            await _keep_refusal(sessions, entry, status=status, code=code)
        raise


async def _keep_refusal(sessions: Sessions, entry: Entry, *, status: int, code: str) -> None:
    row = delivery_row(entry, status=status, code=code)
    said = {
        "subject_hashes": list(entry.subject_hashes),
        "said_at": entry.said_at,
        "turn": turn_of(entry.subject_hashes),
    }
    async with sessions() as session, session.begin():
        await session.execute(_KEEP_REFUSAL, row | said)


def turn_of(subject_hashes: Sequence[bytes]) -> int:
    """The advisory lock of a student: refusals share it, an erasure has it alone."""
    return int.from_bytes(subject_hashes[0][:8], signed=True) if subject_hashes else 0


def _outcome(failure: Exception) -> tuple[int, str]:
    kind = type(failure) if isinstance(failure, ServiceError) else ServiceError
    return kind.status, kind.code


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
        delivery = found.mappings().one_or_none()
    if delivery is None:
        raise NotFoundError
    return Entry(**delivery)
