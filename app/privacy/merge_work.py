"""What both accounts did on one task becomes one work at the account that gets the link: one
stands, of the other what came through Spark is kept as earlier revisions (ADOPTION 7).

The rows of the account that gets it stay, for rows of the main app's may name them. Of the other's
the task, its completion and document are left behind, without revisions, blocks and XP. What did
not come through Spark is no revision: such blocks go behind those of the work that stands.
"""

from datetime import datetime
from typing import Any

from app.activity.record_event import EVENT_SQL, event_values
from app.clock import new_id
from app.database import Columns, Session, Statement
from app.evidence.documents import (
    EVIDENCE_TEXT_SQL,
    NAMES_DOCUMENT,
    NATIVE_SQL,
    NEXT_VERSION_SQL,
)
from app.evidence.provenance import BLOCK_STATE_SQL, REMOVED_SQL, REPLACED_SQL

ROUTE = "/internal/v1/students"

_THEIRS = """(user_id = :a::uuid and task_id = :task::uuid
        or user_id = :b::uuid and task_id = :twin::uuid)"""
# The main app takes no turns with us: it waits now. A draft alone has no completion; then that of
# the other account goes there.
_HOLD = Statement(
    f"""
    with work as (
      select id, user_id from quest_task_completions where {_THEIRS} for update),
    document as (
      select id, user_id from user_task_evidence_documents where {_THEIRS} for update),
    block as (
      select from evidence_document_blocks
      where document_id in (select id from document) for update)
    select (select id from work where user_id = :a) as old,
      (select id from work order by user_id = :b desc limit 1) as standing,
      (select id from document where user_id = :a) as old_document,
      (select id from document where user_id = :b) as document,
      (select count(*) from spark.submission_revisions r join work on work.id = r.completion_id
        where work.user_id = :a) as submissions, (select count(*) from block) as blocks
    """  # noqa: S608 - of our own pieces
)
_OPEN = Statement(
    f"""
    with document as (
      insert into user_task_evidence_documents (user_id, quest_id, task_id)
      values (:user_id, :quest_id, :task_id) returning id),
    {NATIVE_SQL}
    select id from document
    """  # noqa: S608 - of our own pieces
)
_SET_ASIDE = Statement(
    f"""
    with stale as (
      select * from spark.submission_revisions
      where completion_id = :completion and replaced_at is null),
    block as (
      select {BLOCK_STATE_SQL} from evidence_document_blocks
      join stale as submission_revisions on true where document_id = :of_document),{REMOVED_SQL},
    {REPLACED_SQL} select * from replaced
    """  # noqa: S608 - of our own pieces
)
# An assignment has one grade of a user. Where both accounts have one each keeps its own, as it was
# sent under its own Spark id: the next score is the linked one's.
GRADE_IS_NEW = """and not exists (
            select from spark.grades o where o.user_id = :b
              and o.spark_course_id = grades.spark_course_id
              and o.spark_assignment_id = grades.spark_assignment_id)"""
# A file that the main app's editor stored stays where it is: who added its block says whose folder
# that is (DESIGN R19).
NAMES_NO_FILE = "strpos(block.content::text, '/' || :a::uuid::text || '/') = 0"
# Numbers and places are unique, which is checked row by row: so each is first one below zero. A
# revision keeps its place among those of its account, though clocks of transactions may differ.
_MERGE = (
    Statement(
        """
        with numbered as (
          select id, row_number() over (order by arrived, completion_id, revision) as number
          from (
            select id, completion_id, revision, max(created_at) over (
              partition by completion_id order by revision) as arrived
            from spark.submission_revisions where completion_id in (:old, :standing)) r)
        update spark.submission_revisions r
        set completion_id = :standing, user_id = :b, revision = -number
        from numbered where numbered.id = r.id
        """
    ),
    Statement(
        """
        update spark.submission_revisions set revision = -revision
        where completion_id = :standing and revision < 0
        """
    ),
    Statement(
        f"""
        with placed as (
          select id, row_number() over (
            order by document_id = :first_document::uuid desc, order_index) as number
          from evidence_document_blocks where document_id in (:old_document::uuid, :document))
        update evidence_document_blocks block
        set document_id = :document, order_index = -number, uploaded_by_user_id
          = case when uploaded_by_user_id = :a and {NAMES_NO_FILE} then :b
            else uploaded_by_user_id end
        from placed where placed.id = block.id
        """  # noqa: S608 - of our own pieces
    ),
    Statement(
        """
        update evidence_document_blocks set order_index = -1 - order_index
        where document_id = :document and order_index < 0
        """
    ),
    Statement(
        f"""
        with document as (
          update user_task_evidence_documents d
          set status = 'completed', completed_at = coalesce(d.completed_at, :now),
            is_confidential = d.is_confidential or coalesce(other.is_confidential, false),
            updated_at = {NEXT_VERSION_SQL.format(now=":now", document="d")}
          from (values (:old_document::uuid)) as named (id)
          left join user_task_evidence_documents other on other.id = named.id
          where d.id = :document returning d.id),
        emptied as (
          update user_task_evidence_documents d
          set updated_at = {NEXT_VERSION_SQL.format(now=":now", document="d")}
          where id = :old_document),
        file as (
          update spark.uploads set document_id = :document
          where document_id = :old_document and state = 'committed'),
        grade as (
          update spark.grades set task_id = :twin
          where user_id = :a and task_id = :task {GRADE_IS_NEW})
        update quest_task_completions k
        set user_id = :b, task_id = :twin, updated_at = :now,
          user_quest_task_id = case when k.id = old.id then :twin else k.user_quest_task_id end,
          completed_at = least(k.completed_at, old.completed_at),
          is_confidential = k.is_confidential or old.is_confidential,
          evidence_text = case
            when :is_moved and not starts_with(old.evidence_text, '{NAMES_DOCUMENT}')
              then old.evidence_text
            when :is_moved or :is_opened or k.id = old.id then {EVIDENCE_TEXT_SQL}
            else k.evidence_text end
        from document, quest_task_completions old
        where k.id = :standing and old.id = :old
        """  # noqa: S608 - of our own pieces
    ),
)
# The current revision is the last: what stands and is not is handed in again, as when it is
# restored. `made` waits for `replaced`, or two were current.
_STAND_LAST = Statement(
    f"""
    with kept as (select * from spark.submission_revisions where completion_id = :standing),
    stale as (
      select * from kept where replaced_at is null and exists (
        select from kept r
        where (r.submitted_at, r.revision) > (kept.submitted_at, kept.revision))),
    block as (
      select {BLOCK_STATE_SQL} from evidence_document_blocks
      join stale as submission_revisions on true where document_id = :document),{REPLACED_SQL},
    made as (
      insert into spark.submission_revisions (id, completion_id, user_id, quest_id, revision,
        restored_from, spark_assignment_id, spark_course_id, submission_text, grade, fingerprint,
        written_ids, block_ids, submitted_at)
      select :restored_id::uuid, :standing, user_id, quest_id,
        (select max(revision) + 1 from kept), coalesce(restored_from, id), spark_assignment_id,
        spark_course_id, submission_text, grade, fingerprint, written_ids, block_ids,
        greatest(:now, (select max(submitted_at) from kept))
      from stale join replaced on true
      returning *),
    event_data as (
      select jsonb_build_object('submission_id', made.id, 'completion_id', completion_id,
        'quest_id', made.quest_id, 'task_id', t.id, 'document_id', :document::uuid,
        'spark_assignment_id', spark_assignment_id, 'spark_course_id', spark_course_id,
        'pillar', t.pillar, 'xp_awarded', 0, 'revision', revision, 'is_first', false,
        'file_count', (
          select count(*) from spark.uploads
          where submission_id = restored_from and state = 'committed'
            and derived_from is null)) as said
      from made join user_quest_tasks t on t.id = :twin),
    {EVENT_SQL}
    select id from made
    """  # noqa: S608 - of our own pieces
)
# Each account keeps one award for the task, one of them of 0: XP stays where it was paid, by the
# ledger or by the main app, and goes along only to who has been paid nothing.
_PAY_ONCE = Statement(
    """
    with mine as (select * from spark.xp_ledger where user_id = :a and task_id = :task),
    gone as (delete from spark.xp_ledger x using mine where x.id = mine.id and :is_unpaid),
    taken as (
      update spark.xp_ledger x set xp_amount = 0 from mine
      where x.id = mine.id and not :is_unpaid),
    kept as (
      insert into spark.xp_ledger as x
        (id, user_id, task_id, completion_id, pillar, xp_amount, awarded_at)
      select :award_id::uuid, :b, t.id, :standing, coalesce(mine.pillar, t.pillar),
        case when :is_unpaid then coalesce(mine.xp_amount, 0) else 0 end,
        coalesce(mine.awarded_at, :now)
      from user_quest_tasks t left join mine on true where t.id = :twin
      on conflict (user_id, task_id) do update
      set xp_amount = (select xp_amount from mine), pillar = (select pillar from mine)
      where x.xp_amount = 0 and exists (select from mine)
      returning x.xp_amount)
    select mine.pillar, mine.xp_amount, t.subject_xp_distribution,
      coalesce((select kept.xp_amount from kept), 0) = mine.xp_amount as is_kept
    from mine left join user_quest_tasks t on t.id = :task
    """
)
# What was told and answered names what is there now, and one payment.
_TELL = Statement(
    """
    with revision as (
      select id, jsonb_build_object('completion_id', completion_id, 'revision', revision) as is_now,
        revision = 1 as is_first
      from spark.submission_revisions where completion_id = :standing),
    answer as (
      update spark.idempotency_keys k
      set response = k.response || r.is_now || jsonb_build_object('task_id', :twin::uuid)
      from revision r
      where k.user_id in (:a, :b) and k.response ->> 'submission_id' = r.id::text)
    update user_activity_events e
    set event_data = event_data
      || jsonb_build_object('task_id', :twin, 'document_id', :document::uuid)
      || coalesce((
        select r.is_now || jsonb_build_object('is_first', is_first)
          || case when e.user_id = :a and :is_dropped then '{"xp_awarded": 0}' else '{}'::jsonb end
        from revision r where r.id = e.session_id), '{}')
    where user_id in (:a, :b) and event_category = 'lms'
      and event_data ->> 'task_id' in (:task::uuid::text, :twin::text)
    """
)


async def merge_work(
    session: Session, ids: dict[str, Any], task: Columns, *, is_moved: bool, now: datetime
) -> tuple[int, list[Columns]]:
    """How many revisions moved, and the award that was taken back, with `is_kept` if it was given
    on. With `is_moved` the work that moves stands. The caller holds both users.
    """
    ids = ids | {"task": task["id"], "twin": task["twin_id"], "now": now, "is_moved": is_moved}
    [held] = await _HOLD.send(session, ids)
    document = held["document"] or await _open_document(session, ids, task)
    both = ids | {
        **held,
        "document": document,
        "is_opened": held["document"] is None,
        "first_document": held["old_document"] if is_moved else document,
        "is_unpaid": held["old"] == held["standing"],
        "award_id": new_id(),
        "restored_id": new_id(),
    }
    await _set_aside(session, both)
    for statement in _MERGE:
        await statement.send(session, both)
    awards = list(await _PAY_ONCE.send(session, both))
    is_dropped = any(not award["is_kept"] for award in awards)
    await _TELL.send(session, both | {"is_dropped": is_dropped})
    await _stand_last(session, both)
    return held["submissions"], awards


async def _open_document(session: Session, ids: dict[str, Any], task: Columns) -> Any:
    """With what was told without one, as the first save does."""
    whose = {"user_id": ids["b"], "quest_id": task["quest_id"], "task_id": task["twin_id"]}
    [opened] = await _OPEN.send(session, whose | {"blocks": "[]"})
    return opened["id"]


async def _set_aside(session: Session, both: dict[str, Any]) -> None:
    """The current revision of the other work, with its blocks."""
    is_alone = both["is_unpaid"]  # a draft has no revision
    theirs = None if is_alone else both["standing"], both["document"]
    completion, document = theirs if both["is_moved"] else (both["old"], both["old_document"])
    other = {"completion": completion, "of_document": document, "now": both["now"]}
    await _SET_ASIDE.send(session, other)


async def _stand_last(session: Session, both: dict[str, Any]) -> None:
    event = event_values(
        "spark_submission_restored",
        user_id=both["b"],
        session_id=both["restored_id"],
        data={},
        page_url=ROUTE,
    )
    await _STAND_LAST.send(session, both | event)
