"""A request to a webhook, as the capabilities read it; its body is not read here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request
from python_multipart.multipart import parse_options_header

from app.api.dependencies import Resources, hold_body
from app.api.described import SIGNATURE_HEADERS
from app.clock import new_id, stopwatch
from app.deliveries.authenticate import TIMESTAMP, SignatureHeaders
from app.deliveries.open import Delivery
from app.errors import FieldInvalidError, MediaTypeUnsupportedError

UTF_8 = ("", "utf-8", "utf8")
OF_FORMS = (*UTF_8, "us-ascii", "iso-8859-1")  # what Java's clients say, whatever the parts hold

DryRun = Annotated[
    bool,
    Query(description="Check everything, list every problem, and keep nothing.", examples=[True]),
]


IDEMPOTENCY_KEY = re.compile(r"[ -~]{1,255}")
KEY_AS_SENT = "^[!-~]([ -~]{0,253}[!-~])?$"  # HTTP takes blanks off the ends of a value

ID_AS_SENT = KEY_AS_SENT.replace("-~", "-\\-/-~")  # nor is a full stop in it

_PARAMETERS = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "minLength": 1, "pattern": pattern, "examples": [example]},
    }
    for name, pattern, description, example in (
        (
            "webhook-id",
            ID_AS_SENT,
            "Standard Webhooks: the message's own id, the same on every retry.",
            "msg_0193b5a27a5c",
        ),
        (
            "webhook-timestamp",
            f"^{TIMESTAMP.pattern}$",
            "Standard Webhooks: when this attempt was signed, in Unix seconds, at most 300 s away.",
            "1795444200",
        ),
        (
            "Idempotency-Key",
            KEY_AS_SENT,
            "For senders that sign with X-Spark-Signature: the same on every retry.",
            "submission-42-essay-1",
        ),
    )
]

# What a webhook reads besides its body; documented here, read by `read_delivery`. As dependencies
# of the route its signatures would be read twice.
WEBHOOK: dict[str, Any] = {
    "security": [{scheme: []} for scheme in SIGNATURE_HEADERS],
    "parameters": _PARAMETERS,
}


@contextmanager
def read_delivery(
    request: Request, opened: Resources, *, now: datetime, takes_forms: bool = False
) -> Iterator[Delivery]:
    """Its bytes are held until the end of the context.

    Raises MediaTypeUnsupportedError, or FieldInvalidError for the Idempotency-Key.
    """

    def header(name: str) -> tuple[str, ...]:
        """White space round a value is no part of it (RFC 9110 section 5.5)."""
        return tuple(value.strip(" \t") for value in request.headers.getlist(name))

    async def count_message() -> None:
        request.state.is_authentic = True  # and so reads its answer, whatever it is (DESIGN R4)
        per_minute = opened.settings.rate_limit_webhook
        await opened.limits.count_success("/spark/webhook", "spark", per_minute=per_minute)

    with hold_body(request) as held:
        yield Delivery(
            route=request["path"],
            body=request.stream(),
            held=held,
            length=_content_length(request),
            content_type=_content_type(request, takes_forms=takes_forms),
            signatures=SignatureHeaders(
                spark=header("x-spark-signature"),
                webhook_id=header("webhook-id"),
                webhook_timestamp=header("webhook-timestamp"),
                webhook_signature=header("webhook-signature"),
            ),
            idempotency_key=_idempotency_key(request),
            now=now,
            request_id=request.state.request_id,
            elapsed=stopwatch(),
            new_id=new_id,
            count_message=count_message,
        )


def _idempotency_key(request: Request) -> str | None:
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not IDEMPOTENCY_KEY.fullmatch(values[0]):
        raise FieldInvalidError(
            name="Idempotency-Key", hint="Send it once, with 1 to 255 printable ASCII characters."
        )
    return values[0]


def _content_length(request: Request) -> int | None:
    """As announced; the HTTP parser has refused what is no number."""
    value = request.headers.get("content-length")
    return None if value is None else int(value)


def _content_type(request: Request, *, takes_forms: bool) -> str:
    """The one Content-Type, if it is one we read. Raises MediaTypeUnsupportedError.

    Parameters that nobody here reads are ignored (RFC 9110 section 8.3.1).
    """
    values = request.headers.getlist("content-type")
    kind, parameters = parse_options_header(values[0] if len(values) == 1 else "")
    charset = parameters.get(b"charset", b"").decode("latin-1").strip().lower()
    is_json = kind == b"application/json" and charset in UTF_8
    is_form = takes_forms and kind == b"multipart/form-data" and charset in OF_FORMS
    encodings = request.headers.getlist("content-encoding")
    is_plain = {encoding.strip().lower() for encoding in encodings} <= {"identity"}
    if not is_plain or not (is_json or is_form):
        form = " or multipart/form-data" if takes_forms else ""
        raise MediaTypeUnsupportedError(
            hint=f"Send application/json in UTF-8{form}, without Content-Encoding."
        )
    request.scope["state"]["kind"] = "json" if is_json else "form"  # for the metric
    return values[0]
