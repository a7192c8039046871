"""Whose evidence a request is about, who asks, and which version of it they know."""

from collections.abc import Collection
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query, Response

from app.api.callers import STUDENT_READ, STUDENT_WRITE, Caller
from app.api.dependencies import Now, Opened
from app.clock import new_id
from app.errors import FieldMissingError, NotFoundError
from app.evidence.editor_document import VERSION_EXAMPLE
from app.fields import UUID_EXAMPLE
from app.portfolio.open_evidence import Editor

PREFIX = "/internal/v1/evidence"
EvidenceReader = Annotated[Caller, STUDENT_READ]
EvidenceWriter = Annotated[Caller, STUDENT_WRITE]
StudentId = Annotated[
    UUID | None,
    Query(
        title="User id",
        description="The student; required with a service key, needless with their own token.",
        examples=[UUID_EXAMPLE],
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="The `ETag` that was read; a document with another is 409 `evidence_changed`.",
        examples=[f'"{VERSION_EXAMPLE}"'],
    ),
]
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {
                "description": "The document's `version`, quoted; absent without a document.",
                "schema": {"type": "string"},
                "example": f'"{VERSION_EXAMPLE}"',
            }
        }
    }
}


def tag(response: Response, version: str | None) -> None:
    if version is not None:
        response.headers["ETag"] = f'"{version}"'


async def _editor(
    caller: EvidenceWriter,
    opened: Opened,
    now: Now,
    user_id: StudentId = None,
    if_match: IfMatch = None,
) -> Editor:
    """Raises as `student_of`."""
    return Editor(
        user_id=student_of(caller, user_id),
        caller=caller.name,
        is_service=caller.user_id is None,
        versions=_versions(if_match) if if_match else (),
        settings=opened.settings,
        shape=opened.intake.shape,
        now=now,
        new_id=new_id,
    )


Editing = Annotated[Editor, Depends(_editor)]


def _versions(if_match: str) -> Collection[str]:
    """A proxy that compresses makes the tags weak that it passes on."""
    return {tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")}


def student_of(caller: Caller, user_id: UUID | None) -> UUID:
    """Raises FieldMissingError, or NotFoundError for a student who asks for another."""
    if caller.user_id is None:
        if user_id is None:
            hint = "A service key names the student: `?user_id=`."
            raise FieldMissingError(name="user_id", hint=hint)
        return user_id
    if user_id not in (None, caller.user_id):
        raise NotFoundError
    return caller.user_id
