"""A student's XP, and where it comes from."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.api.callers import READ
from app.api.dependencies import Opened
from app.api.internal.xp_schemas import AwardItem, ExperienceAnswer
from app.api.paging import Cursors, PageQuery, read_page
from app.api.problems import problems
from app.errors import INTERNAL_PROBLEMS, NotFoundError
from app.learning.read_experience import get_totals, list_awards

router = APIRouter(prefix="/internal/v1/students", tags=["students"])


@router.get(
    "/{user_id}/xp",
    name="getExperience",
    dependencies=[READ],
    summary="Read a student's XP",
    description=(
        "Totals by pillar and by school subject, and the ledger behind them, newest first. A total"
        " may be more than its ledger: the main app awards natively as well."
    ),
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def read_experience(
    user_id: UUID, query: Annotated[PageQuery, Query()], opened: Opened
) -> ExperienceAnswer:
    totals = await get_totals(opened.sessions, user_id)
    page = await read_page(
        query,
        partial(list_awards, opened.sessions, user_id),
        Cursors(f"{router.prefix}/{user_id}/xp", opened.cursor_keys),
    )
    return ExperienceAnswer(
        user_id=user_id,
        total=sum(totals.pillars.values()),
        pillars=dict(totals.pillars),
        subjects=dict(totals.subjects),
        items=[AwardItem.model_validate(award, from_attributes=True) for award in page.items],
        next_cursor=page.next_cursor,
    )
