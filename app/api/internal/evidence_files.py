"""Files of evidence blocks: added and taken away."""

from functools import partial
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from app import metrics
from app.api.dependencies import Opened, Resources, paced_body
from app.api.described import request_body
from app.api.internal.evidence_editor import PREFIX, TAGGED, Editing, tag
from app.api.internal.evidence_schemas import DetachedAnswer, UploadedAnswer
from app.api.problem_groups import EVIDENCE_FILE_PROBLEMS, WRITING_PROBLEMS
from app.api.problems import problems
from app.evidence.links import Links
from app.fields import ContractModel
from app.portfolio.attach_file import FileForm, attach_file
from app.portfolio.detach_file import detach_file

router = APIRouter(prefix=f"{PREFIX}/blocks", tags=["evidence"])


class EvidenceFileForm(ContractModel):
    """A file for a block."""

    file: bytes = Field(
        description="At most 10 MiB. Its content decides its type.",
        examples=["Rain fell on four of seven days.\n"],
    )


@router.post(
    "/{block_id}/upload",
    name="uploadEvidenceFile",
    summary="Add a file to a block",
    description=(
        "To an image or document block that was saved, in place of the file it has. The content"
        " decides the type; an image block takes pictures only. A block of Spark's becomes the"
        " student's. 60 an hour for a student."
    ),
    responses=TAGGED | problems(*EVIDENCE_FILE_PROBLEMS),
    openapi_extra=request_body({"multipart/form-data": EvidenceFileForm}),
)
async def upload(
    block_id: UUID, request: Request, opened: Opened, editor: Editing, response: Response
) -> UploadedAnswer:
    destination = opened.intake.destination(editor.user_id)
    form = _form(request, opened, editor.user_id)
    content, written = await attach_file(destination, form, block_id, editor)
    file = await Links(opened.bucket, editor.user_id, editor.now).show(content, None)
    metrics.UPLOAD_BYTES.inc(file["file_size"])
    tag(response, written.version)
    return UploadedAnswer(
        success=True,
        message="File uploaded",
        file_url=file["url"],
        filename=file["filename"],
        file_size=file["file_size"],
        updated_at=written.updated_at,
        version=written.version,
    )


@router.delete(
    "/{block_id}/file",
    name="deleteEvidenceFile",
    summary="Take the file out of a block",
    description=(
        "The block stays, without `url`, `filename`, `file_size` and `content_type`. A file that"
        " was added here is removed; Spark's stays with its revision. Repeating it changes nothing."
    ),
    responses=TAGGED | problems(*WRITING_PROBLEMS),
)
async def detach(
    block_id: UUID, opened: Opened, editor: Editing, response: Response
) -> DetachedAnswer:
    updated_at, version = await detach_file(opened.sessions, opened.bucket, block_id, editor)
    tag(response, version)
    return DetachedAnswer(
        success=True, message="File deleted", updated_at=updated_at, version=version
    )


def _form(request: Request, opened: Resources, user_id: UUID) -> FileForm:
    length = request.headers.get("content-length", "")
    settings = opened.settings
    return FileForm(
        body=paced_body(request),
        content_type=request.headers.get("content-type", ""),
        length=int(length) if length.isascii() and length.isdecimal() else None,
        max_bytes=settings.max_evidence_file_bytes,
        place=opened.editor_places.take(user_id),
        count_upload=partial(
            opened.limits.count_success_of_hour,
            router.prefix,
            str(user_id),
            per_hour=settings.rate_limit_evidence_upload,
        ),
    )
