"""An evidence document as its editor reads it (CONTRACT 11)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from app.fields import (
    ContractModel,
    DocumentId,
    Experience,
    Id,
    Moment,
    NullableId,
    NullableMoment,
    Revision,
    Success,
    UserId,
)

UPDATED_EXAMPLE = "2026-11-23T14:30:00.123456Z"
VERSION_EXAMPLE = "v660f26dc32c40-9f86d081884c7d65"
Status = Literal["draft", "completed"]
Role = Literal["student", "advisor", "parent"]
Writer = Literal["spark", Role]
Message = Annotated[str, Field(description="A sentence for people.")]
UpdatedAt = Annotated[
    Moment, Field(description="When it or a block was written last.", examples=[UPDATED_EXAMPLE])
]
Version = Annotated[
    str,
    Field(
        description="The document's version, opaque: send it with what is saved.",
        examples=[VERSION_EXAMPLE],
    ),
]


def _student_if_none(role: object) -> object:
    """The main app's editor leaves it out."""
    return role or "student"


def _as_object(content: object) -> object:
    """The main app's column takes any JSON, and what is no object was written by hand."""
    match content:
        case dict():
            return content
        case str():
            return {"text": content}
        case list():
            return {"items": content}
        case _:
            return {}


class EvidenceDocumentAnswer(ContractModel):
    """The document, every column of it."""

    id: DocumentId = Field(title="Document id")
    user_id: UserId
    quest_id: NullableId = Field(description="The quest.")
    task_id: Id = Field(description="The student's copy of the task.")
    status: Status = Field(
        description="A completed document never falls back to draft.", examples=["completed"]
    )
    is_confidential: bool = Field(description="Hidden from portfolio readers.", examples=[False])
    created_at: Moment = Field(description="When it was made.")
    updated_at: UpdatedAt
    version: Version
    completed_at: NullableMoment = Field(description="Null for a draft.")


class EditorBlock(BaseModel):
    """One evidence block, in the shape of the front end's editor."""

    id: Id = Field(description="The block.")
    document_id: Id = Field(description="Its document.")
    block_type: Literal["text", "image", "video", "link", "document"] = Field(
        description="Decides the members of `content`.", examples=["image"]
    )
    content: Annotated[dict[str, Any], BeforeValidator(_as_object)] = Field(
        description=(
            "text: `text`; image: `url, alt, caption, filename`; video: `url, title, platform`;"
            " link: `url, title, description`; document: `url, title, filename`; every file also"
            " `file_size, content_type`. The `url` of a file is a signed link for 3 to 5 minutes."
        ),
        examples=[{"text": "Rain fell on four of seven days."}],
    )
    order_index: int = Field(description="Position, from 0.", examples=[0])
    is_private: bool = Field(description="Hidden from portfolio readers.", examples=[False])
    created_at: Moment = Field(description="When it was written.")
    uploaded_by_user_id: NullableId = Field(description="By whom.")
    uploaded_by_role: Annotated[Role, BeforeValidator(_student_if_none)] = Field(
        description="In which role.", examples=["student"]
    )


def _is_none(value: object) -> bool:
    return value is None


class Provenance(ContractModel):
    """Who wrote the block. Spark's shows the current revision, and the next one replaces it; no
    revision replaces what was written or edited here.
    """

    written_by: Writer = Field(
        description="Spark, or in which role. The other members are of Spark's.",
        examples=["spark"],
    )
    submission_id: NullableId = Field(None, exclude_if=_is_none, description="The handing-in.")
    revision: Revision | None = Field(None, exclude_if=_is_none, description="Its number.")
    sha256: str | None = Field(
        None,
        exclude_if=_is_none,
        title="SHA-256",
        description="Of the file, or of the text, as it was handed in; hexadecimal.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class EvidenceBlockAnswer(EditorBlock):
    """One evidence block, and where it came from."""

    uploaded_by_name: str | None = Field(
        title="Uploaded by name", description="The name of who added it.", examples=["Ada Example"]
    )
    provenance: Provenance = Field(description="Whose the block is.")


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
