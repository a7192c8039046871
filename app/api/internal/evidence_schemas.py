"""What an editor of evidence is answered (CONTRACT 11)."""

from typing import Annotated

from pydantic import Field

from app.evidence.editor_document import (
    EvidenceBlockAnswer,
    EvidenceDocumentAnswer,
    Status,
    UpdatedAt,
    Version,
)
from app.fields import LINK_EXAMPLE, ContractModel, DocumentId, Experience, Id, Success

Message = Annotated[str, Field(description="A sentence for people.")]


class EvidenceAnswer(ContractModel):
    """A task's evidence."""

    success: Success
    version: Version | None = Field(
        description="As in `document`, so that the answer can be sent back; null without one."
    )
    document: EvidenceDocumentAnswer | None = Field(
        description="Null while nothing was saved or handed in."
    )
    blocks: list[EvidenceBlockAnswer] = Field(description="In order.")


class BlockPlace(ContractModel):
    """Where a saved block is, for an editor to learn the ids of its new ones."""

    id: Id = Field(title="Block id", description="The block.")
    order_index: int = Field(ge=0, description="Its place in the document.", examples=[0])


class SavedAnswer(ContractModel):
    """What a save left."""

    success: Success
    message: Message = Field(examples=["Evidence saved"])
    document_id: DocumentId
    status: Status = Field(description="What holds now, whatever was sent.", examples=["completed"])
    xp_awarded: Experience = Field(description="The task's XP if it was completed by this; else 0.")
    has_collaboration_bonus: bool = Field(description="Always false.", examples=[False])
    quest_completed: bool = Field(
        description="Whether the student's quest is completed.", examples=[False]
    )
    blocks: list[BlockPlace] = Field(description="In the order they were sent.")
    updated_at: UpdatedAt
    version: Version


class UploadedAnswer(ContractModel):
    """A file was added to a block."""

    success: Success
    message: Message = Field(examples=["File uploaded"])
    file_url: str = Field(
        title="File URL", description="A signed link for 3 to 5 minutes.", examples=[LINK_EXAMPLE]
    )
    filename: str = Field(
        title="File name", description="Its display name.", examples=["rain-gauge.jpg"]
    )
    file_size: int = Field(ge=0, description="In bytes.", examples=[482113])
    updated_at: UpdatedAt
    version: Version


class DetachedAnswer(ContractModel):
    """A block holds no file any more."""

    success: Success
    message: Message = Field(examples=["File deleted"])
    updated_at: UpdatedAt
    version: Version
