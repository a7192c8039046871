"""Many kept deliveries are processed again, for an operator: counted first, then as jobs."""

import json
from collections.abc import Callable, Iterator
from typing import Self
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool, model_validator
from sqlalchemy import ColumnElement, Text, Uuid, cast, func, select, text

from app import fields
from app.activity.audit import Action, record_audit
from app.database import Session, Sessions, Statement, retried
from app.deliveries.read_inbox import BY_CODE, REPLAYABLE, DeliveryCount, DeliveryPeriod
from app.jobs.enqueue import ENQUEUE_SQL
from app.jobs.try_early import REPLAY
from app.models import InboxDelivery, Job

BATCH_JOBS = 5_000  # in one transaction


class ReplayOrder(DeliveryPeriod):
    """Which refused deliveries; several filters narrow together. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    codes: list[fields.Code] | None = Field(
        None,
        min_length=1,
        max_length=50,
        description="Refused with one of these codes.",
        examples=[["assignment_not_found"]],
    )
    apply: StrictBool = Field(
        default=False,
        description="Order it. Otherwise it is only counted.",
        examples=[False],
    )

    @model_validator(mode="after")
    def _names_some(self) -> Self:
        if not self.model_dump(exclude={"apply"}, exclude_none=True):
            raise ValueError("name at least one filter")
        return self


class ReplayCount(DeliveryCount):
    """Refused deliveries of one code, and how many of them can be processed again."""

    replayable: int = Field(
        ge=0, description="Of them, whose text is kept. Spark must send the others.", examples=[295]
    )
    queued: int = Field(
        ge=0, description="Of them, which wait for their turn or run.", examples=[0]
    )


class ReplayCounts(fields.ContractModel):
    """What is refused, and what came of it."""

    items: list[ReplayCount] = Field(
        description="Those that the filters name, the most frequent first."
    )
    outcomes: list[DeliveryCount] = Field(
        description=(
            "What became of those that were processed again so far, with the filters but `codes`;"
            " `code` is null where it was taken."
        )
    )


_KEY = cast(InboxDelivery.id, Text)
_IS_LIVE = (Job.kind == REPLAY) & Job.state.in_(("waiting", "running"))
_QUEUED = select(Job.id).where(_IS_LIVE, Job.key == _KEY).limit(1).scalar_subquery().is_not(None)
_LIVE = select(cast(Job.key, Uuid).label("id")).where(_IS_LIVE).distinct().subquery()
REPLAYED = BY_CODE.where(InboxDelivery.replayed_at.is_not(None))
_COUNT = BY_CODE.outerjoin_from(InboxDelivery, _LIVE, _LIVE.c.id == InboxDelivery.id).add_columns(
    func.count().filter(REPLAYABLE).label("replayable"), func.count(_LIVE.c.id).label("queued")
)
# An outage has 50,000 refusals where the statistics say there is one: each would be looked for
# among all jobs, or all be sorted on the disk.
_BY_HASH = text(
    "SELECT set_config('enable_nestloop', 'off', true), set_config('enable_sort', 'off', true)"
)
# The oldest first: jobs of one moment are begun in any order.
_SOURCE = f"""
select '{REPLAY}' as kind, d.id::text as key, d.user_id, null::text as target,
  :payload::jsonb as payload, now() + asked.place * interval '1 microsecond' as run_at
from unnest(:ids::uuid[]) with ordinality as asked (id, place)
join spark.deliveries d using (id)
order by d.id
"""  # noqa: S608 - of our own words
_ENQUEUE = Statement(f"with {ENQUEUE_SQL.format(source=_SOURCE)} select id from enqueued")  # noqa: S608


async def replay_many(
    sessions: Sessions, order: ReplayOrder, *, caller: str, new_id: Callable[[], UUID]
) -> ReplayCounts:
    """What is there to be done, and what came of it; with `apply` it is ordered before, each once.

    Audited. What was cut off is ordered by asking again.
    """
    bulk, after = str(new_id()), None
    await _audit(sessions, order, caller, bulk)
    if order.apply:
        payload = json.dumps({"bulk": bulk, "caller": caller})
        while after := await _enqueue(sessions, order, payload, after):
            pass
    async with sessions() as session, session.begin():
        return await _count(session, order)


async def _audit(sessions: Sessions, order: ReplayOrder, caller: str, bulk: str) -> None:
    """Of each student it is audited when it is done."""
    asked = order.model_dump(mode="json", exclude_none=True, exclude={"spark_user_id", "apply"})
    said = asked | {"what": "replay", "bulk": bulk}
    action: Action = "sensitive_update" if order.apply else "sensitive_read"
    async with sessions() as session, session.begin():
        await record_audit(session, caller, action, user_id=None, **said)


@retried
async def _enqueue(
    sessions: Sessions, order: ReplayOrder, payload: str, after: UUID | None
) -> UUID | None:
    """The last of a batch; None if there is nothing after `after`."""
    found = select(InboxDelivery.id).where(*_conditions(order), REPLAYABLE, ~_QUEUED)
    if after:
        found = found.where(InboxDelivery.id > after)
    async with sessions() as session, session.begin():
        batch = await session.execute(found.order_by(InboxDelivery.id).limit(BATCH_JOBS))
        ids = list(batch.scalars())
        await _ENQUEUE.send(session, {"ids": ids, "payload": payload})
    return ids[-1] if ids else None


async def _count(session: Session, order: ReplayOrder) -> ReplayCounts:
    await session.execute(_BY_HASH)
    refused = _COUNT.where(*_conditions(order))
    again = REPLAYED.where(*order.conditions())
    items, outcomes = await session.execute(refused), await session.execute(again)
    return ReplayCounts(
        items=[ReplayCount(**count) for count in items.mappings()],
        outcomes=[DeliveryCount(**count) for count in outcomes.mappings()],
    )


def _conditions(order: ReplayOrder) -> Iterator[ColumnElement[bool]]:
    yield from order.conditions()
    yield InboxDelivery.code.is_not(None)
    if order.codes:
        yield InboxDelivery.code.in_(order.codes)
