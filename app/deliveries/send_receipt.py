"""A receipt tells Spark that an outcome is not what it was answered (DESIGN R48)."""

import hashlib
from datetime import timedelta
from typing import Literal
from uuid import UUID

import structlog
from pydantic import Field
from sqlalchemy import select

from app import fields
from app.adoption.people import DELETION_SQL
from app.database import Session, Sessions, Statement
from app.deliveries.inbox import SUBMISSION_ROUTE
from app.deliveries.read_inbox import DeliveryAnswer, find_delivery
from app.errors import NotFoundError
from app.jobs.call_spark import SPARK, SparkApi
from app.jobs.enqueue import enqueue
from app.jobs.lease import Lease, finish
from app.jobs.settle import settle_alone
from app.models import PLATFORM, Download
from app.settings import Settings

RECEIPT = "receipt"  # as a kind of job; its key is the delivery
RECEIPTS_PATH = "/receipts"
KEY_DIGITS = 16  # of the body's SHA-256

State = Literal["recorded", "waiting", "partly", "refused"]

log = structlog.get_logger()


class ReceiptFile(fields.ContractModel):
    """A file that came by its address."""

    name: str = Field(description="As it was sent.", examples=["report.pdf"])
    state: Literal["pending", "stored", "dead"] = Field(
        description="`dead` was given up.", examples=["dead"]
    )
    code: str | None = Field(
        description="Why it is not stored.", examples=["file_type_not_allowed"]
    )


class ReceiptMessage(fields.ContractModel):
    """What has become of homework since it was answered."""

    submission_id: fields.NullableId = Field(description="Null while it is not recorded.")
    webhook_id: str | None = Field(
        description="Yours, of the delivery; null if it had none.",
        examples=["msg_2Lh9KRb0pzN4LePd3XiA4v12Axj"],
    )
    spark_user_id: fields.SparkUserId[str] = Field(description="Whose.")
    spark_assignment_id: fields.SparkAssignmentId[str] = Field(description="Of what.")
    state: State = Field(
        description=(
            "`recorded`: as if it had been answered 200, with all files; `waiting`: it is, or some"
            " files are, still tried; `partly`: recorded, and some files were given up; `refused`:"
            " it is not tried again."
        ),
        examples=["partly"],
    )
    files: list[ReceiptFile] = Field(description="Those that came by their addresses.")
    kept_until: fields.NullableMoment = Field(
        description="Of what is not recorded: until then it can still be, without sending again.",
        examples=[None],
    )


# Whose account is being erased, by whichever of the two names.
_IS_LEAVING = Statement(
    f"""
    select from users
    where {DELETION_SQL} <> 'none' and (id = :user_id::uuid or id in (
      select user_id from lms_integrations
      where lms_platform = '{PLATFORM}' and lms_user_id = :spark_user_id::text))
    """  # noqa: S608 - of our own words
)

_BECAME = Statement(
    """
    select id from spark.deliveries where submission_id = :submission_id::uuid order by id limit 1
    """
)
_FILES = select(Download.filename.label("name"), Download.state, Download.code).order_by(
    Download.position
)


def sends_receipts(settings: Settings) -> bool:
    return settings.spark_receipts and settings.spark_api_url is not None


async def order_receipt(
    session: Session, settings: Settings, delivery_id: UUID, *, user_id: UUID | None
) -> None:
    """In the transaction that changes the outcome. One for a delivery, and it tells the newest."""
    if sends_receipts(settings):
        await enqueue(session, RECEIPT, str(delivery_id), user_id=user_id, target=SPARK)


async def order_receipt_of_file(
    session: Session, settings: Settings, submission_id: UUID, *, user_id: UUID
) -> None:
    """Of the delivery that became the submission, as long as it is kept."""
    if sends_receipts(settings):
        for delivery in await _BECAME.send(session, {"submission_id": submission_id}):
            await order_receipt(session, settings, delivery["id"], user_id=user_id)


async def send_receipt(
    sessions: Sessions, settings: Settings, spark_api: SparkApi, lease: Lease
) -> None:
    """Of what is not kept any more, or whose student is gone, nothing is sent."""
    try:
        message_id, body = await write_receipt(sessions, settings, UUID(lease.key))
    except NotFoundError:
        async with sessions() as session, session.begin():
            await finish(session, lease)
    else:
        call = await spark_api.call("POST", RECEIPTS_PATH, message_id, body)
        ended = await settle_alone(sessions, lease, call.outcome)
        log.info("receipt_sent", delivery_id=lease.key, code=call.outcome.code, state=ended)


async def write_receipt(
    sessions: Sessions, settings: Settings, delivery_id: UUID
) -> tuple[str, bytes]:
    """The key and the body, of a delivery as it stands; what is the same has the same key. Raises
    NotFoundError.
    """
    async with sessions() as session, session.begin():
        delivery = await find_delivery(session, delivery_id)
        if await _IS_LEAVING.send(session, dict(delivery)):
            raise NotFoundError
        of_it = _FILES.where(Download.submission_id == delivery.submission_id)
        files = [ReceiptFile(**row) for row in (await session.execute(of_it)).mappings()]
    body = _message_of(delivery, files, settings).model_dump_json().encode()
    return f"{delivery_id}.{hashlib.sha256(body).hexdigest()[:KEY_DIGITS]}", body


def _message_of(
    delivery: DeliveryAnswer, files: list[ReceiptFile], settings: Settings
) -> ReceiptMessage:
    """Raises NotFoundError, if it is of nobody or of no homework."""
    student, assignment = delivery.spark_user_id, delivery.spark_assignment_id
    if delivery.route != SUBMISSION_ROUTE or student is None or assignment is None:
        raise NotFoundError
    kept = timedelta(days=settings.inbox_retention_days)
    return ReceiptMessage(
        submission_id=delivery.submission_id,
        webhook_id=delivery.webhook_id,
        spark_user_id=student,
        spark_assignment_id=assignment,
        state=_state_of(delivery, {file.state for file in files}),
        files=files,
        kept_until=None if delivery.code is None else delivery.received_at + kept,
    )


def _state_of(delivery: DeliveryAnswer, files: set[str]) -> State:
    if delivery.code is not None:
        return "waiting" if delivery.waiting_for else "refused"
    if "pending" in files:
        return "waiting"
    return "partly" if "dead" in files else "recorded"
