"""The roster webhook: hand the request to `courses`, answer what it did."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from app import fields
from app.api.dependencies import Now, Opened, RequestId
from app.api.described import request_body
from app.api.problem_groups import WEBHOOK_PROBLEMS
from app.api.problems import problems
from app.api.spark.delivery import WEBHOOK, DryRun, read_delivery
from app.api.spark.dry_run import DryRunAnswer, describe_rehearsal
from app.courses.change_roster import RosterChange
from app.courses.receive_roster import receive_roster, rehearse_receipt
from app.courses.roster import Roster
from app.errors import CourseNotFoundError, MessageSupersededError, RosterFailedError
from app.text import clean_line

router = APIRouter(tags=["courses"])

DESCRIPTION = """\
Say who joins a synced course and who leaves it: up to 5,000 `entries`, or one student without a
list. Students who never signed in get their account now, so their homework may come first; who is
dropped keeps everything, and is signed out once no course is left.

Signed like a submission. Sending the same again changes nothing. A message with an invalid entry,
or one that names a student twice, is refused as a whole; an entry whose account may not be used, or
whose id has a character that no id has, is listed in `errors`, and the others take effect. After
5xx send it again: part of it may be done. With `sent_at` a message that is older than the last
taken for its course is 409 `message_superseded`."""

RosterBody = Annotated[
    Roster, Field(title="RosterChange", description="A list of students, or one without a list.")
]


class RosterEntryFault(fields.ContractModel):
    """An entry that had no effect."""

    index: int = Field(description="Its place in `entries`, from 0.", examples=[3])
    spark_user_id: str = Field(
        description="As it was sent, without what cannot be shown.", examples=["42"]
    )
    code: fields.ProblemCode = Field(
        description=(
            "`account_inactive` or `account_link_forbidden`; `field_invalid` for an id with control"
            " or bidirectional characters."
        ),
        examples=["account_inactive"],
    )
    error: str = Field(description="For people.", examples=["Account not active"])


class RosterAnswer(fields.ContractModel):
    """What became of the entries: the counts without `users_created`, and `errors`, add up."""

    success: fields.Success
    enrolled: int = Field(description="Enrolments that are new or active again.", examples=[25])
    dropped: int = Field(description="Enrolments that ended.", examples=[2])
    users_created: int = Field(description="Students who had no account.", examples=[3])
    unchanged: int = Field(description="Entries that were so already.", examples=[0])
    errors: list[RosterEntryFault] = Field(description="Entries that had no effect.", examples=[[]])
    warnings: fields.Warnings
    request_id: fields.RequestId


@router.post(
    "/spark/webhook/roster",
    name="changeRoster",
    summary="Enrol and drop students",
    description=DESCRIPTION,
    response_model=RosterAnswer | DryRunAnswer,
    openapi_extra={
        **WEBHOOK,
        **request_body({"application/json": RosterBody}),
    },
    responses=problems(
        *WEBHOOK_PROBLEMS, MessageSupersededError, CourseNotFoundError, RosterFailedError
    ),
)
async def change(
    request: Request, opened: Opened, now: Now, request_id: RequestId, *, dry_run: DryRun = False
) -> Response:
    with read_delivery(request, opened, now=now) as delivery:
        settings, sessions, rules = opened.settings, opened.sessions, opened.account_rules
        if dry_run:
            rehearsal = await rehearse_receipt(settings, sessions, delivery, rules)
            return describe_rehearsal(rehearsal, request_id)
        change, warnings = await receive_roster(settings, sessions, delivery, rules)
        return JSONResponse(_answer(change, warnings, request_id).model_dump())


def _answer(
    change: RosterChange, warnings: Sequence[fields.AnswerWarning], request_id: str
) -> RosterAnswer:
    return RosterAnswer(
        success=True,
        enrolled=change.enrolled,
        dropped=change.dropped,
        users_created=change.users_created,
        unchanged=change.unchanged,
        errors=[
            RosterEntryFault(
                index=index,
                spark_user_id=clean_line(entry.spark_user_id),
                code=fault.code,
                error=fault.error_text,
            )
            for index, entry, fault in change.faults
        ],
        warnings=[*warnings],
        request_id=request_id,
    )
