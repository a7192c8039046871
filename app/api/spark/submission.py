"""The submission webhook: hand the request to `submissions.receive`, answer what it recorded."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Security
from fastapi.security import APIKeyHeader
from starlette.responses import JSONResponse, Response

from app import metrics
from app.api.dependencies import Now, Opened, RequestId
from app.api.problems import problems
from app.api.spark.schemas import SubmissionAnswer
from app.clock import new_id
from app.errors import (
    AccountInactiveError,
    AssignmentAmbiguousError,
    AssignmentNotFoundError,
    BodyTimeoutError,
    BodyTooLargeError,
    ContentMissingError,
    DatabaseUnavailableError,
    FieldInvalidError,
    FieldMissingError,
    FileExpandsTooLargeError,
    FileTooLargeError,
    FileTypeNotAllowedError,
    IdempotencyConflictError,
    JsonInvalidError,
    MediaTypeUnsupportedError,
    MetadataDuplicateError,
    MetadataMissingError,
    MultipartInvalidError,
    MultipartTruncatedError,
    OverloadedError,
    RateLimitedError,
    RequestStillRunningError,
    SignatureMismatchError,
    SignatureMissingError,
    StorageUnavailableError,
    StudentNotFoundError,
    SubmissionFailedError,
    TimestampInFutureError,
    TimestampTooOldError,
    TooManyFilesError,
    TotalTooLargeError,
    UrlNotAllowedError,
    WebhookNotConfiguredError,
)
from app.submissions.message import SubmissionPayload
from app.submissions.receive import Delivery, receive_submission

router = APIRouter(tags=["submission"])

DESCRIPTION = """\
Send JSON, or multipart/form-data with the same object as text in a field named `metadata` and any
number of file parts, in any order and under any names.

Sign exactly the bytes that are sent: the whole JSON body, or the value of `metadata`. Send the
lower-case hexadecimal HMAC-SHA256 under the webhook secret (its literal text) in
`X-Spark-Signature`.

The same content again is a duplicate and changes nothing; other content for the same assignment is
a new revision under the same `completion_id`. Any answer but 2xx means that nothing was kept:
after 408, 409, 429 and 5xx send it again (with a fresh `submitted_at` when 5 minutes have passed),
after another 4xx change the request first."""

signature_header = APIKeyHeader(
    name="X-Spark-Signature",
    scheme_name="sparkSignature",
    description=(
        "Lower-case hexadecimal HMAC-SHA256 of the raw JSON body, or of the raw bytes of the"
        " `metadata` field, under the webhook secret as literal text."
    ),
    auto_error=False,
)


def _form_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["metadata"],
        "properties": {
            "metadata": SubmissionPayload.model_json_schema()
            | {"description": "The signed JSON object, as a text field without a file name."},
            "file": {
                "type": "array",
                "title": "Files",
                "description": (
                    "At most 20 of at most 50 MiB, 200 MiB together, under any field names:"
                    " JPEG, PNG, GIF, WebP, HEIC, MP4, QuickTime, AVI, PDF, DOC, DOCX, plain text."
                ),
                "items": {"type": "string", "format": "binary"},
            },
        },
    }


REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": SubmissionPayload.model_json_schema()},
        "multipart/form-data": {
            "schema": _form_schema(),
            "encoding": {
                "metadata": {"contentType": "application/json"},
                "file": {"contentType": "application/octet-stream"},
            },
        },
    },
}


@router.post(
    "/spark/webhook/submission",
    name="submit",
    summary="Hand in homework",
    description=DESCRIPTION,
    response_model=SubmissionAnswer,
    dependencies=[Security(signature_header)],
    openapi_extra={"requestBody": REQUEST_BODY},
    responses=problems(
        SignatureMissingError,
        SignatureMismatchError,
        JsonInvalidError,
        FieldMissingError,
        FieldInvalidError,
        TimestampTooOldError,
        TimestampInFutureError,
        ContentMissingError,
        UrlNotAllowedError,
        MetadataMissingError,
        MetadataDuplicateError,
        MultipartInvalidError,
        MultipartTruncatedError,
        TooManyFilesError,
        FileTypeNotAllowedError,
        AssignmentNotFoundError,
        AssignmentAmbiguousError,
        StudentNotFoundError,
        AccountInactiveError,
        BodyTimeoutError,
        BodyTooLargeError,
        FileTooLargeError,
        TotalTooLargeError,
        FileExpandsTooLargeError,
        MediaTypeUnsupportedError,
        IdempotencyConflictError,
        RateLimitedError,
        SubmissionFailedError,
        WebhookNotConfiguredError,
        RequestStillRunningError,
        StorageUnavailableError,
        DatabaseUnavailableError,
        OverloadedError,
    ),
)
async def submit(request: Request, opened: Opened, now: Now, request_id: RequestId) -> Response:
    recorded = await receive_submission(
        opened.intake,
        Delivery(
            body=request.stream(),
            length=_content_length(request),
            content_type=_content_type(request),
            signatures=tuple(request.headers.getlist("x-spark-signature")),
            now=now,
            began=asyncio.get_running_loop().time(),
            new_id=new_id,
        ),
    )
    if recorded.keeps_files:
        metrics.UPLOAD_BYTES.inc(sum(file["size"] for file in recorded.body["files"]))
    return JSONResponse(
        recorded.body | {"request_id": request_id},
        headers={"Idempotent-Replayed": "true"} if recorded.is_replay else None,
    )


def _content_length(request: Request) -> int | None:
    """As announced; the HTTP parser has refused what is no number."""
    value = request.headers.get("content-length")
    return None if value is None else int(value)


def _content_type(request: Request) -> str:
    """The one Content-Type, if it is one we read. Raises MediaTypeUnsupportedError."""
    values = request.headers.getlist("content-type")
    kind, _, parameters = (values[0] if len(values) == 1 else "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    is_json = kind.strip().lower() == "application/json" and charset in ("", "utf-8", "utf8")
    is_form = kind.strip().lower() == "multipart/form-data"
    if "content-encoding" in request.headers or not (is_json or is_form):
        raise MediaTypeUnsupportedError(
            hint="Send application/json in UTF-8 or multipart/form-data, without Content-Encoding."
        )
    return values[0]
