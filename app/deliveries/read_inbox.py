"""What the inbox says of deliveries: what became of them, and whether they can be replayed.

Never the signed text itself: it is a child's work, and read where submissions are.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
)
from typing_extensions import override

from app import fields
from app.activity.audit import Action, record_audit, record_audit_of_many
from app.clock import first_id
from app.database import Session, Sessions, matching
from app.deliveries.inbox import JSON, KEPT_TEXTS, SUBMISSION_ROUTE, Entry, get_delivery
from app.errors import NotFoundError
from app.jobs.try_early import MISSING, outdated_sql, waits_sql
from app.models import IdempotencyKey, InboxDelivery

Outcome = Literal["success", "refused"]
OUTCOMES: tuple[Outcome | None, ...] = (None, "refused", "success")
MOST_COUNTED = 1000
LONGEST = timedelta(days=3)  # from a delivery's first byte to its id: 210 MiB at 1 KiB/s


class DeliveryPeriod(fields.ContractModel):
    """Whose deliveries, for what, and when they came; None means any."""

    spark_user_id: fields.OfSparkUser = None
    spark_assignment_id: fields.OfSparkAssignment = None
    received_from: fields.FirstMoment = Field(
        None, description="ISO 8601 date or moment, UTC unless it says; itself included."
    )
    received_to: fields.LastMoment = Field(
        None, description="As `received_from`; itself included, a date with its whole day."
    )

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        named = self.model_dump(include={"spark_user_id", "spark_assignment_id"})
        yield from matching(InboxDelivery, named)
        # The ids say which part of the list to look at; they were made once the signature was
        # found.
        if self.received_from is not None:
            yield InboxDelivery.received_at >= self.received_from
            yield InboxDelivery.id >= first_id(self.received_from)
        if self.received_to is not None:
            yield InboxDelivery.received_at <= self.received_to
            yield InboxDelivery.id < first_id(self.received_to + LONGEST)


class DeliveryFilter(DeliveryPeriod):
    """Which deliveries; None means any."""

    code: fields.Code | None = Field(
        None, description="Refused with this code.", examples=["assignment_not_found"]
    )
    outcome: Outcome | None = Field(
        None, description="Only deliveries with this outcome.", examples=["refused"]
    )
    status: Outcome | None = Field(
        None,
        description="The old name of `outcome`.",
        examples=["refused"],
        json_schema_extra={"deprecated": True},
    )
    request_id: fields.OfRequest = None
    webhook_id: fields.SparkId | None = Field(
        None,
        title="Webhook id",
        description="Signed by Standard Webhooks under this `webhook-id`.",
        examples=["msg_2Lh9KRb0pzN4LePd3XiA4v12Axj"],
    )

    @override
    def conditions(self) -> Iterator[ColumnElement[bool]]:
        yield from super().conditions()
        named = self.model_dump(include={"code", "request_id", "webhook_id"})
        yield from matching(InboxDelivery, named)
        for outcome in {self.outcome, self.status} - {None}:
            yield _IS_SUCCESS if outcome == "success" else ~_IS_SUCCESS


class DeliveryAnswer(fields.ContractModel):
    """An authentic request of Spark, and what became of it."""

    id: fields.Id = Field(title="Delivery id", description="The delivery.")
    route: str = Field(description="Where it came.", examples=["/spark/webhook/submission"])
    media_type: str = Field(description="Of its body.", examples=["application/json"])
    received_at: fields.Moment = Field(description="When it came.")
    answered_at: fields.Moment = Field(description="When its first outcome was kept.")
    replayed_at: fields.NullableMoment = Field(
        description="When it was last processed again; then the outcome is that of the replay."
    )
    outcome: Outcome = Field(description="Whether it was answered 200.", examples=["success"])
    http_status: int = Field(
        ge=200, le=599, title="HTTP status", description="Of its outcome.", examples=[200]
    )
    status: int = Field(
        ge=200,
        le=599,
        description="The old name of `http_status`.",
        examples=[200],
        json_schema_extra={"deprecated": True},
    )
    code: fields.ProblemCode | None = Field(
        description="Why it was refused; null for a success.",
        examples=["assignment_not_found"],
    )
    request_id: str | None = Field(
        description="As its own answer said; null where that was not kept yet. A replay keeps it.",
        examples=[fields.UUID_EXAMPLE],
    )
    webhook_id: str | None = Field(
        description="Its `webhook-id`, if it was signed by Standard Webhooks.",
        examples=["msg_2Lh9KRb0pzN4LePd3XiA4v12Axj"],
    )
    body_bytes: int = Field(ge=0, description="Of its signed text and its files.", examples=[214])
    file_count: int = Field(ge=0, description="Files that came with it.", examples=[0])
    user_id: fields.NullableId = Field(description="The student, where that was settled.")
    spark_user_id: fields.SparkUserId[str | None] = Field(
        description="As it says; null if it could not be read."
    )
    spark_assignment_id: fields.SparkAssignmentId[str | None] = Field(description="As it says.")
    spark_course_id: fields.SparkCourseId[str | None] = Field(description="As it says.")
    submission_id: fields.NullableId = Field(
        description="The handing-in it is part of; null while it was only refused."
    )
    replayable: bool = Field(
        description=(
            "It is a submission, and its text is kept, and its files if it had any. If not, Spark"
            " must send again."
        ),
        examples=[True],
    )
    waiting_for: Literal["student", "course"] | None = Field(
        description=(
            "What it came before: once that is there it is processed again by itself, unless a"
            " newer one of this student and assignment was taken. Null where it was taken, is wrong"
            " otherwise, or Spark must send it again, as a form with files."
        ),
        examples=["course"],
    )


class DeliveryCount(fields.ContractModel):
    """The deliveries of a period that have one outcome."""

    code: fields.ProblemCode | None = Field(
        description="Why they were refused; null for those that succeeded.",
        examples=["assignment_not_found"],
    )
    deliveries: int = Field(ge=1, description="How many.", examples=[300])
    first_received_at: fields.Moment = Field(description="When the first of them came.")
    last_received_at: fields.Moment = Field(description="When the last of them came.")


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
REPLAYABLE = (
    (InboxDelivery.route == SUBMISSION_ROUTE)
    & (InboxDelivery.message.is_not(None) | _IS_KEPT)
    & ((InboxDelivery.media_type == JSON) | _IS_ANSWERED)
)
_IS_SUCCESS = InboxDelivery.code.is_(None)
_ROW = "spark.deliveries"
IS_OUTDATED = literal_column(outdated_sql(_ROW), Boolean)
_WAITING_FOR = case(
    (literal_column(waits_sql(_ROW), Boolean), case(MISSING, value=InboxDelivery.code))
)
_FOUND: dict[str, ColumnElement[Any]] = {
    **InboxDelivery.__table__.c,
    "replayable": REPLAYABLE,
    "waiting_for": _WAITING_FOR,
    "outcome": case((_IS_SUCCESS, "success"), else_="refused"),
    "http_status": InboxDelivery.__table__.c.status,
}
_DELIVERIES = select(*(_FOUND[name].label(name) for name in DeliveryAnswer.model_fields))
BY_CODE = (
    select(
        InboxDelivery.code,
        func.count().label("deliveries"),
        func.min(InboxDelivery.received_at).label("first_received_at"),
        func.max(InboxDelivery.received_at).label("last_received_at"),
    )
    .group_by(InboxDelivery.code)
    .order_by(func.count().desc(), InboxDelivery.code)
)
COUNTS = BY_CODE.where(
    InboxDelivery.received_at.between(bindparam("received_from"), bindparam("received_to"))
)
_ONE = _DELIVERIES.where(InboxDelivery.id == bindparam("delivery_id"))


async def read_delivery(sessions: Sessions, delivery_id: UUID, *, caller: str) -> DeliveryAnswer:
    """Audited. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        delivery = await find_delivery(session, delivery_id)
        user_id, about = delivery.user_id, str(delivery_id)
        await record_audit(session, caller, "sensitive_read", user_id=user_id, delivery_id=about)
        return delivery


async def open_kept(
    sessions: Sessions, delivery_id: UUID, *, caller: str, action: Action = "sensitive_read"
) -> tuple[DeliveryAnswer, Entry]:
    """With what arrived. Audited. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        delivery = await find_delivery(session, delivery_id)
        entry = await get_delivery(session, delivery_id)
        user_id, about = delivery.user_id, str(delivery_id)
        await record_audit(session, caller, action, user_id=user_id, delivery_id=about)
        return delivery, entry


async def find_delivery(session: Session, delivery_id: UUID) -> DeliveryAnswer:
    """Raises NotFoundError."""
    found = await session.execute(_ONE, {"delivery_id": delivery_id})
    delivery = found.mappings().one_or_none()
    if delivery is None:
        raise NotFoundError
    return DeliveryAnswer(**delivery)


async def list_deliveries(
    sessions: Sessions, filters: DeliveryFilter, before: UUID | None, limit: int, *, caller: str
) -> list[DeliveryAnswer]:
    """The newest first, by their ids, which are in the order of time; older than `before`. One more
    than `limit` tells that there are more; those before it are audited as shown.
    """
    async with sessions() as session, session.begin():
        found = await session.execute(newest_deliveries(filters, before, limit + 1))
        listed = [DeliveryAnswer(**delivery) for delivery in found.mappings()]
        whose = [each.user_id for each in listed[:limit] if each.user_id or each.spark_user_id]
        await record_audit_of_many(session, caller, "sensitive_read", whose, what="deliveries")
        return listed


async def count_deliveries(
    sessions: Sessions, *, received_from: datetime, received_to: datetime
) -> list[DeliveryCount]:
    """The most frequent first. They tell of nobody, so they are not audited."""
    period = {"received_from": received_from, "received_to": received_to}
    async with sessions() as session, session.begin():
        found = await session.execute(COUNTS, period)
        return [DeliveryCount(**count) for count in found.mappings()]


async def count_outcomes(sessions: Sessions, filters: DeliveryFilter) -> dict[Outcome | None, int]:
    """How many fit by each outcome, and by any: up to MOST_COUNTED + 1, so that it costs the same
    however many there are. Not audited, as they tell of nobody.
    """
    async with sessions() as session, session.begin():
        found = await session.execute(outcome_counts(filters))
        return dict(zip(OUTCOMES, found.one(), strict=True))


def outcome_counts(filters: DeliveryFilter) -> Select[*tuple[Any, ...]]:
    """A column for each of OUTCOMES."""
    fitting = (filters.model_copy(update={"outcome": outcome}) for outcome in OUTCOMES)
    found = (newest_deliveries(each, None, MOST_COUNTED + 1) for each in fitting)
    listed = (each.with_only_columns(InboxDelivery.id).subquery() for each in found)
    return select(*(select(func.count()).select_from(rows).scalar_subquery() for rows in listed))


def newest_deliveries(
    filters: DeliveryPeriod, before: UUID | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Built for what is asked: with one statement for all filters no index could be chosen."""
    older = [] if before is None else [InboxDelivery.id < before]
    return (
        _DELIVERIES.where(*filters.conditions(), *older)
        .order_by(InboxDelivery.id.desc())
        .limit(limit)
    )
