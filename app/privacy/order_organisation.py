"""The order to erase an organisation: a row, of which one is open at most, and its job."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.activity.audit import record_audit
from app.database import Sessions, Statement, retried
from app.jobs.enqueue import enqueue

ORGANISATION = "organisation"  # the kind of job; its key is the erasure

_ORDER = Statement(
    """
    insert into spark.organisation_erasures (id, spark_org_id, requested_at, requested_by)
    values (:id, :spark_org_id, :now, coalesce(
      (select name from spark.service_keys where id = :caller::text), :caller))
    on conflict (spark_org_id) where completed_at is null do nothing
    """
)
_OPEN_OF = Statement(
    """
    select id from spark.organisation_erasures
    where spark_org_id = :spark_org_id and completed_at is null
    """
)


@dataclass(frozen=True)
class OrganisationOrder:
    """An order to erase an organisation, under this id unless one is open."""

    id: UUID
    spark_org_id: str
    caller: str
    now: datetime


@retried
async def order_erasure(sessions: Sessions, order: OrganisationOrder) -> UUID:
    """The one that is open, or a new one. A job that died begins anew. Audited."""
    async with sessions() as session, session.begin():
        await _ORDER.send(session, vars(order))
        [found] = await _OPEN_OF.send(session, vars(order))
        order_id: UUID = found["id"]
        about = {"organisation_erasure_id": str(order_id)}
        await record_audit(session, order.caller, "sensitive_delete", user_id=None, **about)
        await enqueue(session, ORGANISATION, str(order_id))
    return order_id
