"""Whose students are whose: an organisation's members, and what its erasure would make of each.

A student belongs to every organisation in whose courses they are enrolled, dropped or not, and that
a roster names beside them, as long as that is kept. Without any they belong to none.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Literal
from uuid import UUID

from app.adoption.people import IS_STUDENT_SQL
from app.database import Columns, Session, Sessions, Statement
from app.models import PLATFORM

# An account that Spark made is `erased`; one that was there before is `unlinked`, and so is whoever
# is no student any more. Who also belongs to another organisation is `kept`.
Fate = Literal["erased", "unlinked", "kept"]

MEMBERS_PER_PAGE = 200
UNKNOWN = "`python -m app organisation list` names all that are known."

# ruff: noqa: S608 - of our own pieces
_ENROLLED = "spark.courses c join user_quests e on e.quest_id = c.quest_id"
_LISTED = f"""spark.roster_imports i
    join spark.roster_rows r on r.import_id = i.id
    join lms_integrations l on l.lms_platform = '{PLATFORM}' and l.lms_user_id = r.spark_user_id"""


def _belongs(org: str) -> str:
    return f"""(
  exists (select from {_ENROLLED} where e.user_id = users.id and c.spark_org_id {org})
  or exists (select from {_LISTED} where l.user_id = users.id and r.spark_org_id {org}))"""


_MEMBER = f"""
select users.id as user_id, users.first_name, users.last_name, users.email, link.spark_user_ids,
  case when {_belongs("not in ('', :org)")} then 'kept'
    when link.is_made and {IS_STUDENT_SQL} then 'erased' else 'unlinked' end as fate
from users
cross join lateral (
  select coalesce(
      array_agg(l.lms_user_id::text order by l.created_at desc nulls last, l.id), '{{}}'
    ) as spark_user_ids,
    coalesce(bool_or(l.created_at = users.created_at), false) as is_made -- in one transaction
  from lms_integrations l
  where l.user_id = users.id and l.lms_platform = '{PLATFORM}') link
"""
_ONE = Statement(f"{_MEMBER} where users.id = :user_id and {_belongs('= :org')}")
_PAGE = Statement(
    f"""{_MEMBER}
    where users.id > :after and users.id in (
      select e.user_id from {_ENROLLED} where c.spark_org_id = :org
      union
      select l.user_id from {_LISTED} where r.spark_org_id = :org)
    order by users.id limit {MEMBERS_PER_PAGE}
    """
)
_EACH = f"""
    select c.spark_org_id, e.user_id from {_ENROLLED} where c.spark_org_id <> ''
    union
    select r.spark_org_id, l.user_id from {_LISTED} where r.spark_org_id <> ''"""
_LIST = Statement(
    f"""
    with known as (
      select spark_org_id from spark.courses where spark_org_id <> ''
      union select spark_org_id from spark.roster_rows where spark_org_id <> ''),
    member as (
      select spark_org_id, count(*) as students, count(*) filter (where is_shared) as shared
      from (select *, count(*) over (partition by user_id) > 1 as is_shared
        from ({_EACH}) belongs) each
      group by spark_org_id),
    course as (
      select spark_org_id, count(*) as courses, max(synced_at) as synced_at
      from spark.courses group by spark_org_id)
    select spark_org_id::text, coalesce(courses, 0) as courses, coalesce(students, 0) as students,
      coalesce(shared, 0) as shared, synced_at
    from known left join member using (spark_org_id) left join course using (spark_org_id)
    order by spark_org_id
    """
)


async def find_fate(session: Session, user_id: UUID, spark_org_id: str) -> Fate | None:
    """None for who is no member. It holds as long as the user's row is locked."""
    found = await _ONE.send(session, {"user_id": user_id, "org": spark_org_id})
    return found[0]["fate"] if found else None


async def list_members(sessions: Sessions, spark_org_id: str) -> AsyncIterator[Columns]:
    """In the order of their ids, with memory for a page."""
    after = UUID(int=0)
    while True:
        async with sessions() as session, session.begin():
            page = await _PAGE.send(session, {"after": after, "org": spark_org_id})
        for member in page:
            yield member
        if len(page) < MEMBERS_PER_PAGE:
            return
        after = page[-1]["user_id"]


async def list_organisations(sessions: Sessions) -> Sequence[Columns]:
    """All that a course or a roster has named."""
    async with sessions() as session, session.begin():
        return await _LIST.send(session, {})
