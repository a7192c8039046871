"""The inbox for an operator: which deliveries came, what became of them, and once more."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api.callers import READ, WRITE, Caller
from app.api.dependencies import Now, Opened, RequestId
from app.api.paging import LINKED, Cursors, Link, NextCursor, PageQuery, read_page
from app.api.problems import problems
from app.api.submission_answer import REPLAYED, SubmissionAnswer, answer_submission
from app.clock import new_id, stopwatch
from app.deliveries.read_inbox import (
    DeliveryAnswer,
    DeliveryFilter,
    list_deliveries,
    read_delivery,
)
from app.errors import INTERNAL_PROBLEMS, REPLAY_PROBLEMS, NotFoundError
from app.fields import ContractModel
from app.submissions.replay import replay_delivery

router = APIRouter(prefix="/internal/v1/deliveries", tags=["deliveries"])


class DeliveryQuery(DeliveryFilter, PageQuery):
    """Which deliveries; several filters narrow together."""


class DeliveryList(ContractModel):
    """A page of deliveries, newest first."""

    items: list[DeliveryAnswer] = Field(description="At most `limit`.")
    next_cursor: NextCursor


@router.get(
    "",
    name="listDeliveries",
    summary="List deliveries",
    description=(
        "What Spark sent with a right signature and what it was answered, newest first. Filters"
        " narrow it together. Deliveries are kept 30 days by default."
    ),
    responses=LINKED | problems(*INTERNAL_PROBLEMS),
)
async def read_deliveries(
    query: Annotated[DeliveryQuery, Query()],
    opened: Opened,
    link: Link,
    caller: Annotated[Caller, READ],
) -> DeliveryList:
    items, next_cursor = await read_page(
        query,
        partial(list_deliveries, opened.sessions, query, caller=caller.name),
        Cursors(router.prefix, opened.cursor_keys),
        link,
    )
    return DeliveryList(items=items, next_cursor=next_cursor)


@router.get(
    "/{delivery_id}",
    name="getDelivery",
    summary="Read a delivery",
    description="What became of it, without what it says.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def get_delivery(
    delivery_id: UUID, opened: Opened, caller: Annotated[Caller, READ]
) -> DeliveryAnswer:
    return await read_delivery(opened.sessions, delivery_id, caller=caller.name)


@router.post(
    "/{delivery_id}/replay",
    name="replayDelivery",
    summary="Process a delivery again",
    description=(
        "As it arrived, however late, for example after its course was synced. Answers as the"
        " webhook would; the delivery keeps the new outcome. What was recorded before stays, so"
        " repeating it changes nothing. Files that were never stored cannot be replayed."
    ),
    response_model=SubmissionAnswer,
    responses=REPLAYED | problems(*REPLAY_PROBLEMS),
)
async def replay(
    delivery_id: UUID,
    opened: Opened,
    now: Now,
    request_id: RequestId,
    caller: Annotated[Caller, WRITE],
) -> Response:
    recorded = await replay_delivery(
        opened.intake,
        delivery_id,
        caller=caller.name,
        now=now,
        new_id=new_id,
        elapsed=stopwatch(),
    )
    return answer_submission(recorded, request_id)
