"""A student's XP, and where it comes from."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from app.api.callers import Reader
from app.api.dependencies import Opened
from app.api.paging import LINKED, NextCursor, PageQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.errors import NotFoundError
from app.fields import ContractModel, UserId
from app.learning.read_experience import AwardItem, get_totals, list_awards

router = APIRouter(prefix="/internal/v1/students", tags=["students"])


class ExperienceAnswer(ContractModel):
    """A student's totals, and a page of the ledger behind them."""

    user_id: UserId
    total: int = Field(ge=0, description="Over all pillars.", examples=[350])
    pillars: dict[str, int] = Field(
        description="Totals, with what the main app awarded natively.",
        examples=[{"stem": 250, "art": 100}],
    )
    subjects: dict[str, int] = Field(
        description="Diploma credit by school subject; it has no ledger.",
        examples=[{"science": 60}],
    )
    items: list[AwardItem] = Field(description="The ledger, newest first; at most `limit`.")
    next_cursor: NextCursor


@router.get(
    "/{user_id}/xp",
    name="getExperience",
    summary="Read a student's XP",
    description=(
        "Totals by pillar and by school subject, and the ledger behind them, newest first. A total"
        " may be more than its ledger: the main app awards natively as well."
    ),
    responses=LINKED | problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def read_experience(
    user_id: UUID,
    query: Annotated[PageQuery, Query()],
    opened: Opened,
    pages: Pages,
    caller: Reader,
) -> ExperienceAnswer:
    pillars, subjects = await get_totals(opened.sessions, user_id, caller=caller.name)
    return ExperienceAnswer(
        user_id=user_id,
        total=sum(pillars.values()),
        pillars=pillars,
        subjects=subjects,
        **await pages.read(query, partial(list_awards, opened.sessions, user_id)),
    )
