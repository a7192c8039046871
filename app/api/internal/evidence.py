"""A student's evidence, read and saved: by the main app with a service key, or by the student."""

from contextlib import nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.dependencies import Now, Opened, Resources, hold_body, paced_body, require_json
from app.api.described import json_body
from app.api.internal.evidence_editor import (
    PREFIX,
    TAGGED,
    Editing,
    EvidenceReader,
    StudentId,
    student_of,
    tag,
)
from app.api.internal.evidence_schemas import EvidenceAnswer
from app.api.problem_groups import EVIDENCE_PROBLEMS, JSON_PROBLEMS, WRITING_PROBLEMS
from app.api.problems import problems
from app.deliveries.pace import read_all
from app.deliveries.payload import THREAD_BYTES, beside_if_large
from app.errors import EvidenceEmptyError
from app.evidence.editor_document import SavedAnswer
from app.evidence.links import Links
from app.evidence.read_document import Evidence, get_document, get_evidence
from app.portfolio.draft import EvidenceDraft, read_draft
from app.portfolio.save import complete_evidence, save_evidence

router = APIRouter(prefix=PREFIX, tags=["evidence"])


@router.get(
    "/documents/{task_id}",
    name="getEvidence",
    summary="Read a task's evidence",
    description=(
        "Files have signed links for 3 to 5 minutes. A task without evidence has no document."
        " Who is not the student is kept in the audit log."
    ),
    responses=TAGGED | problems(*EVIDENCE_PROBLEMS),
)
async def read_evidence(
    task_id: UUID,
    opened: Opened,
    now: Now,
    caller: EvidenceReader,
    response: Response,
    user_id: StudentId = None,
) -> EvidenceAnswer:
    student = student_of(caller, user_id)
    evidence = await get_evidence(opened.sessions, task_id, user_id=student, caller=caller.name)
    return await _answer(opened, evidence, response, now)


@router.get(
    "/documents/by-id/{document_id}",
    name="getEvidenceDocument",
    summary="Read an evidence document",
    description="As by its task.",
    responses=TAGGED | problems(*EVIDENCE_PROBLEMS),
)
async def read_document(
    document_id: UUID,
    opened: Opened,
    now: Now,
    caller: EvidenceReader,
    response: Response,
    user_id: StudentId = None,
) -> EvidenceAnswer:
    student = student_of(caller, user_id)
    evidence = await get_document(opened.sessions, document_id, user_id=student, caller=caller.name)
    return await _answer(opened, evidence, response, now)


SAVE: dict[str, Any] = {
    "summary": "Save a task's evidence",
    "description": (
        "The body is the document as it shall be: blocks in their order, new ones without a UUID."
        " With the `version` that was read, or `If-Match`, a block that is left out is deleted, and"
        " a document that was changed meanwhile is 409. Without it neither a block nor its file may"
        " be left out. What Spark wrote is the student's once its content is changed. POST and PUT"
        " are the same."
    ),
    "responses": TAGGED | problems(EvidenceEmptyError, *WRITING_PROBLEMS, *JSON_PROBLEMS),
    "openapi_extra": json_body(EvidenceDraft),
}


@router.post("/documents/{task_id}", name="saveEvidence", **SAVE)
@router.put("/documents/{task_id}", name="putEvidence", **SAVE)
async def save(
    task_id: UUID, request: Request, opened: Opened, editor: Editing, response: Response
) -> SavedAnswer:
    require_json(request)
    settings, bucket = opened.settings, opened.bucket
    with hold_body(request) as held:
        held.holder = str(editor.user_id)  # a class behind one address is not one holder
        body = await read_all(paced_body(request, held), held, max_bytes=settings.max_json_bytes)
        is_large = len(body) > THREAD_BYTES
        async with opened.large_saves.take(held.holder) if is_large else nullcontext():
            draft = await beside_if_large(
                read_draft, body, bucket, max_text_bytes=settings.max_text_bytes
            )
            saved = await save_evidence(opened.sessions, bucket, task_id, draft, editor)
    tag(response, saved.version)
    return saved


@router.post(
    "/documents/{task_id}/complete",
    name="completeEvidence",
    summary="Complete a task with its evidence",
    description="As it was saved last. Pays once; repeating it changes nothing but the version.",
    responses=TAGGED | problems(EvidenceEmptyError, *WRITING_PROBLEMS),
)
async def complete(
    task_id: UUID, opened: Opened, editor: Editing, response: Response
) -> SavedAnswer:
    saved = await complete_evidence(opened.sessions, opened.bucket, task_id, editor)
    tag(response, saved.version)
    return saved


async def _answer(
    opened: Resources, evidence: Evidence, response: Response, now: datetime
) -> EvidenceAnswer:
    document = evidence.document
    if document is None:
        return EvidenceAnswer(success=True, version=None, document=None, blocks=[])
    links = Links(opened.bucket, document.user_id, now)
    blocks = [
        block.model_copy(
            update={"content": await links.show(block.content, block.uploaded_by_user_id)}
        )
        for block in evidence.blocks
    ]
    tag(response, document.version)
    return EvidenceAnswer(success=True, version=document.version, document=document, blocks=blocks)
