"""One completion with its evidence, for the main app."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.callers import READ, Caller
from app.api.dependencies import Now, Opened
from app.api.problems import problems
from app.errors import INTERNAL_PROBLEMS, NotFoundError
from app.evidence.completions import StoredBlock, get_completion
from app.evidence.editor_document import Block
from app.evidence.link_file import File, link_file
from app.evidence.links import Links
from app.fields import DocumentId, Id, Moment, QuestId, UserId

router = APIRouter(prefix="/internal/v1", tags=["completions"])


class Document(BaseModel):
    """The student's evidence document for the task."""

    id: DocumentId
    status: Literal["draft", "completed"] = Field(
        description="A completed document never falls back to draft.", examples=["completed"]
    )


class CompletionAnswer(BaseModel):
    """A completed task with its evidence."""

    id: Id = Field(description="The completion.")
    user_id: UserId
    quest_id: QuestId
    task_id: Id = Field(description="The student's copy of the task.")
    completed_at: Moment = Field(description="When it was first handed in.")
    xp_awarded: int = Field(description="Paid for the task, once.", examples=[100])
    revision: int | None = Field(
        description="The current revision; null if it did not come from Spark.", examples=[1]
    )
    document: Document | None = Field(description="Null when there is no evidence document.")
    blocks: list[Block] = Field(description="In order.")
    files: list[File] = Field(
        description=(
            "As handed in with the current revision, in the order received, also what the student"
            " has hidden or removed since: show others `blocks` that are not private."
        )
    )


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
