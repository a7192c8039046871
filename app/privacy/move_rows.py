"""The rows of what came through Spark, and XP, from one account of a child to the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid5

from app.accounts.sessions import end_sign_ins
from app.activity.audit import record_audit
from app.adoption.shape import LiveShape
from app.database import Columns, Session, Statement
from app.errors import StorageUnavailableError
from app.learning.experience import subject_xp
from app.models import PLATFORM
from app.privacy.merge_work import GRADE_IS_NEW, NAMES_NO_FILE, merge_work

Prefer = Literal["target", "moved"]


@dataclass(frozen=True)
class Move:
    """Of this Spark student, from one account to the other. Where both have work on a task, the one
    to `prefer` stands.
    """

    spark_user_id: str
    from_user: UUID
    to_user: UUID
    prefer: Prefer | None
    caller: str
    is_dry: bool
    now: datetime

    @property
    def ids(self) -> dict[str, Any]:
        return {"a": self.from_user, "b": self.to_user}


def _counted(update: str) -> Statement:
    """Answers one row, with how many `rows` there were."""
    return Statement(f"with moved as ({update} returning 1) select count(*) as rows from moved")  # noqa: S608


_ENROLMENTS = _counted(
    f"""
    update user_quests e set user_id = :b
    from quests q
    where e.user_id = :a and q.id = e.quest_id and q.lms_platform = '{PLATFORM}'
      and not exists (select from user_quests o where o.user_id = :b and o.quest_id = e.quest_id)
    """  # noqa: S608 - our own word
)
_FREE_TWINS = Statement("update user_quest_tasks set source_task_id = null where id = any (:twins)")
_PUT_TASKS = Statement(
    """
    update user_quest_tasks t set user_quest_id = moved.into_id
    from unnest(:tasks::uuid[], :intos::uuid[]) as moved (id, into_id)
    where t.id = moved.id and moved.into_id is not null
    """
)
_GIVE_TWINS = Statement(
    """
    update user_quest_tasks t
    set user_id = :a, user_quest_id = given.old_id, source_task_id = given.source_id
    from unnest(:twins::uuid[], :olds::uuid[], :sources::uuid[]) as given (id, old_id, source_id)
    where t.id = given.id
    """
)
# Each names its rows by what has not moved yet.
_ROWS = {
    "blocks": _counted(
        f"""
        update evidence_document_blocks block
        set uploaded_by_user_id = case when {NAMES_NO_FILE} then :b else uploaded_by_user_id end
        from user_task_evidence_documents d
        where d.id = block.document_id and d.user_id = :a and d.task_id = any (:tasks)
          and block.uploaded_by_user_id = :a
        """  # noqa: S608 - of our own pieces
    ),
    "submissions": _counted(
        """
        update spark.submission_revisions r set user_id = :b
        from quest_task_completions k
        where k.id = r.completion_id and k.user_id = :a and k.task_id = any (:tasks)
        """
    ),
    **{
        name: _counted(
            f"update {table} set user_id = :b where user_id = :a and {key} = any (:tasks)"  # noqa: S608
        )
        for name, table, key in (
            ("documents", "user_task_evidence_documents", "task_id"),
            ("completions", "quest_task_completions", "task_id"),
            ("tasks", "user_quest_tasks", "id"),
        )
    },
    **{
        name: _counted(f"update {table} set user_id = :b where user_id = :a {more}")  # noqa: S608
        for name, table, more in (
            ("deliveries", "spark.deliveries", ""),
            ("answers", "spark.idempotency_keys", ""),
            ("downloads", "spark.downloads", ""),
            ("jobs", "spark.jobs", ""),
            ("grades", "spark.grades", GRADE_IS_NEW),
            (
                "scores",
                "lms_grade_sync",
                "and id in (select id from spark.grades where user_id = :b)",
            ),
            ("events", "user_activity_events", "and event_category = 'lms'"),
        )
    },
}
_AWARDS = Statement(
    """
    with moved as (
      update spark.xp_ledger set user_id = :b
      where user_id = :a and task_id = any (:tasks) returning task_id, pillar, xp_amount)
    select moved.pillar, moved.xp_amount, t.subject_xp_distribution, true as is_kept
    from moved left join user_quest_tasks t on t.id = moved.task_id
    """
)
_TAKE_XP, _GIVE_XP, _TAKE_CREDIT, _GIVE_CREDIT = (
    Statement(statement.format(table=table, column=column, kind=kind))
    for table, column, kind in (
        ("user_skill_xp", "pillar", "text"),
        ("user_subject_xp", "school_subject", "school_subject"),
    )
    for statement in (
        """
        update {table} set xp_amount = greatest(xp_amount - :xp, 0)
        where user_id = :who and {column} = :kind::text::{kind}
        """,
        """
        insert into {table} (user_id, {column}, xp_amount)
        values (:who, :kind::text::{kind}, :xp)
        on conflict (user_id, {column})
        do update set xp_amount = {table}.xp_amount + excluded.xp_amount
        """,
    )
)
_IN_ALL = Statement(
    """
    update users set total_xp = (
      select coalesce(sum(x.xp_amount), 0) from user_skill_xp x where x.user_id = users.id)
    where id in (:a, :b)
    """
)
_SHOW_COPY = Statement(
    """
    update evidence_document_blocks block
    set content = replace(block.content::text, :old_key, :new_key)::jsonb
    from user_task_evidence_documents d
    where d.id = block.document_id and d.user_id = :a and strpos(block.content::text, :old_key) > 0
    """
)
_USE_COPY = Statement(
    """
    with old as (
      select * from spark.uploads where id = :old_id::uuid and state = 'committed' for update),
    used as (
      update spark.uploads copy set state = 'committed', submission_id = old.submission_id,
        document_id = old.document_id, position = old.position, filename = old.filename,
        content_type = old.content_type, size_bytes = old.size_bytes, sha256 = old.sha256,
        stored_bytes = old.stored_bytes, stored_sha256 = old.stored_sha256, location = old.location,
        scan = old.scan, picture = old.picture, derived_from = :new_original::uuid
      from old where copy.id = :new_id and copy.state = 'pending' returning copy.id),
    job as (
      update spark.jobs set key = :new_id::uuid::text from used
      where kind = 'picture' and key = :old_id::uuid::text),
    download as (
      update spark.downloads set upload_id = :new_id::uuid from used
      where upload_id = :old_id::uuid)
    update spark.uploads set state = 'deleting', lease_until = now(), submission_id = null,
      document_id = null
    where id = :old_id and exists (select from used) returning id
    """
)
_LINK = Statement(
    f"""
    update lms_integrations set user_id = :b, created_at = now(), updated_at = now()
    where lms_platform = '{PLATFORM}' and lms_user_id = :spark_user_id and user_id = :a
    """  # noqa: S608 - our own word
)


_HOLDS = Statement("update spark.holds set user_id = :b where user_id = :a")


def copy_id(upload_id: UUID, to_user: UUID) -> UUID:
    """The same whenever it is asked for."""
    return uuid5(upload_id, str(to_user))


async def use_copy(session: Session, move: Move, file: Columns, new_key: str) -> None:
    """The copy takes the place of the file, in rows and in what evidence shows."""
    new_id = copy_id(file["id"], move.to_user)
    of_copy = file["derived_from"] and copy_id(file["derived_from"], move.to_user)
    ids = {"old_id": file["id"], "new_id": new_id, "new_original": of_copy}
    if not await _USE_COPY.send(session, ids):
        raise StorageUnavailableError(hint="It took too long. Ask again.")
    keys = {"old_key": file["object_key"], "new_key": new_key}
    await _SHOW_COPY.send(session, {"a": move.from_user} | keys)


async def move_rows(
    session: Session,
    shape: LiveShape,
    move: Move,
    plan: Sequence[Columns],
    conflicts: Sequence[Columns],
) -> dict[str, int]:
    """Those of the plan's tasks go over whole; of conflicts both works become one."""
    ids = move.ids
    tasks = {"tasks": [task["id"] for task in plan]}
    merged, awards = await _merge(session, move, conflicts)
    awards += await _AWARDS.send(session, ids | tasks)
    [moved] = await _ENROLMENTS.send(session, ids)
    counts = {"merged": len(conflicts), "enrolments": moved["rows"], "awards": len(awards)}
    await _exchange(session, move, plan)
    for name, statement in _ROWS.items():
        [moved] = await statement.send(session, ids | tasks)
        counts[name] = moved["rows"]
    counts["submissions"] += merged
    defers_credit = (await shape.read(session)).defers_credit
    await pay(session, ids, awards, defers_credit=defers_credit)
    await _HOLDS.send(session, ids)
    await _LINK.send(session, ids | {"spark_user_id": move.spark_user_id})
    await end_sign_ins(session, move.from_user)
    merges: dict[str, Any] = {}
    if conflicts:
        merges = {"merged": [str(task["twin_id"]) for task in conflicts], "prefer": move.prefer}
    await record_audit(
        session,
        move.caller,
        "sensitive_update",
        user_id=move.to_user,
        linked=move.spark_user_id,
        **merges,
    )
    await record_audit(
        session,
        move.caller,
        "sensitive_update",
        user_id=move.from_user,
        unlinked=[move.spark_user_id],
    )
    return counts


async def _merge(
    session: Session, move: Move, conflicts: Sequence[Columns]
) -> tuple[int, list[Columns]]:
    revisions, awards = 0, list[Columns]()
    for task in conflicts:
        is_moved = move.prefer == "moved"
        more, taken = await merge_work(session, move.ids, task, is_moved=is_moved, now=move.now)
        revisions += more
        awards += taken
    return revisions, awards


async def _exchange(session: Session, move: Move, plan: Sequence[Columns]) -> None:
    """Tasks that go into an enrolment that is there, and the copies there that give way."""
    twins = [task for task in plan if task["twin_id"]]
    columns = {
        "twins": [task["twin_id"] for task in twins],
        "olds": [task["user_quest_id"] for task in twins],
        "sources": [task["source_task_id"] for task in twins],
    }
    await _FREE_TWINS.send(session, columns)
    intos = [task["into_id"] for task in plan]
    await _PUT_TASKS.send(session, {"tasks": [task["id"] for task in plan], "intos": intos})
    await _GIVE_TWINS.send(session, {"a": move.from_user} | columns)


async def pay(
    session: Session, ids: dict[str, Any], awards: Sequence[Columns], *, defers_credit: bool
) -> None:
    """Totals follow the ledger, from the one to the other; what is not kept goes to nobody."""
    for award in awards:
        xp = {"kind": award["pillar"], "xp": award["xp_amount"]}
        credit = {} if defers_credit else subject_xp(award["subject_xp_distribution"])
        subjects = [{"kind": subject, "xp": amount} for subject, amount in credit.items()]
        for take, give, amounts in (
            (_TAKE_XP, _GIVE_XP, [xp]),
            (_TAKE_CREDIT, _GIVE_CREDIT, subjects if award["xp_amount"] else []),
        ):
            for amount in amounts:
                await take.send(session, amount | {"who": ids["a"]})
                if award["is_kept"]:
                    await give.send(session, amount | {"who": ids["b"]})
    await _IN_ALL.send(session, ids)
