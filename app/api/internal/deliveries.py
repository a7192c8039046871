"""The inbox for an operator: which deliveries came, what became of them, and once more."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from app.api.callers import Reader, Writer
from app.api.dependencies import Now, Opened, RequestId, read_small
from app.api.described import json_body
from app.api.paging import LINKED, ListPage, PageQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS, REPLAY_PROBLEMS
from app.api.problems import problems
from app.api.submission_answer import REPLAYED, SubmissionAnswer, answer_submission
from app.clock import new_id
from app.deliveries.read_inbox import (
    DeliveryAnswer,
    DeliveryCount,
    DeliveryFilter,
    count_deliveries,
    list_deliveries,
    read_delivery,
)
from app.errors import FieldInvalidError, NotFoundError
from app.fields import ContractModel, FirstMoment, LastMoment, Moment
from app.submissions.replay import replay_delivery
from app.submissions.replay_many import ReplayCounts, ReplayOrder, replay_many

router = APIRouter(prefix="/internal/v1/deliveries", tags=["deliveries"])


COUNTED_SPAN = timedelta(days=1)


class DeliveryQuery(DeliveryFilter, PageQuery):
    """Which deliveries; several filters narrow together."""


class DeliveryList(ListPage[DeliveryAnswer]):
    """A page of deliveries, newest first."""


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
    query: Annotated[DeliveryQuery, Query()], opened: Opened, pages: Pages, caller: Reader
) -> DeliveryList:
    _check_order(query.received_from, query.received_to)
    return DeliveryList(
        **await pages.read(
            query, partial(list_deliveries, opened.sessions, query, caller=caller.name)
        )
    )


class CountsQuery(ContractModel):
    """Of which time. Unknown parameters are refused: misspelt, a filter gives all."""

    model_config = ConfigDict(extra="forbid")

    received_from: FirstMoment = Field(
        None,
        description="ISO 8601 date or moment, UTC unless it says; default a day before the end.",
    )
    received_to: LastMoment = Field(
        None, description="As `received_from`, a date with its whole day; default now."
    )


class DeliveryCounts(ContractModel):
    """What became of the deliveries of a period."""

    received_from: Moment = Field(description="The first moment.")
    received_to: Moment = Field(description="The last moment.")
    items: list[DeliveryCount] = Field(description="The most frequent first, each code once.")


@router.get(
    "/counts",
    name="countDeliveries",
    summary="Count deliveries by cause",
    description=(
        "Why the deliveries of a period were refused, and how many succeeded: what an outage left"
        " to be processed again. What was sent again is counted again."
    ),
    responses=problems(*INTERNAL_PROBLEMS),
)
async def read_counts(
    query: Annotated[CountsQuery, Query()], opened: Opened, now: Now, _: Reader
) -> DeliveryCounts:
    last = query.received_to or now
    first = query.received_from or last - COUNTED_SPAN
    _check_order(first, last)
    items = await count_deliveries(opened.sessions, received_from=first, received_to=last)
    return DeliveryCounts(received_from=first, received_to=last, items=items)


def _check_order(first: datetime | None, last: datetime | None) -> None:
    if first and last and first > last:
        raise FieldInvalidError(name="received_from", hint="It lies after the end.")


@router.get(
    "/{delivery_id}",
    name="getDelivery",
    summary="Read a delivery",
    description="What became of it, without what it says.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def get_delivery(delivery_id: UUID, opened: Opened, caller: Reader) -> DeliveryAnswer:
    return await read_delivery(opened.sessions, delivery_id, caller=caller.name)


@router.post(
    "/replay",
    name="replayDeliveries",
    summary="Process many deliveries again",
    description=(
        "Counts what was refused and can be processed again, as after an outage; with `apply` all"
        " of it is ordered, oldest first, and done in the background, four at a time. Asking again"
        " orders nothing twice, and tells how far it is and what came of it."
        " What was recorded before stays."
    ),
    responses=problems(*INTERNAL_PROBLEMS, *JSON_PROBLEMS),
    openapi_extra=json_body(ReplayOrder),
)
async def order_replays(request: Request, opened: Opened, caller: Writer) -> ReplayCounts:
    order = await read_small(request, ReplayOrder)
    _check_order(order.received_from, order.received_to)
    return await replay_many(opened.sessions, order, caller=caller.name, new_id=new_id)


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
    delivery_id: UUID, opened: Opened, now: Now, request_id: RequestId, caller: Writer
) -> Response:
    recorded = await replay_delivery(
        opened.intake, delivery_id, caller=caller.name, now=now, new_id=new_id
    )
    return answer_submission(recorded, request_id)
