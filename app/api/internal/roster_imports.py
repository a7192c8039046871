"""Roster files: compared, applied, and confirmed where many would leave."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.requests import ClientDisconnect

from app.api.callers import Admin
from app.api.dependencies import Now, Opened, paced_body
from app.api.described import request_body
from app.api.problem_groups import BODY_PROBLEMS, INTERNAL_PROBLEMS
from app.api.problems import problems
from app.clock import new_id
from app.courses.change_roster import RosterRun
from app.courses.import_roster import RosterImportAnswer, confirm_roster, import_roster, say_nothing
from app.courses.open_roster import MAX_ROWS, spool_roster
from app.courses.read_roster import MAX_BAD_ROWS
from app.errors import NotFoundError, RosterFileInvalidError

router = APIRouter(prefix="/internal/v1/roster/imports", tags=["rosters"])

DESCRIPTION = f"""\
The body is the flat CSV (`sourcedId, email, givenName, familyName, role`) or a zip of OneRoster 1.2
CSV (`users.csv`, `enrollments.csv`, and `roles.csv` if users have no `role`; `classSourcedId` is
the Spark course id, `schoolSourcedId` the organisation's). It is read in UTF-8, or UTF-16 with a
byte order mark, separated by comma, semicolon or tab, with or without a line `sep=;` before the
header; what surrounds an id and cannot be seen is no part of it, and `="001"` is `001`. A file of
more than {MAX_ROWS:,} rows, or with {MAX_BAD_ROWS:,} rows one after another that cannot be read, is
refused.

Only students are imported: other rows are skipped, and staff is never made or changed. Unless
`apply` is true nothing changes. Students leave by `status` `tobedeleted`, or by not being in a
bundle that is no delta; where more than 20 % of a course would, they stay until it is confirmed."""

RosterFile = Annotated[
    bytes,
    Field(
        description="CSV, or a zip of it.",
        examples=[
            "sourcedId,email,givenName,familyName,role\n42,a@example.com,Ada,Example,student\n"
        ],
    ),
]


@router.post(
    "",
    name="importRoster",
    summary="Compare or apply a roster file",
    description=DESCRIPTION,
    responses=problems(RosterFileInvalidError, *BODY_PROBLEMS, *INTERNAL_PROBLEMS),
    openapi_extra=request_body({"application/octet-stream": RosterFile}),
)
async def import_file(
    request: Request,
    opened: Opened,
    now: Now,
    caller: Admin,
    *,
    apply: Annotated[bool, Query(description="Change what differs.", examples=[True])] = False,
) -> RosterImportAnswer:
    settings = opened.settings

    async def tell(stage: str, *_: int) -> None:
        """Nobody waits for the answer: what was begun to be applied is applied, and no more."""
        if stage != "apply" and await request.is_disconnected():
            raise ClientDisconnect

    async with spool_roster(paced_body(request), max_bytes=settings.max_roster_bytes) as path:
        return await import_roster(
            opened.sessions,
            path,
            RosterRun(now, new_id, opened.account_rules, caller.name),
            apply=apply,
            max_bytes=settings.max_roster_bytes,
            tell=tell,
        )


@router.post(
    "/{import_id}/confirm",
    name="confirmRosterImport",
    summary="Apply an import, with what is held",
    description="Of an import that was compared, held or cut off. Repeating it changes nothing.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def confirm(import_id: UUID, opened: Opened, now: Now, caller: Admin) -> RosterImportAnswer:
    run = RosterRun(now, new_id, opened.account_rules, caller.name)
    return await confirm_roster(opened.sessions, import_id, run, tell=say_nothing)
