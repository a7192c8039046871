"""The sender's window: what became of its messages, one of them again, and whether it signs right.

A signature covers the body alone: so a question is a POST, and its body says all that it asks.
"""

from functools import partial
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import JSONResponse, Response

from app import fields
from app.api.dependencies import Now, Opened, RequestId
from app.api.described import json_body
from app.api.paging import ListPage, PageQuery, Pages
from app.api.problem_groups import REPLAY_PROBLEMS, WEBHOOK_PROBLEMS
from app.api.problems import problems
from app.api.spark.delivery import WEBHOOK, DryRun, read_delivery
from app.api.spark.dry_run import DryRunAnswer, describe_rehearsal
from app.api.submission_answer import REPLAYED, SubmissionAnswer, answer_submission
from app.clock import new_id
from app.deliveries.ask import (
    CALLER,
    OwnDelivery,
    OwnDeliveryFilter,
    Question,
    list_own,
    open_question,
)
from app.deliveries.open import open_json
from app.deliveries.payload import beside_if_large, read_payload
from app.errors import CredentialsInvalidError, ScopeMissingError, ServiceError
from app.submissions.rehearse import rehearse_replay
from app.submissions.replay import replay_delivery

router = APIRouter(prefix="/spark/webhook", tags=["deliveries"])

_SIGNED = WEBHOOK | {
    "parameters": [each for each in WEBHOOK["parameters"] if each["name"] != "Idempotency-Key"]
}
_OF_KEYS = (CredentialsInvalidError, ScopeMissingError)
_REPLAY = [kind for kind in REPLAY_PROBLEMS if kind not in _OF_KEYS]


class DeliveryQuestion(OwnDeliveryFilter, PageQuery, Question):
    """Which of your messages; what you leave out is any."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "spark_user_id": "42",
                    "spark_assignment_id": "test_assignment_001",
                    "sent_at": fields.MOMENT_EXAMPLE,
                }
            ]
        }
    )


class OwnDeliveryList(ListPage[OwnDelivery]):
    """A page of your messages, newest first."""


class ReplayRequest(Question):
    """Which delivery once more."""

    delivery_id: fields.Id = Field(title="Delivery id", description="Its `id` in the list.")


class PingAnswer(fields.ContractModel):
    """Your signature is right."""

    scheme: Literal["v0", "v1"] = Field(
        description="`v1` by Standard Webhooks, `v0` by X-Spark-Signature.", examples=["v1"]
    )
    key: Literal["current", "previous"] = Field(
        description="`previous`: you still sign with the secret before the last rotation.",
        examples=["current"],
    )
    clock_skew_seconds: int | None = Field(
        description="How far the time that you signed or sent lies behind ours; negative: ahead.",
        examples=[0],
    )
    bytes: int = Field(description="Of the body that was checked.", examples=[34])
    sha256: str = Field(description="Its SHA-256, in hexadecimal.", examples=["0" * 64])
    received_at: fields.Moment = Field(description="When it came.")
    request_id: fields.RequestId


@router.post(
    "/deliveries",
    name="listOwnDeliveries",
    summary="Ask what became of your messages",
    description=(
        "Homework, courses and rosters that came with a right signature, newest first, as long as"
        " they are kept: 30 days by default. Signed like a submission. Names and texts are not in"
        " it. Send `next_cursor` as `cursor`, with the same filters, for the next page."
    ),
    response_model=OwnDeliveryList,
    openapi_extra={**_SIGNED, **json_body(DeliveryQuestion)},
    responses=problems(*WEBHOOK_PROBLEMS, ServiceError),
)
async def ask(request: Request, opened: Opened, now: Now, pages: Pages) -> Response:
    with read_delivery(request, opened, now=now) as delivery:
        query, _ = await open_question(opened.settings, delivery, DeliveryQuestion)
    page = OwnDeliveryList(**await pages.read(query, partial(list_own, opened.sessions, query)))
    return JSONResponse(page.model_dump(mode="json"))


@router.post(
    "/deliveries/replay",
    name="replayOwnDelivery",
    summary="Have a message processed again",
    description=(
        "A submission as it was kept, however late, for example after its course was synced: where"
        " `replayable` says so. Answers as the submission would; what was recorded before stays, so"
        " repeating it changes nothing. A form is only answered again, and has no dry run."
    ),
    response_model=SubmissionAnswer | DryRunAnswer,
    openapi_extra={**_SIGNED, **json_body(ReplayRequest)},
    responses=REPLAYED | problems(*WEBHOOK_PROBLEMS, *_REPLAY),
)
async def replay(
    request: Request, opened: Opened, now: Now, request_id: RequestId, *, dry_run: DryRun = False
) -> Response:
    with read_delivery(request, opened, now=now) as delivery:
        asked, _ = await open_question(opened.settings, delivery, ReplayRequest)
    if dry_run:
        rehearsal = await rehearse_replay(opened.intake, asked.delivery_id, caller=CALLER, now=now)
        return describe_rehearsal(rehearsal, request_id)
    recorded = await replay_delivery(
        opened.intake, asked.delivery_id, caller=CALLER, now=now, new_id=new_id
    )
    return answer_submission(recorded, request_id)


@router.post(
    "/ping",
    name="ping",
    summary="Try your signature",
    description="Any JSON object. Nothing is kept. Tells which secret you sign with.",
    response_model=PingAnswer,
    openapi_extra={**_SIGNED, **json_body(Question)},
    responses=problems(*WEBHOOK_PROBLEMS, ServiceError),
)
async def ping(request: Request, opened: Opened, now: Now, request_id: RequestId) -> Response:
    with read_delivery(request, opened, now=now) as delivery:
        entry = await open_json(opened.settings, delivery)
        entry.attempt.check_fresh(now=now)
        said = await beside_if_large(read_payload, entry.text, Question)
    sent_at = said.sent_at.timestamp() if said.sent_at else None
    signed_at = entry.attempt.attempted_at or sent_at
    answer = PingAnswer(
        scheme="v1" if entry.attempt.has_own_time else "v0",
        key="previous" if entry.attempt.by_previous else "current",
        clock_skew_seconds=None if signed_at is None else round(now.timestamp() - signed_at),
        received_at=now,
        request_id=request_id,
        bytes=len(entry.text),
        sha256=entry.digest.hex(),
    )
    return JSONResponse(answer.model_dump(mode="json"))
