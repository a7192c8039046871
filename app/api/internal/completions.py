"""One completion with its evidence, for the main app."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.api.callers import READ, Caller
from app.api.dependencies import Now, Opened
from app.api.internal.schemas import Block, CompletionAnswer, Document, File
from app.api.problems import problems
from app.errors import INTERNAL_PROBLEMS, NotFoundError
from app.evidence.completions import CompletionFile, StoredBlock, get_completion
from app.evidence.links import Links
from app.storage.bucket import LINK_SECONDS, Bucket

router = APIRouter(prefix="/internal/v1", tags=["completions"])


@router.get(
    "/completions/{completion_id}",
    name="getCompletion",
    summary="Read a completion",
    description=(
        "Evidence blocks in the editor's shapes, and files with signed links. Each reading is kept"
        " in the audit log."
    ),
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def read_completion(
    completion_id: UUID, opened: Opened, now: Now, caller: Annotated[Caller, READ]
) -> CompletionAnswer:
    completion = await get_completion(opened.sessions, completion_id, caller=caller.name)
    document = (
        Document.model_validate(
            {"id": completion.document_id, "status": completion.document_status}
        )
        if completion.document_id
        else None
    )
    links = Links(opened.bucket, completion.user_id)
    return CompletionAnswer(
        id=completion.id,
        user_id=completion.user_id,
        quest_id=completion.quest_id,
        task_id=completion.task_id,
        completed_at=completion.completed_at,
        xp_awarded=completion.xp_awarded,
        revision=completion.revision,
        document=document,
        blocks=[await _block(links, block) for block in completion.blocks],
        files=[await link_file(opened.bucket, file, now) for file in completion.files],
    )


async def _block(links: Links, block: StoredBlock) -> Block:
    return Block.model_validate(vars(block) | {"content": await links.show(block.content)})


async def link_file(bucket: Bucket, file: CompletionFile, now: datetime) -> File:
    return File(
        id=file.id,
        filename=file.filename,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256.hex(),
        url=await bucket.link(
            file.object_key, content_type=file.content_type, filename=file.filename
        ),
        url_expires_at=now + timedelta(seconds=LINK_SECONDS),
    )
