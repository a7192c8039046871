"""What the sender itself asks, signed as all that it sends: what became of its own messages.

The answers hold ids and outcomes, never a name or a text. What asks is not kept in the inbox.
"""

from collections.abc import Iterator
from typing import Literal, TypeVar
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement
from typing_extensions import override

from app import fields
from app.activity.audit import record_audit_of_many
from app.database import Sessions
from app.deliveries.authenticate import check_said_time
from app.deliveries.inbox import Entry
from app.deliveries.open import Delivery, open_json
from app.deliveries.payload import MomentText, beside_if_large, read_payload
from app.deliveries.read_inbox import DeliveryPeriod, newest_deliveries
from app.errors import HINTS, FieldMissingError
from app.models import InboxDelivery, SubmissionRevision
from app.settings import Settings

CALLER = "spark"  # in the audit log
MAX_IDS = 100


class Question(fields.ContractModel):
    """`sent_at` may be left out where the attempt is signed with a time of its own."""

    sent_at: MomentText | None = Field(
        None,
        description="When you ask, at most 5 minutes away; needed with X-Spark-Signature.",
        examples=[fields.MOMENT_EXAMPLE],
    )


class OwnDeliveryFilter(DeliveryPeriod):
    """Which deliveries; None means any."""

    webhook_ids: list[fields.SparkId] | None = Field(
        None,
        min_length=1,
        max_length=MAX_IDS,
        description="Signed by Standard Webhooks under one of these.",
        examples=[["msg_0193b5a27a5c"]],
    )

    @override
    def conditions(self) -> Iterator[ColumnElement[bool]]:
        yield from super().conditions()
        if self.webhook_ids is not None:
            yield InboxDelivery.webhook_id.in_(self.webhook_ids)


class OwnDelivery(fields.ContractModel):
    """A message that you sent, and what became of it."""

    id: fields.Id = Field(title="Delivery id", description="Of this attempt.")
    route: str = Field(description="Where it came.", examples=["/spark/webhook/submission"])
    received_at: fields.Moment = Field(description="When it came.")
    replayed_at: fields.NullableMoment = Field(
        description="When it was last processed again; then the outcome is that of the replay."
    )
    http_status: int = Field(
        ge=200, le=599, title="HTTP status", description="Of its outcome.", examples=[200]
    )
    code: fields.ProblemCode | None = Field(
        description="Why it was refused; null for a success.", examples=["assignment_not_found"]
    )
    hint: str | None = Field(
        description="What to do about the code.", examples=["Sync the course first."]
    )
    request_id: str | None = Field(
        description="As its own answer said; null where that was not kept yet.",
        examples=[fields.UUID_EXAMPLE],
    )
    webhook_id: str | None = Field(
        description="Its `webhook-id`, if it had one.", examples=["msg_0193b5a27a5c"]
    )
    spark_user_id: fields.SparkUserId[str | None] = Field(
        description="As it says; null if it could not be read."
    )
    spark_assignment_id: fields.SparkAssignmentId[str | None] = Field(description="As it says.")
    spark_course_id: fields.SparkCourseId[str | None] = Field(description="As it says.")
    completion_id: fields.NullableId = Field(description="As in the answer to homework.")
    revision: int | None = Field(description="Which one of the completion it is.", examples=[1])
    replayable: bool = Field(
        description="Whether it can be processed again as it was kept. If not, send it again.",
        examples=[True],
    )
    waiting_for: Literal["student", "course"] | None = Field(
        description="What it came before: it is processed again by itself once that is there.",
        examples=["course"],
    )


Asked = TypeVar("Asked", bound=Question)


async def open_question(
    settings: Settings, delivery: Delivery, model: type[Asked]
) -> tuple[Asked, Entry]:
    """Without a time whoever got hold of a question could ask it for ever.

    Raises what `open_json` and `read_payload` raise, TimestampTooOldError, TimestampInFutureError.
    """
    entry = await open_json(settings, delivery)
    attempt = entry.attempt
    attempt.check_fresh(now=delivery.now)
    asked = await beside_if_large(read_payload, entry.text, model)
    if asked.sent_at is not None:
        own = attempt.has_own_time
        check_said_time(asked.sent_at, name="sent_at", has_own_time=own, now=delivery.now)
    elif not attempt.has_own_time:
        raise FieldMissingError(
            name="sent_at", hint="Say when you ask, or sign by Standard Webhooks."
        )
    return asked, entry


async def list_own(
    sessions: Sessions, filters: OwnDeliveryFilter, before: UUID | None, limit: int
) -> list[OwnDelivery]:
    """As `list_deliveries`; audited."""
    found = (
        newest_deliveries(filters, before, limit + 1)
        .add_columns(SubmissionRevision.completion_id, SubmissionRevision.revision)
        .outerjoin_from(
            InboxDelivery,
            SubmissionRevision,
            SubmissionRevision.id == InboxDelivery.submission_id,
        )
    )
    async with sessions() as session, session.begin():
        rows = [*(await session.execute(found)).mappings()]
        whose = [row["user_id"] for row in rows[:limit] if row["user_id"] or row["spark_user_id"]]
        await record_audit_of_many(session, CALLER, "sensitive_read", whose, what="deliveries")
    named = OwnDelivery.model_fields.keys() - {"hint"}
    return [
        OwnDelivery(hint=HINTS.get(row["code"]), **{name: row[name] for name in named})
        for row in rows
    ]
