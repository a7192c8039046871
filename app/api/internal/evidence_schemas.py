"""What an editor of evidence is answered (CONTRACT 11)."""

from pydantic import Field

from app.evidence.editor_document import (
    EvidenceBlockAnswer,
    EvidenceDocumentAnswer,
    Message,
    UpdatedAt,
    Version,
)
from app.fields import LINK_EXAMPLE, ContractModel, Success


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
