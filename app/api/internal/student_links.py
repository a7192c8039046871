"""A student's link to Spark, by hand."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field, StrictBool, ValidationInfo, field_validator
from starlette.responses import Response

from app.accounts.change_link import Status, link_student, set_link, unlink_student
from app.api.callers import Admin, Writer
from app.api.dependencies import Now, Opened, read_small
from app.api.described import json_body
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.errors import (
    AccountErasedError,
    AccountInactiveError,
    AccountLinkForbiddenError,
    FieldInvalidError,
    NotAStudentError,
    NotFoundError,
    StorageUnavailableError,
)
from app.fields import ContractModel, SparkId
from app.privacy.move_rows import Move, Prefer
from app.privacy.move_student import MoveAnswer, move_student

router = APIRouter(prefix="/internal/v1/students/{user_id}/link", tags=["students"])

_CHANGING = (NotFoundError, *INTERNAL_PROBLEMS, *JSON_PROBLEMS)


class NewLink(ContractModel):
    """Which student of Spark's the account is. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid", validate_by_alias=True)

    spark_user_id: SparkId = Field(description="As Spark names the student.", examples=["42"])
    from_user: UUID | None = Field(
        None,
        alias="from",
        title="From",
        description="The other account of the same child, which is linked: what came through Spark"
        " moves from there.",
        examples=[None],
    )
    prefer: Prefer | None = Field(
        None,
        description="With `from`: whose work stands where both accounts have work on a task,"
        " `target` for the account of the address, `moved` for `from`. The other's stays as earlier"
        " revisions; what did not come through Spark stays in the document, behind.",
        examples=[None],
    )
    dry_run: StrictBool = Field(
        default=False,
        description="With `from`: say what would move, and change nothing.",
        examples=[False],
    )

    @field_validator("prefer", "dry_run")
    @classmethod
    def _needs_from(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("from_user") is None:
            raise ValueError("It is about a move: name the other account in `from`.")
        return value


class LinkChange(ContractModel):
    """Whether Spark lets the student in. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    status: Status = Field(description="`paused`, or `active` again.", examples=["active"])


@router.post(
    "",
    name="linkStudent",
    summary="Link a student by hand",
    description=(
        "From now on Spark's student signs in to this account, and homework goes there. It may be"
        " repeated. An id or an account that is linked otherwise is 409: unlink it first. With"
        " `from` the link, and what came through Spark, moves from that account, all or nothing;"
        " 409 where both have work on a task, unless `prefer` says whose stands. After 503 ask"
        " again."
    ),
    responses=problems(
        NotAStudentError,
        AccountLinkForbiddenError,
        AccountInactiveError,
        AccountErasedError,
        StorageUnavailableError,
        *_CHANGING,
    ),
    openapi_extra=json_body(NewLink),
)
async def link(
    user_id: UUID, request: Request, opened: Opened, now: Now, caller: Admin
) -> MoveAnswer:
    asked = await read_small(request, NewLink)
    if asked.from_user == user_id:
        raise FieldInvalidError(name="from", hint="It must be the other account of the child.")
    if asked.from_user:
        move = Move(
            spark_user_id=asked.spark_user_id,
            from_user=asked.from_user,
            to_user=user_id,
            prefer=asked.prefer,
            caller=caller.name,
            is_dry=asked.dry_run,
            now=now,
        )
        shape = opened.account_rules.shape
        return await move_student(opened.sessions, opened.bucket, shape, move)
    await link_student(
        opened.sessions,
        opened.account_rules,
        user_id,
        asked.spark_user_id,
        caller=caller.name,
        now=now,
    )
    return MoveAnswer(moved={}, conflicts=[])


@router.patch(
    "",
    name="changeLink",
    summary="Pause or resume a student's link",
    description=(
        "While it is paused, sign-ins and homework are refused (`account_inactive`) and sessions"
        " inactive. Of several links all change."
    ),
    responses=problems(*_CHANGING),
    status_code=204,
    openapi_extra=json_body(LinkChange),
)
async def change(
    user_id: UUID, request: Request, opened: Opened, now: Now, caller: Writer
) -> Response:
    asked = await read_small(request, LinkChange)
    await set_link(opened.sessions, user_id, asked.status, caller=caller.name, now=now)
    return Response(status_code=204)


@router.delete(
    "",
    name="unlinkStudent",
    summary="Unlink a student",
    description=(
        "Spark's student is this account no more, and its sessions end. What was handed in stays; a"
        " later click in Spark makes a new account, or links by the address."
    ),
    status_code=204,
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def unlink(user_id: UUID, opened: Opened, caller: Admin) -> Response:
    await unlink_student(opened.sessions, user_id, caller=caller.name)
    return Response(status_code=204)
