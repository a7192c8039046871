"""What Spark receives from us, for the contract: nothing here is ever called (DESIGN R47, R48)."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Security
from fastapi.security import HTTPBearer
from pydantic import Field
from starlette.responses import Response

from app.deliveries.send_receipt import ReceiptMessage
from app.fields import UUID_EXAMPLE, ContractModel
from app.grades.send_grade import GradeMessage

MESSAGE_ID = f"{UUID_EXAMPLE}.3"

router = APIRouter(tags=["received"], default_response_class=Response)

_KEY = Security(
    HTTPBearer(
        scheme_name="sparkApiKey",
        description="The key that Spark gave us: `Authorization: Bearer {SPARK_API_KEY}`.",
    )
)


class PingHeaders(ContractModel):
    """With each call."""

    webhook_id: str = Field(description="Names the message.", examples=[MESSAGE_ID])
    webhook_timestamp: int = Field(
        description="Seconds since 1970, of this attempt: refuse more than 5 minutes off.",
        examples=[1795444200],
    )
    webhook_signature: str = Field(
        description=(
            "Standard Webhooks: `v1,` and the base64 HMAC-SHA256 of"
            " `{webhook-id}.{webhook-timestamp}.` and the raw body, under SPARK_OUTBOUND_SECRET as"
            " literal text. While the secret is changed two, with a space between: one that fits is"
            " enough. Missing only where no secret was agreed on."
        ),
        examples=["v1,ZYKkLIFD54DHschWykUeCyhLeuGjH4uBESwVz7W317o="],
    )
    x_request_id: str = Field(
        description="Names this attempt, for questions.", examples=[UUID_EXAMPLE]
    )


class MessageHeaders(PingHeaders):
    """With each message, too."""

    idempotency_key: str = Field(
        description="As `webhook-id`: the same in every attempt. Act on it once.",
        examples=[MESSAGE_ID],
    )


Message = Annotated[MessageHeaders, Header()]
_REFUSED = {
    "description": "Key, signature or address is wrong. Everything waits, nothing is given up, and"
    " one message is tried every 15 minutes."
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Taken, as by any 2xx. What the body says is not read."},
    "3XX": _REFUSED,
    401: _REFUSED,
    403: _REFUSED,
    "4XX": {"description": "Given up, until a person sends it again."},
    "5XX": {
        "description": "Tried again, as after 408, 425, 429, or no answer within 15 s: after 5 s, 5"
        " and 30 min, 2, 5, 10 and 10 h, not before `Retry-After`. Then it is given up."
    },
}


@router.post(
    "grade",
    operation_id="receiveGrade",
    summary="Receive a grade",
    description=(
        "`POST {SPARK_API_URL}/grades`, when somebody scored work. Keep the grade with the newest"
        " `scored_at` of a student, course and assignment; answer an older one 409."
    ),
    responses={409: {"description": "Spark has a newer score: it is done."}, **_ANSWERS},
    dependencies=[_KEY],
)
async def receive_grade(headers: Message, body: GradeMessage) -> None: ...


@router.post(
    "receipt",
    operation_id="receiveReceipt",
    summary="Receive a receipt",
    description=(
        "`POST {SPARK_API_URL}/receipts`, when homework has come to something else than it was"
        " answered. Sent only where Spark asked for it (SPARK_RECEIPTS)."
    ),
    responses=_ANSWERS,
    dependencies=[_KEY],
)
async def receive_receipt(headers: Message, body: ReceiptMessage) -> None: ...


@router.get(
    "ping",
    operation_id="receivePing",
    summary="Be asked whether key and signature are right",
    description=(
        "`GET {SPARK_API_URL}/ping`, when an operator wants to know. The signature is of an empty"
        " body. It may be missing: 404 tells that Spark was reached, and no more."
    ),
    responses={
        200: {"description": "Key and signature are right: what waits is sent."},
        401: {"description": "Key or signature is wrong, as by 403."},
    },
    dependencies=[_KEY],
)
async def receive_ping(headers: Annotated[PingHeaders, Header()]) -> None: ...
