"""Deliveries: what Spark sent, newest first, and all that fit processed again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import Response

from app.accounts.mask_addresses import mask_addresses
from app.api.dependencies import Body, Now, Opened, read_fields
from app.api.paging import PageQuery, Pages
from app.clock import new_id
from app.console.render import HOME, console_router, go_on, render
from app.console.visit import Reader, Writer, read_form
from app.deliveries.read_inbox import (
    MOST_COUNTED,
    DeliveryFilter,
    Outcome,
    count_outcomes,
    list_deliveries,
)
from app.errors import FieldInvalidError
from app.submissions.replay_many import ReplayCounts, ReplayOrder, replay_many

PATH = f"{HOME}/deliveries"
REPLAY_PATH = f"{PATH}/replay"
# What an address calls a filter, and what the acts do.
FILTERS = {
    "student": "spark_user_id",
    "assignment": "spark_assignment_id",
    "code": "code",
    "from": "received_from",
    "to": "received_to",
}
STATES: dict[str, Outcome] = {"refused": "refused", "taken": "success"}
REPLAYED_SPAN = timedelta(days=1)  # where nothing narrows them

router = console_router()


@router.get("/deliveries")
async def show_deliveries(
    request: Request, opened: Opened, pages: Pages, caller: Reader
) -> Response:
    asked = read_query(request.query_params, (*FILTERS, "state"))
    outcome = STATES.get(asked.get("state", ""))
    filters = _read(DeliveryFilter, asked, outcome=outcome)
    place = {"cursor": request.query_params.get("cursor")}
    fetch = partial(list_deliveries, opened.sessions, filters, caller=caller.name)
    page = await pages.read(read_fields(PageQuery, place), fetch)
    return render(
        request,
        "deliveries.html",
        asked=asked,
        filters=filters,
        items=page["items"],
        older=page["next_cursor"],
        is_first=place["cursor"] is None,
        counts=await count_outcomes(opened.sessions, filters),
        most=MOST_COUNTED,
        addresses=await mask_addresses(opened.sessions, [each.user_id for each in page["items"]]),
    )


@router.get("/deliveries/replay")
async def show_replay(request: Request, opened: Opened, now: Now, caller: Reader) -> Response:
    """What would be done, and how far it is: the same page before and after."""
    asked = read_query(request.query_params, FILTERS) or {"from": _text(now - REPLAYED_SPAN)}
    order = _order(asked)
    counts = await replay_many(opened.sessions, order, caller=caller.name, new_id=new_id)
    return render(
        request, "replay.html", asked=asked, filters=order, counts=counts, **_sums(counts)
    )


@router.post("/deliveries/replay")
async def replay_all(request: Request, opened: Opened, caller: Writer) -> Response:
    asked = read_query(await read_form(request), FILTERS)
    order = _order(asked, apply=True)
    counts = await replay_many(opened.sessions, order, caller=caller.name, new_id=new_id)
    queued = _sums(counts)["queued"]
    return go_on(request, f"{REPLAY_PATH}?{urlencode(asked)}", f"{queued:,} are queued.")


def read_query(said: Mapping[str, str], names: Any) -> dict[str, str]:
    """What was filled in: a form sends the rest, too."""
    found = {name: said.get(name, "").strip() for name in names}
    return {name: text for name, text in found.items() if text}


def _read(model: type[Body], asked: Mapping[str, str], **more: Any) -> Body:
    """Raises FieldInvalidError, which names the filter as the form does."""
    names = {inner: name for name, inner in FILTERS.items()}
    said = {FILTERS[name]: text for name, text in asked.items() if name in FILTERS}
    try:
        return read_fields(model, said | more)
    except FieldInvalidError as fault:
        name = str(fault.values["name"])
        raise FieldInvalidError(name=names.get(name, name)) from None


def _order(asked: Mapping[str, str], **more: Any) -> ReplayOrder:
    """Raises FieldInvalidError, also where nothing narrows it."""
    codes = [asked["code"]] if "code" in asked else None
    narrowed = {name: text for name, text in asked.items() if name != "code"}
    return _read(ReplayOrder, narrowed, codes=codes, **more)


def _sums(counts: ReplayCounts) -> dict[str, Any]:
    """Over all codes. What is queued is replayable, too."""
    items, done = counts.items, counts.outcomes
    taken = sum(each.deliveries for each in done if each.code is None)
    return {
        "refused": sum(each.deliveries for each in items),
        "queued": sum(each.queued for each in items),
        "ready": sum(each.replayable - each.queued for each in items),
        "oldest_at": min((each.first_received_at for each in items), default=None),
        "taken": taken,
        "again": sum(each.deliveries for each in done) - taken,
    }


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M}"
