"""A student: who it is to Spark and here; everything that is kept of them, and its end."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from app.accounts.describe_student import StudentAnswer, describe_student, find_students
from app.api.callers import Admin, Reader, Writer
from app.api.dependencies import Now, Opened
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.clock import new_id
from app.errors import (
    NotAStudentError,
    NotFoundError,
    ReferencedElsewhereError,
    StorageUnavailableError,
)
from app.fields import ContractModel, SparkId
from app.privacy.erase import ErasureAnswer, ErasureOrder, erase_student
from app.privacy.export import begin_export
from app.sso.sessions import sign_out

router = APIRouter(prefix="/internal/v1/students", tags=["students"])

ZIP = "application/zip"
BYTES = "application/octet-stream"  # as which clients may take it that know no zip
A_ZIP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A zip. If it does not end properly, it does not open: ask again.",
        "content": {
            media: {"schema": {"type": "string", "format": "binary"}} for media in (ZIP, BYTES)
        },
    }
}


class StudentQuery(ContractModel):
    """Which student. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid")

    spark_user_id: SparkId = Field(description="As Spark names the student.", examples=["42"])


class StudentList(ContractModel):
    """The students of this Spark id: one, or none."""

    items: list[StudentAnswer] = Field(max_length=1, description="Who is linked to it.")


@router.get(
    "",
    name="findStudents",
    summary="Find a student by the Spark id",
    description="Whose homework Spark's id means here. Nobody is no failure, but an empty list.",
    responses=problems(*INTERNAL_PROBLEMS),
)
async def find(
    query: Annotated[StudentQuery, Query()], opened: Opened, caller: Reader
) -> StudentList:
    found = await find_students(opened.sessions, query.spark_user_id, caller=caller.name)
    return StudentList(items=found)


@router.get(
    "/{user_id}",
    name="getStudent",
    summary="Read a student",
    description="The link to Spark, the courses, and the sessions that are alive; no name.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def read_student(user_id: UUID, opened: Opened, caller: Reader) -> StudentAnswer:
    return await describe_student(opened.sessions, user_id, caller=caller.name)


@router.post(
    "/{user_id}/sessions/revoke",
    name="revokeSessions",
    summary="End all sessions of a user",
    description=(
        "Sessions, codes that nobody redeemed yet, and tokens of the main app that are older, which"
        " it refuses at the next refresh. It may be repeated, and is in the audit log."
    ),
    status_code=204,
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def revoke_all(user_id: UUID, opened: Opened, caller: Writer) -> Response:
    await sign_out(opened.sessions, user_id, caller=caller.name)
    return Response(status_code=204)


@router.get(
    "/{user_id}/export",
    name="exportStudent",
    summary="Export everything of a student",
    description=(
        "A zip with JSON Lines for each table, all files with their SHA-256, and a README. Each"
        " export is in the audit log."
    ),
    response_class=StreamingResponse,
    responses={**A_ZIP, **problems(NotFoundError, NotAStudentError, *INTERNAL_PROBLEMS)},
)
async def export(user_id: UUID, opened: Opened, now: Now, caller: Admin) -> Response:
    stream = await begin_export(
        opened.sessions, opened.bucket, user_id, caller=caller.name, now=now
    )
    name = f"student-{user_id}.zip"
    return StreamingResponse(
        stream,
        media_type=ZIP,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.delete(
    "/{user_id}",
    name="eraseStudent",
    summary="Erase a student",
    description=(
        "All rows and files of all revisions, for good; sessions end at once. Only a tombstone"
        " without personal data is left, and nothing older brings the student back. Repeating it"
        " answers with the tombstone. After 503 it goes on by itself. Rows of other tables that"
        " would keep the student are 409 before anything is changed."
    ),
    responses=problems(
        NotFoundError,
        NotAStudentError,
        ReferencedElsewhereError,
        StorageUnavailableError,
        *INTERNAL_PROBLEMS,
    ),
)
async def erase(user_id: UUID, opened: Opened, now: Now, caller: Admin) -> ErasureAnswer:
    order = ErasureOrder(new_id(), user_id, caller.name, now)
    tombstones = opened.account_rules.tombstones
    return await erase_student(opened.sessions, opened.bucket, tombstones, order)
