"""What the inbox says of deliveries: what became of them, and whether they can be replayed.

Never the signed text itself: it is a child's work, and read where submissions are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, literal, select

from app.database import Sessions
from app.deliveries.inbox import JSON, KEPT_TEXTS, SUBMISSION_ROUTE
from app.errors import NotFoundError
from app.models import IdempotencyKey, InboxDelivery


@dataclass(frozen=True)
class Kept:
    """A delivery; `replayable` says that it is a submission and nothing of it is missing here."""

    id: UUID
    route: str
    media_type: str
    received_at: datetime
    answered_at: datetime
    replayed_at: datetime | None
    status: int
    code: str | None
    webhook_id: str | None
    body_bytes: int
    file_count: int
    user_id: UUID | None
    spark_user_id: str | None
    spark_assignment_id: str | None
    spark_course_id: str | None
    submission_id: UUID | None
    replayable: bool


@dataclass(frozen=True)
class Wanted:
    """Which deliveries; None means any."""

    spark_user_id: str | None
    spark_assignment_id: str | None
    code: str | None
    status: Literal["success", "refused"] | None


# The text may be kept with another delivery of the same; the files of a form only once its message
# was answered, and the digest of the signed text is always a key of that (DESIGN R1, R9). EXISTS
# would do, but for one page of a mid-sized table it reads and hashes all texts and all keys.
_IS_KEPT = KEPT_TEXTS.with_only_columns(literal(1)).limit(1).scalar_subquery().is_not(None)
_IS_ANSWERED = (
    select(IdempotencyKey.key)
    .where(IdempotencyKey.key == InboxDelivery.digest, IdempotencyKey.response.is_not(None))
    .limit(1)
    .scalar_subquery()
    .is_not(None)
)
_KEPT = select(
    InboxDelivery.id,
    InboxDelivery.route,
    InboxDelivery.media_type,
    InboxDelivery.received_at,
    InboxDelivery.answered_at,
    InboxDelivery.replayed_at,
    InboxDelivery.status,
    InboxDelivery.code,
    InboxDelivery.webhook_id,
    InboxDelivery.body_bytes,
    InboxDelivery.file_count,
    InboxDelivery.user_id,
    InboxDelivery.spark_user_id,
    InboxDelivery.spark_assignment_id,
    InboxDelivery.spark_course_id,
    InboxDelivery.submission_id,
    (
        (InboxDelivery.route == SUBMISSION_ROUTE)
        & _IS_KEPT
        & ((InboxDelivery.media_type == JSON) | _IS_ANSWERED)
    ).label("replayable"),
)
_ONE = _KEPT.where(InboxDelivery.id == bindparam("delivery_id"))


async def describe_delivery(sessions: Sessions, delivery_id: UUID) -> Kept:
    """Raises NotFoundError."""
    async with sessions() as session, session.begin():
        found = await session.execute(_ONE, {"delivery_id": delivery_id})
        delivery = found.mappings().one_or_none()
    if delivery is None:
        raise NotFoundError
    return Kept(**delivery)


async def list_deliveries(
    sessions: Sessions, wanted: Wanted, before: UUID | None, limit: int
) -> Sequence[Kept]:
    """The newest first, by their ids, which are in the order of time; older than `before`."""
    async with sessions() as session, session.begin():
        found = await session.execute(newest_deliveries(wanted, before, limit))
        return [Kept(**delivery) for delivery in found.mappings()]


def newest_deliveries(wanted: Wanted, before: UUID | None, limit: int) -> Select[*tuple[Any, ...]]:
    """Built for what is asked: with one statement for all filters no index could be chosen."""
    conditions = _conditions(wanted, before)
    return _KEPT.where(*conditions).order_by(InboxDelivery.id.desc()).limit(limit)


def _conditions(wanted: Wanted, before: UUID | None) -> Iterator[ColumnElement[bool]]:
    if wanted.spark_user_id is not None:
        yield InboxDelivery.spark_user_id == wanted.spark_user_id
    if wanted.spark_assignment_id is not None:
        yield InboxDelivery.spark_assignment_id == wanted.spark_assignment_id
    if wanted.code is not None:
        yield InboxDelivery.code == wanted.code
    if wanted.status is not None:
        is_success = InboxDelivery.code.is_(None)
        yield is_success if wanted.status == "success" else ~is_success
    if before is not None:
        yield InboxDelivery.id < before
