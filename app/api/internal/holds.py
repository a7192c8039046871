"""What retention leaves alone, for who has to keep it: a court's order, a school's."""

from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from app.api.callers import Admin
from app.api.dependencies import Opened, read_small
from app.api.described import json_body
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.clock import new_id
from app.errors import NotFoundError
from app.fields import ContractModel
from app.privacy.place_hold import HoldAnswer, NewHold, lift_hold, list_holds, place_hold

router = APIRouter(prefix="/internal/v1/holds", tags=["students"])


class HoldList(ContractModel):
    """Every hold."""

    items: list[HoldAnswer] = Field(description="The oldest first.")


@router.get(
    "",
    name="listHolds",
    summary="List holds",
    description="Whose submissions stay, however old they are, and why.",
    responses=problems(*INTERNAL_PROBLEMS),
)
async def read_holds(opened: Opened, caller: Admin) -> HoldList:
    return HoldList(items=await list_holds(opened.sessions, caller=caller.name))


@router.post(
    "",
    name="placeHold",
    summary="Keep what is old",
    description=(
        "From now on no submission of this student, or of the students of this organisation, goes"
        " because it is old, and the organisation is not erased unless the order says so. There may"
        " be several holds, and all have to be lifted. An order to erase one student is taken."
    ),
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS, *JSON_PROBLEMS),
    openapi_extra=json_body(NewHold),
)
async def place(request: Request, opened: Opened, caller: Admin) -> HoldAnswer:
    hold = await read_small(request, NewHold)
    return await place_hold(opened.sessions, hold, hold_id=new_id(), caller=caller.name)


@router.delete(
    "/{hold_id}",
    name="liftHold",
    summary="Lift a hold",
    description="What it kept goes within a week, if it is old enough and no other hold keeps it.",
    status_code=204,
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def lift(hold_id: UUID, opened: Opened, caller: Admin) -> Response:
    await lift_hold(opened.sessions, hold_id, caller=caller.name)
    return Response(status_code=204)
