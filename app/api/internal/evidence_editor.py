"""Whose evidence a request is about, and who asks."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from app.api.callers import STUDENT_READ, STUDENT_WRITE, Caller
from app.api.dependencies import Now
from app.clock import new_id
from app.errors import FieldMissingError, NotFoundError
from app.fields import UUID_EXAMPLE
from app.portfolio.open_evidence import Editor

PREFIX = "/internal/v1/evidence"
Reader = Annotated[Caller, STUDENT_READ]
Writer = Annotated[Caller, STUDENT_WRITE]
StudentId = Annotated[
    UUID | None,
    Query(
        title="User id",
        description="The student; required with a service key, needless with their own token.",
        examples=[UUID_EXAMPLE],
    ),
]


def editor_of(caller: Caller, user_id: UUID | None, now: Now) -> Editor:
    """Raises as `student_of`."""
    return Editor(
        user_id=student_of(caller, user_id),
        caller=caller.name,
        is_service=caller.user_id is None,
        now=now,
        new_id=new_id,
    )


def student_of(caller: Caller, user_id: UUID | None) -> UUID:
    """Raises FieldMissingError, or NotFoundError for a student who asks for another."""
    if caller.user_id is None:
        if user_id is None:
            raise FieldMissingError(name="user_id")
        return user_id
    if user_id not in (None, caller.user_id):
        raise NotFoundError
    return caller.user_id
