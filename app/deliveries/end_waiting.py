"""Homework that waited for its student or course until its time was over: Spark is told that it is
refused for good (DESIGN R41, R48).
"""

from datetime import timedelta

from sqlalchemy import Boolean, ColumnElement, literal_column

from app.database import Sessions, Statement, retried
from app.deliveries.send_receipt import RECEIPT, sends_receipts
from app.jobs.call_spark import SPARK
from app.jobs.enqueue import job_of_each_sql
from app.jobs.try_early import waits_sql
from app.settings import Settings

BATCH_ROWS = 1000
# ruff: noqa: S608 - of our own words


def _untold_sql(d: str) -> str:
    """Whether there is something to tell of this row of the inbox, now or when its time is over.
    What came again waits as long as that.
    """
    return f"""(coalesce({waits_sql(d)}, false) and not exists (
      select from spark.deliveries again
      where again.digest = {d}.digest and again.id > {d}.id and {waits_sql("again")})
    or exists (
      select from spark.jobs told where told.kind = '{RECEIPT}' and told.key = {d}.id::text))"""


# A receipt is written from its row when it is sent, so that the row is needed until then.
IS_UNTOLD: ColumnElement[bool] = literal_column(_untold_sql("spark.deliveries"), Boolean)
END = Statement(
    f"""
    with ended as (
      update spark.deliveries set message = null
      from (
        select id from spark.deliveries d
        where d.received_at < now() - :kept::interval and d.message is not null
          and {_untold_sql("d")}
        limit {BATCH_ROWS} for update skip locked) due
      where deliveries.id = due.id
      returning deliveries.id, user_id),
    {job_of_each_sql(RECEIPT, "ended", target=f"'{SPARK}'")}
    select id from enqueued
    """
)


async def end_waiting(sessions: Sessions, settings: Settings) -> int:
    """Take the texts whose time is over, and order what there is to tell, in one statement: how
    many. The rest of such a row stays until it is told (`retention`).
    """
    if not sends_receipts(settings):
        return 0
    ended, last = 0, BATCH_ROWS
    while last == BATCH_ROWS:
        last = await _end_batch(sessions, timedelta(days=settings.inbox_retention_days))
        ended += last
    return ended


@retried
async def _end_batch(sessions: Sessions, kept: timedelta) -> int:
    async with sessions() as session, session.begin():
        return len(await END.send(session, {"kept": kept}))
