"""The submission webhook: hand the request to `submissions.receive`, answer what it recorded."""

import json

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from app import fields, metrics
from app.api.dependencies import resources_of
from app.api.described import request_body
from app.api.problem_groups import SUBMISSION_PROBLEMS
from app.api.problems import problems
from app.api.spark.delivery import WEBHOOK, DryRun, read_delivery
from app.api.spark.dry_run import DryRunAnswer, describe_rehearsal
from app.api.submission_answer import REPLAYED, SubmissionAnswer, answer_submission
from app.clock import utc_now
from app.submissions.message import EXAMPLE, SubmissionPayload
from app.submissions.receive import receive_submission
from app.submissions.rehearse import rehearse_submission

router = APIRouter(tags=["submission"])

DESCRIPTION = """\
Send JSON, or multipart/form-data with the same object as text in a field named `metadata` and any
number of file parts, in any order and under any names.

Sign exactly the bytes that are sent: the whole JSON body, or the value of `metadata`. There are two
ways. `X-Spark-Signature` is the lower-case hexadecimal HMAC-SHA256 under the webhook secret (its
literal text); `submitted_at` must then be fresh, so sign a retry again. Standard Webhooks
(`webhook-id`, `webhook-timestamp`, `webhook-signature`) sign each attempt with its own time, so a
message may be retried for 7 days under one `webhook-id`; files must then be listed in `files`. If
the signature does not fit, `hint` names the mistake when it is a known one.

The same content again is a duplicate and changes nothing; other content for the same assignment is
a new revision under the same `completion_id`. Any answer but 2xx means that nothing was kept:
after 408, 409, 429 and 5xx send it again, after another 4xx change the request first. An
`Idempotency-Key` (or the `webhook-id`) belongs to one message for 30 days.

With `?dry_run=true` everything is checked, every problem is listed, and nothing is kept."""


class SubmissionForm(fields.ContractModel):
    """A submission with its files."""

    metadata: str = Field(
        description=(
            "The signed JSON text of a `Submission`, as a text field without a file name. Its bytes"
            " are what is signed."
        ),
        examples=[json.dumps(EXAMPLE)],
    )
    file: list[bytes] = Field(
        [],
        title="Files",
        description=(
            "At most 20 of at most 50 MiB, 200 MiB together, under any field names:"
            " JPEG, PNG, GIF, WebP, HEIC, MP4, QuickTime, AVI, PDF, DOC, DOCX, plain text. An"
            " operator may also allow PPTX, ODP, XLSX, ODS, ODT, M4A, MP3, WAV and WebM sound."
        ),
        examples=[["Rain fell on four of seven days.\n"]],
    )


BODIES = {"application/json": SubmissionPayload, "multipart/form-data": SubmissionForm}


@router.post(
    "/spark/webhook/submission",
    name="submit",
    summary="Hand in homework",
    description=DESCRIPTION,
    response_model=SubmissionAnswer | DryRunAnswer,
    openapi_extra={**WEBHOOK, **request_body(BODIES)},
    responses=REPLAYED | problems(*SUBMISSION_PROBLEMS),
)
async def submit(request: Request, *, dry_run: DryRun = False) -> Response:
    opened, request_id = resources_of(request), request.state.request_id
    with read_delivery(request, opened, now=utc_now(), takes_forms=True) as delivery:
        if dry_run:
            return describe_rehearsal(
                await rehearse_submission(opened.intake, delivery), request_id
            )
        recorded = await receive_submission(opened.intake, delivery)
        if recorded.keeps_files:
            came = (file["size"] for file in recorded.body["files"] if "state" not in file)
            metrics.UPLOAD_BYTES.inc(sum(came))
        return answer_submission(recorded, request_id)
