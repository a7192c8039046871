"""Roster files: compared, applied, and confirmed where many would leave."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from app.api.callers import ADMIN, Caller
from app.api.dependencies import Now, Opened, Resources, paced_body
from app.api.problems import problems
from app.clock import new_id
from app.courses.change_roster import Change
from app.courses.import_roster import RosterReport, confirm_roster, import_roster
from app.courses.spool_roster import spool_roster
from app.errors import (
    BODY_PROBLEMS,
    INTERNAL_PROBLEMS,
    NotFoundError,
    RosterFileInvalidError,
)
from app.fields import Id

router = APIRouter(prefix="/internal/v1/roster/imports", tags=["rosters"])

DESCRIPTION = """\
The body is the flat CSV (`sourcedId, email, givenName, familyName, role`) or a zip of OneRoster 1.2
CSV (`users.csv`, `enrollments.csv`, and `roles.csv` if users have no `role`; `classSourcedId` is
the Spark course id, `schoolSourcedId` the organisation's), in UTF-8.

Only students are imported: other rows are skipped, and staff is never made or changed. Unless
`apply` is true nothing changes. Students leave by `status` `tobedeleted`, or by not being in a
bundle that is no delta; where more than 20 % of a course would, they stay until it is confirmed."""


class RosterRowAnswer(BaseModel):
    """A row that is held, skipped or wrong."""

    source: Literal["users", "roles", "enrollments", "absent"] = Field(
        description="Its file; `absent`: in none any more.", examples=["users"]
    )
    line: int | None = Field(description="The line it ends on.", examples=[7])
    spark_user_id: str | None = Field(
        description="Null where the row cannot be read.", examples=["student_42"]
    )
    outcome: str = Field(description="As in `counts`.", examples=["error"])
    code: str | None = Field(description="What is wrong.", examples=["account_inactive"])


class RosterImportAnswer(BaseModel):
    """What an import does, or would do."""

    id: Id = Field(description="The import.")
    state: Literal["checked", "applying", "held", "applied"] = Field(
        description="`checked` has changed nothing.", examples=["checked"]
    )
    rows: int = Field(description="Rows that were read.", examples=[60])
    counts: dict[str, dict[str, int]] = Field(
        description=(
            "By file and outcome; `users` and `enrollments` add up to `rows`, and `absent` are"
            " students in no row any more."
        ),
        examples=[{"users": {"create": 28, "skipped": 2}, "enrollments": {"enrol": 30}}],
    )
    examples: list[RosterRowAnswer] = Field(description="The first 1,000 that are not plain.")


@router.post(
    "",
    name="importRoster",
    summary="Compare or apply a roster file",
    description=DESCRIPTION,
    responses=problems(RosterFileInvalidError, *BODY_PROBLEMS, *INTERNAL_PROBLEMS),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def import_file(
    request: Request,
    opened: Opened,
    now: Now,
    caller: Annotated[Caller, ADMIN],
    *,
    apply: Annotated[bool, Query(description="Change what differs.")] = False,
) -> RosterImportAnswer:
    settings = opened.settings
    async with spool_roster(paced_body(request), max_bytes=settings.max_roster_bytes) as path:
        report = await import_roster(
            opened.sessions,
            path,
            _change(opened, now),
            apply_for=caller.name if apply else None,
            max_bytes=settings.max_roster_bytes,
            tell=_say_nothing,
        )
    return _answer(report)


@router.post(
    "/{import_id}/confirm",
    name="confirmRosterImport",
    summary="Apply an import, with what is held",
    description="Of an import that was compared, held or cut off. Repeating it changes nothing.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def confirm(
    import_id: UUID, opened: Opened, now: Now, caller: Annotated[Caller, ADMIN]
) -> RosterImportAnswer:
    report = await confirm_roster(
        opened.sessions,
        import_id,
        _change(opened, now),
        caller=caller.name,
        tell=_say_nothing,
    )
    return _answer(report)


def _change(opened: Resources, now: Now) -> Change:
    return Change(now, new_id, opened.account_rules)


def _say_nothing(stage: str, done: int, total: int) -> None:
    pass


def _answer(report: RosterReport) -> RosterImportAnswer:
    return RosterImportAnswer.model_validate(report, from_attributes=True)
