"""Submissions end (SECURITY section 7): what will be older than SUBMISSION_RETENTION_DAYS is
announced 30 days before, and then goes in batches.

The revisions of a task go together, so long after the last of them was recorded, with their files
and the blocks that say what Spark handed in. The completion, XP and what the student wrote stay; a
file that the student's own blocks show stays with the document.

A notice is of a week. Nothing goes that was not in one for 30 days, also where the setting is new
or was shortened, nor what would stay by the setting as it is now. The row of the notice is locked
while a batch goes and says how far it is: of any number of workers one goes on, wherever the last
one ended, and what is held is looked at once a week.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.activity.audit import record_audit_of_many
from app.activity.record_event import record_event
from app.clock import first_id, new_id, stopwatch
from app.database import Columns, Session, Sessions, Statement, retried
from app.evidence.documents import EVIDENCE_TEXT_SQL, NEXT_VERSION_SQL
from app.evidence.provenance import IS_BY_SPARK_SQL
from app.learning.enrolment import take_turns
from app.settings import Settings

NOTICE = timedelta(days=30)
BATCH_ROWS = 200
COUNTED_ROWS = 5000
PASS_SECONDS = 10  # the other steps of a sweep wait so long
CALLER = "retention"  # in the audit log
NOBODY = UUID(int=0)

# Of a revision `r`: one of a student, or of any student of an organisation, whatever the course.
IS_HELD_SQL = """(
  exists (select from spark.holds h where h.user_id = r.user_id)
  or exists (
    select from spark.courses c join spark.holds h on h.spark_org_id = c.spark_org_id
    where c.quest_id = r.quest_id)
  or exists (
    select from user_quests q join spark.courses c on c.quest_id = q.quest_id
    join spark.holds h on h.spark_org_id = c.spark_org_id
    where q.user_id = r.user_id))"""
# That it was recorded before `:before`, as all of its task were.
_IS_OLD_SQL = """not exists (
    select from spark.submission_revisions younger
    where younger.completion_id = r.completion_id and younger.id >= :before::uuid)"""


def page_of_old_sql(rows: int) -> str:
    """A piece of a statement: the next revisions in the order in which they were recorded."""
    return f"""
    select id, completion_id, user_id, quest_id from spark.submission_revisions
    where id > :after::uuid and id < :before::uuid order by id limit {rows}"""  # noqa: S608 - ours


_LAST_NOTICE = Statement(
    """
    select week = date_trunc('week', :now::timestamptz at time zone 'UTC')::date as is_of_now,
      goes_before
    from spark.expiry_notices order by week desc limit 1
    """
)
_COUNT = Statement(
    f"""
    with r as ({page_of_old_sql(COUNTED_ROWS)})
    select max(id::text)::uuid as last,
      count(*) filter (where {_IS_OLD_SQL} and not {IS_HELD_SQL}) as due
    from r
    """  # noqa: S608 - our own words
)
_ANNOUNCE = Statement(
    """
    insert into spark.expiry_notices (week, announced_at, goes_before, submissions)
    values (date_trunc('week', :now::timestamptz at time zone 'UTC')::date, :now,
      :goes_before::timestamptz, :submissions::bigint)
    on conflict do nothing returning week
    """
)
_TAKE = Statement(
    """
    select week, goes_before, coalesce(after, '00000000-0000-0000-0000-000000000000') as after
    from spark.expiry_notices
    where finished_at is null and week = (
      select max(week) from spark.expiry_notices where announced_at <= :announced_by::timestamptz)
    for update skip locked
    """
)
_FIND = Statement(
    f"""
    with r as ({page_of_old_sql(BATCH_ROWS)})
    select max(id::text)::uuid as last,
      array_agg(distinct completion_id) filter (where is_due) as completions,
      array_agg(distinct user_id) filter (where is_due) as users
    from (select r.*, {_IS_OLD_SQL} and not {IS_HELD_SQL} as is_due from r) found
    """  # noqa: S608 - our own words
)
# Once their students' turns are taken: what was handed in or moved away meanwhile stays.
_REMOVE = Statement(
    f"""
    with gone as (
      select r.* from spark.submission_revisions r
      where r.completion_id = any (:completions::uuid[]) and r.user_id = any (:users::uuid[])
        and {_IS_OLD_SQL}),
    block as (
      select evidence_document_blocks.id, evidence_document_blocks.document_id,
        submission_revisions.id as revision_id
      from gone as submission_revisions
      join quest_task_completions c on c.id = submission_revisions.completion_id
      join user_task_evidence_documents d on d.user_id = c.user_id and d.task_id = c.task_id
      join evidence_document_blocks on evidence_document_blocks.document_id = d.id
      where submission_revisions.replaced_at is null and {IS_BY_SPARK_SQL}),
    removed as (delete from evidence_document_blocks where id in (select id from block)),
    changed as (
      update user_task_evidence_documents d
      set updated_at = {NEXT_VERSION_SQL.format(now=":now::timestamptz", document="d")}
      where id in (select document_id from block)),
    untold as (
      update quest_task_completions c set evidence_text = {EVIDENCE_TEXT_SQL}, updated_at = :now
      from gone, user_task_evidence_documents document
      where c.id = gone.completion_id and c.evidence_text = gone.submission_text
        and document.user_id = c.user_id and document.task_id = c.task_id),
    file as (
      select u.id, u.submission_id, (
          select d.id from user_task_evidence_documents d
          join evidence_document_blocks b on b.document_id = d.id
          where d.user_id = u.user_id and strpos(b.content::text, u.object_key) > 0
            and b.id not in (select id from block)
          order by d.id limit 1) as shown_in
      from spark.uploads u join gone on gone.id = u.submission_id
      where u.state = 'committed'),
    kept as (
      update spark.uploads u set submission_id = null, document_id = file.shown_in
      from file where u.id = file.id and file.shown_in is not null),
    deleted as (delete from spark.submission_revisions where id in (select id from gone)),
    counted as (
      insert into spark.expiry_counts as k (year, spark_org_id, submissions, files, blocks)
      select extract(year from :now at time zone 'UTC')::int, coalesce(c.spark_org_id, ''),
        count(*),
        sum((select count(*) from file where submission_id = gone.id and shown_in is null)),
        sum((select count(*) from block where revision_id = gone.id))
      from gone left join spark.courses c on c.quest_id = gone.quest_id
      group by c.spark_org_id
      on conflict (year, spark_org_id) do update set
        submissions = k.submissions + excluded.submissions,
        files = k.files + excluded.files, blocks = k.blocks + excluded.blocks)
    select count(*)::int as gone from gone
    """  # noqa: S608 - of our own pieces
)
_NOTE = Statement(
    """
    update spark.expiry_notices
    set after = coalesce(:last::uuid, after),
      finished_at = case when :last is null then :now::timestamptz end
    where week = :week::date
    """
)


async def expire_submissions(sessions: Sessions, settings: Settings, *, now: datetime) -> int:
    """How many went. A pass ends after PASS_SECONDS, and the next one goes on."""
    if settings.submission_retention_days is None:
        return 0
    oldest = now - timedelta(days=settings.submission_retention_days)
    await _announce(sessions, oldest + NOTICE, now)
    spent, gone = stopwatch(), 0
    while spent() < PASS_SECONDS:
        batch = await _expire_batch(sessions, oldest, now)
        if batch is None:
            break
        gone += batch
    return gone


async def _announce(sessions: Sessions, goes_before: datetime, now: datetime) -> None:
    """Once a week what goes in 30 days. Counted is what no notice before has counted."""
    async with sessions() as session, session.begin():
        found = await _LAST_NOTICE.send(session, {"now": now})
    if found and found[0]["is_of_now"]:
        return
    after = first_id(found[0]["goes_before"]) if found else NOBODY
    due = await _count_due(sessions, after, first_id(goes_before))
    async with sessions() as session, session.begin():
        notice = {"now": now, "goes_before": goes_before, "submissions": due}
        if await _ANNOUNCE.send(session, notice) and due:
            await record_event(
                session,
                "spark_expiry_announced",
                user_id=None,
                session_id=new_id(),
                data={"submissions": due, "goes_at": (now + NOTICE).isoformat()},
                page_url="/internal/v1/submissions",
            )


async def _count_due(sessions: Sessions, after: UUID, before: UUID) -> int:
    due = 0
    while True:
        async with sessions() as session, session.begin():
            [page] = await _COUNT.send(session, {"after": after, "before": before})
        if page["last"] is None:
            return due
        due += page["due"]
        after = page["last"]


@retried
async def _expire_batch(sessions: Sessions, oldest: datetime, now: datetime) -> int | None:
    """None where nothing is left, or another worker is at it."""
    async with sessions() as session, session.begin():
        taken = await _TAKE.send(session, {"announced_by": now - NOTICE})
        if not taken:
            return None
        notice = taken[0]
        before = first_id(min(oldest, notice["goes_before"]))
        [found] = await _FIND.send(session, {"after": notice["after"], "before": before})
        gone = await _remove(session, found, before, now) if found["completions"] else 0
        await _NOTE.send(session, {"week": notice["week"], "last": found["last"], "now": now})
        return None if found["last"] is None else gone


async def _remove(session: Session, found: Columns, before: UUID, now: datetime) -> int:
    """The audit log first: whoever erases or moves one of them has been waited for then."""
    await record_audit_of_many(
        session, CALLER, "sensitive_delete", found["users"], what="submissions"
    )
    await take_turns(session, found["users"])
    asked: Mapping[str, Any] = {"before": before, "now": now, **found}
    [removed] = await _REMOVE.send(session, asked)
    count: int = removed["gone"]
    return count
