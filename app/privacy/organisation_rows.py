"""What is an organisation's own and no student's: courses, their maps, rosters, messages, events.

Large tables are gone through page by page, by their keys; last the courses go in one transaction,
for by them all others are known. What has nothing but a course's or assignment's id is the
organisation's if no other has that id.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, delete

from app.activity.hours import forget_hours
from app.database import Session, Sessions, Statement
from app.models import ActivityEvent
from app.privacy.forget_texts import forget_texts, names
from app.privacy.spark_work import OWN_COURSES_SQL
from app.text import trimmed_id

PAGE_ROWS = 5000

# ruff: noqa: S608 - of our own pieces
_KNOWN = Statement(
    f"""
    select
      array(select c.quest_id from spark.courses c
        where c.spark_org_id = :org and c.quest_id is not null) as quests,
      array({OWN_COURSES_SQL}) as courses,
      array(
        select a.spark_assignment_id from spark.assignments a join spark.courses c
          on c.id = a.course_id
        where c.spark_org_id = :org and not exists (
          select from spark.assignments b join spark.courses d on d.id = b.course_id
          where b.spark_assignment_id = a.spark_assignment_id and d.spark_org_id <> :org)
      ) as assignments
    """
)
# Nobody's: those of students go with them, or are theirs with another organisation, too.
IS_DELIVERY_SQL = """(d.user_id is null and (d.spark_course_id = any (:courses::text[])
  or d.spark_course_id is null and d.spark_assignment_id = any (:assignments::text[])))"""


def _is_said(json: str) -> str:
    return f"""({json} ->> 'spark_org_id' = :org
  or {json} ->> 'quest_id' = any (:quests::uuid[]::text[])
  or {json} ->> 'spark_course_id' = any (:courses::text[])
  or {json} ->> 'spark_assignment_id' = any (:assignments::text[]))"""


def _paged(table: str, theirs: str, act: str) -> Statement:
    """`act` on `theirs` of a page; answers the last key of the page, and the keys of `done`."""
    return Statement(
        f"""
        with page as (
          select d.id, coalesce({theirs}, false) as is_theirs from {table} d
          where d.id > :after order by d.id limit {PAGE_ROWS}),
        their as (select id from page where is_theirs),
        {act}
        select (select id from page order by id desc limit 1) as last,
          array(select id from done) as done
        """
    )


_DELIVERIES = _paged(
    "spark.deliveries",
    f"{IS_DELIVERY_SQL} and (d.spark_user_id is null or not :is_first::boolean)",
    """done as (delete from spark.deliveries using their where deliveries.id = their.id
      returning deliveries.id),
    undone as (delete from spark.jobs using their
      where jobs.kind = 'replay' and jobs.key = their.id::text)""",
)
_EVENTS = _paged(
    "user_activity_events",
    f"(d.event_category = 'lms' and {_is_said('d.event_data')})",
    "done as (select id from their)",
)
# Who did what stays, to nothing that has a name.
_AUDIT = _paged(
    "spark.audit_log",
    _is_said("d.detail"),
    """done as (update spark.audit_log set detail = '{}' from their
      where audit_log.id = their.id returning audit_log.id)""",
)
_ROSTERS = Statement(
    f"""
    with gone as (
      delete from spark.roster_rows where (import_id, number) in (
        select import_id, number from spark.roster_rows
        where spark_org_id = :org or spark_course_id = any (:courses::text[]) limit {PAGE_ROWS})
      returning 1)
    select count(*) as rows from gone
    """
)
_THESE_EVENTS = ActivityEvent.id == any_(bindparam("event_ids", type_=ARRAY(Uuid)))
_COURSES = Statement(
    """
    with course as (select id, quest_id from spark.courses where spark_org_id = :org),
    link as (delete from spark.links
      where spark_org_id = :org or spark_org_id = '' and spark_course_id = any (:courses::text[])
      returning 1),
    hold as (delete from spark.holds where spark_org_id = :org returning 1),
    quest as (delete from quests using course where quests.id = course.quest_id returning 1),
    assignment as (delete from spark.assignments using course
      where assignments.course_id = course.id returning 1),
    gone as (delete from spark.courses using course where courses.id = course.id returning 1)
    select (select count(*) from link) as "spark.links",
      (select count(*) from hold) as "spark.holds",
      (select count(*) from quest) as "public.quests",
      (select count(*) from assignment) as "spark.assignments",
      (select count(*) from gone) as "spark.courses"
    """
)
_HOLD = Statement("select id from spark.courses where spark_org_id = :org order by id for update")
_HOLD_QUESTS = Statement("select id from quests where id = any (:quests) order by id for update")
_IS_USED = Statement(
    """
    select exists (select from user_quests where quest_id = any (:quests))
      or exists (select from spark.roster_rows where spark_org_id = :org)
      or exists (select from spark.courses where spark_org_id = :org and synced_at > :before)
      as is_used
    """
)

Own = Mapping[str, Any]


async def find_own(session: Session, spark_org_id: str) -> dict[str, Any]:
    """What the organisation's rows are known by."""
    [known] = await _KNOWN.send(session, {"org": spark_org_id})
    return {**known, "org": spark_org_id}


async def forget_messages(
    sessions: Sessions, own: Own, *, is_first: bool = False
) -> dict[str, int]:
    """Deliveries that are nobody's, but `is_first` of who has to be found by them; texts of others
    that name the organisation are emptied. May be repeated, as all of these.
    """
    gone = await _page_by_page(sessions, _DELIVERIES, {**own, "is_first": is_first})
    await forget_texts(sessions, own["org"], is_theirs=partial(_is_of, own=own))
    return {"spark.deliveries": gone}


async def forget_records(sessions: Sessions, own: Own) -> dict[str, int]:
    """Events, rosters, and what the audit log names."""
    events = await _page_by_page(sessions, _EVENTS, own, _forget_events)
    await _page_by_page(sessions, _AUDIT, own)
    rows, last = 0, PAGE_ROWS
    while last == PAGE_ROWS:
        async with sessions() as session, session.begin():
            [gone] = await _ROSTERS.send(session, own)
            last = gone["rows"]
        rows += last
    return {"public.user_activity_events": events, "spark.roster_rows": rows}


async def delete_courses(
    session: Session, spark_org_id: str, *, before: datetime
) -> dict[str, int] | None:
    """None if a student, a roster or a course came after that. A message that names a course at
    this moment waits, and makes a new one then.
    """
    await _HOLD.send(session, {"org": spark_org_id})
    own = {**await find_own(session, spark_org_id), "before": before}
    await _HOLD_QUESTS.send(session, own)
    [found] = await _IS_USED.send(session, own)
    if found["is_used"]:
        return None
    [gone] = await _COURSES.send(session, own)
    return dict(gone)


async def _forget_events(session: Session, event_ids: list[UUID]) -> None:
    values = {"event_ids": event_ids}
    await forget_hours(session, _THESE_EVENTS, values)
    await session.execute(delete(ActivityEvent).where(_THESE_EVENTS), values)


async def _page_by_page(
    sessions: Sessions,
    statement: Statement,
    own: Own,
    act: Callable[[Session, list[UUID]], Any] | None = None,
) -> int:
    after: UUID | None = UUID(int=0)
    rows = 0
    while after is not None:
        async with sessions() as session, session.begin():
            [page] = await statement.send(session, {**own, "after": after})
            if act and page["done"]:
                await act(session, page["done"])
        after = page["last"]
        rows += len(page["done"])
    return rows


def _is_of(text: bytes, spark_org_id: str, *, own: Own) -> bool:
    """A message says whose it is. Of what is no JSON anything is that has an id of theirs."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return any(names(text, word) for word in (spark_org_id, *own["courses"]))
    org = said.get("spark_org_id") if isinstance(said, dict) else None
    return org is not None and trimmed_id(str(org)) == spark_org_id
