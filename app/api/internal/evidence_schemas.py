"""What an editor of evidence reads (CONTRACT 11)."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from app.api.internal.schemas import LINK_EXAMPLE, MOMENT_EXAMPLE, UUID_EXAMPLE, Block, Success

VERSION_EXAMPLE = "2026-11-23T14:30:00.123456Z"
Status = Literal["draft", "completed"]
VersionNow = Annotated[
    datetime,
    Field(
        title="Updated at", description="The document's version now.", examples=[VERSION_EXAMPLE]
    ),
]


class WrittenBySpark(BaseModel):
    """The block shows the current revision, and the next one replaces it."""

    written_by: Literal["spark"] = Field(
        title="Written by", description="Always `spark`.", examples=["spark"]
    )
    submission_id: UUID = Field(
        title="Submission id", description="The handing-in.", examples=[UUID_EXAMPLE]
    )
    revision: int = Field(ge=1, title="Revision", description="Its number.", examples=[1])
    sha256: str | None = Field(
        title="SHA-256",
        description="Of the file, or of the text, as it was handed in; hexadecimal.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class WrittenHere(BaseModel):
    """The block was written or edited here, and no revision replaces it."""

    written_by: Literal["student", "advisor", "parent"] = Field(
        title="Written by", description="In which role.", examples=["student"]
    )


class EvidenceDocumentAnswer(BaseModel):
    """The document, every column of it."""

    id: UUID = Field(title="Document id", description="The document.", examples=[UUID_EXAMPLE])
    user_id: UUID = Field(title="User id", description="The student.", examples=[UUID_EXAMPLE])
    quest_id: UUID | None = Field(
        title="Quest id", description="The quest.", examples=[UUID_EXAMPLE]
    )
    task_id: UUID = Field(
        title="Task id", description="The student's copy of the task.", examples=[UUID_EXAMPLE]
    )
    status: Status = Field(
        title="Status",
        description="A completed document never falls back to draft.",
        examples=["completed"],
    )
    is_confidential: bool = Field(
        title="Is confidential", description="Hidden from portfolio readers.", examples=[False]
    )
    created_at: datetime = Field(
        title="Created at", description="When it was made.", examples=[MOMENT_EXAMPLE]
    )
    updated_at: datetime = Field(
        title="Updated at",
        description="Its version: send it, as it is written, with what is saved.",
        examples=[VERSION_EXAMPLE],
    )
    completed_at: datetime | None = Field(
        title="Completed at", description="Null for a draft.", examples=[MOMENT_EXAMPLE]
    )


class EvidenceBlockAnswer(Block):
    """One evidence block, and where it came from."""

    uploaded_by_name: str | None = Field(
        title="Uploaded by name", description="The name of who added it.", examples=["Ada Example"]
    )
    provenance: WrittenBySpark | WrittenHere = Field(
        title="Provenance", description="Whose the block is."
    )


class EvidenceAnswer(BaseModel):
    """A task's evidence."""

    success: Success
    document: EvidenceDocumentAnswer | None = Field(
        title="Document", description="Null while nothing was saved or handed in."
    )
    blocks: list[EvidenceBlockAnswer] = Field(title="Blocks", description="In order.")


class BlockPlace(BaseModel):
    """Where a saved block is, for an editor to learn the ids of its new ones."""

    id: UUID = Field(title="Block id", description="The block.", examples=[UUID_EXAMPLE])
    order_index: int = Field(
        ge=0, title="Order index", description="Its place in the document.", examples=[0]
    )


class SavedAnswer(BaseModel):
    """What a save left."""

    success: Success
    message: str = Field(
        title="Message", description="A sentence for people.", examples=["Evidence saved"]
    )
    document_id: UUID = Field(
        title="Document id", description="The document.", examples=[UUID_EXAMPLE]
    )
    status: Status = Field(
        title="Status", description="What holds now, whatever was sent.", examples=["completed"]
    )
    xp_awarded: int = Field(
        ge=0,
        title="XP awarded",
        description="The task's XP if it was completed by this; else 0.",
        examples=[100],
    )
    has_collaboration_bonus: Literal[False] = Field(
        title="Has collaboration bonus", description="Always false.", examples=[False]
    )
    quest_completed: bool = Field(
        title="Quest completed",
        description="Whether the student's quest is completed.",
        examples=[False],
    )
    blocks: list[BlockPlace] = Field(title="Blocks", description="In the order they were sent.")
    updated_at: VersionNow


class UploadedAnswer(BaseModel):
    """A file was added to a block."""

    success: Success
    message: str = Field(
        title="Message", description="A sentence for people.", examples=["File uploaded"]
    )
    file_url: str = Field(
        title="File URL", description="A signed link for 5 minutes.", examples=[LINK_EXAMPLE]
    )
    filename: str = Field(
        title="File name", description="Its display name.", examples=["rain-gauge.jpg"]
    )
    file_size: int = Field(ge=0, title="File size", description="In bytes.", examples=[482113])
    updated_at: VersionNow


class DetachedAnswer(BaseModel):
    """A block holds no file any more."""

    success: Success
    message: str = Field(
        title="Message", description="A sentence for people.", examples=["File deleted"]
    )
    updated_at: VersionNow
