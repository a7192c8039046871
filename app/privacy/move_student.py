"""What came through Spark moves from one account of a child to the other (ADOPTION 7).

Files are copied first, under the other account's prefix, which may be repeated: a copy has its row
before it has its object, and what is never used is swept. Then all rows move in one transaction,
with the link: whoever hands in something meanwhile waits for it, and is admitted to the other
account. The old objects are left to the sweep. Cut off anywhere, it is done again by being asked
for again. What both have done on one task is not decided here: unless the caller says whose work
stands, nothing is moved.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from pydantic import Field

from app.adoption.people import DELETION_SQL, IS_STUDENT_SQL
from app.adoption.shape import LiveShape
from app.database import Columns, Session, Sessions, Statement, retried
from app.errors import (
    AccountInactiveError,
    AccountLinkForbiddenError,
    NotAStudentError,
    NotFoundError,
)
from app.fields import ContractModel, Id
from app.files.copy_files import copy_file
from app.learning.task_copies import THE_ENROLMENT, copy_missing_tasks
from app.models import PLATFORM
from app.privacy.move_rows import Move, copy_id, move_rows, use_copy
from app.storage.bucket import Bucket

LINKED = "The other account is linked to Spark already: unlink it first."
BOTH_WORKED = (
    "Both accounts have work on {number} of the tasks. Nothing was changed: say in `prefer` whose"
    " stands."
)
LEASE = timedelta(minutes=10)  # of a copy, until the rows have moved


class MoveAnswer(ContractModel):
    """What was moved to this account, or with `dry_run` would be."""

    moved: dict[str, int] = Field(
        description="Rows by kind, files, and `merged`: tasks on which both had work. Empty where"
        " nothing had to move.",
        examples=[{"files": 2, "completions": 1, "submissions": 1}],
    )
    conflicts: list[Id] = Field(
        description="The other account's tasks on which both have work; empty but in a dry run."
    )


# In one order; an erasure waits or was first, and so does whoever writes anything of theirs.
_LOCK_USERS = Statement(
    f"""
    select id, {IS_STUDENT_SQL} as is_student, {DELETION_SQL} as deletion_status
    from users where id in (:a, :b) order by id for update
    """  # noqa: S608 - of our own pieces
)
_LOCK_LINKS = Statement(
    f"""
    select user_id, lms_user_id from lms_integrations
    where lms_platform = '{PLATFORM}' and user_id in (:a, :b) order by id for update
    """  # noqa: S608 - our own word
)
# An enrolment in a course of Spark's goes as a whole where the other account has none there; else
# every task that was handed in through Spark, in exchange for the other's copy of it. In a quest of
# the main app's the student may have done more than that, so the other account gets an enrolment.
_HANDED_IN = """exists (
        select from quest_task_completions k
        join spark.submission_revisions r on r.completion_id = k.id
        where k.user_id = t.user_id and k.task_id = t.id)"""
_ENROL = Statement(
    f"""
    insert into user_quests
      (user_id, quest_id, started_at, last_picked_up_at, personalization_completed)
    select distinct :b::uuid, t.quest_id, :now::timestamptz, :now, true
    from user_quest_tasks t join quests q on q.id = t.quest_id
    where t.user_id = :a and q.lms_platform is distinct from '{PLATFORM}' and {_HANDED_IN}
      and not exists (select from user_quests o where o.user_id = :b and o.quest_id = t.quest_id)
    """  # noqa: S608 - of our own pieces
)
_PLAN = Statement(
    f"""
    select t.id, t.quest_id, t.user_quest_id, t.source_task_id, into_quest.id as into_id,
      twin.id as twin_id, coalesce(twin.has_work, false) as has_twin_work
    from user_quest_tasks t
    join quests q on q.id = t.quest_id
    left join lateral (
      select id from user_quests e where user_id = :b and quest_id = t.quest_id
      order by exists (
        select from user_quest_tasks c
        join quest_task_completions k on k.task_id = c.id and k.user_id = c.user_id
        where c.user_quest_id = e.id and c.source_task_id = t.source_task_id) desc,
        {THE_ENROLMENT} limit 1) into_quest on true
    left join lateral (
      select c.id, exists (
          select from quest_task_completions k where k.user_id = c.user_id and k.task_id = c.id)
        or exists (
          select from user_task_evidence_documents d
          where d.user_id = c.user_id and d.task_id = c.id) as has_work
      from user_quest_tasks c
      where c.user_quest_id = into_quest.id and c.source_task_id = t.source_task_id
      order by has_work desc, c.id limit 1) twin on true
    where t.user_id = :a
      and ({_HANDED_IN} or into_quest.id is null and q.lms_platform = '{PLATFORM}')
    order by t.id
    """  # noqa: S608 - of our own pieces
)
_FILES = Statement(
    """
    select u.id, u.object_key, u.derived_from from spark.uploads u
    left join spark.submission_revisions r on r.id = u.submission_id
    left join quest_task_completions k on k.id = r.completion_id
    left join user_task_evidence_documents d on d.id = u.document_id
    where u.user_id = :a and u.state = 'committed' and coalesce(k.task_id, d.task_id) = any (:tasks)
    order by u.id
    """
)


async def move_student(
    sessions: Sessions, bucket: Bucket, shape: LiveShape, move: Move
) -> MoveAnswer:
    """What has moved already is not moved again.

    Raises NotFoundError, NotAStudentError, AccountInactiveError, AccountLinkForbiddenError or
    StorageUnavailableError.
    """
    copies: dict[UUID, str] = {}
    while True:
        done = await _move(sessions, shape, move, copies)
        if isinstance(done, MoveAnswer):
            return done
        for file in done:
            copies[file["id"]] = await copy_file(
                sessions,
                bucket,
                file["object_key"],
                copy_id=copy_id(file["id"], move.to_user),
                user_id=move.to_user,
                lease=LEASE,
            )


@retried
async def _move(
    sessions: Sessions, shape: LiveShape, move: Move, copies: dict[UUID, str]
) -> MoveAnswer | Sequence[Columns]:
    """The answer, or the files that have to be copied before."""
    async with sessions() as session, session.begin() as transaction:
        if not await _lock(session, move):
            return MoveAnswer(moved={}, conflicts=[])
        plan, conflicts = await _plan(session, move)
        if conflicts and not (move.prefer or move.is_dry):
            raise AccountLinkForbiddenError(hint=BOTH_WORKED.format(number=len(conflicts)))
        merging = conflicts if move.prefer else []
        tasks = {"tasks": [task["id"] for task in (*plan, *merging)]}
        files = await _FILES.send(session, move.ids | tasks)
        if not move.is_dry and (lacking := [file for file in files if file["id"] not in copies]):
            return lacking
        for file in files if not move.is_dry else ():
            await use_copy(session, move, file, copies[file["id"]])
        moved = {"files": len(files)} | await move_rows(session, shape, move, plan, merging)
        if not move.is_dry:
            return MoveAnswer(moved=moved, conflicts=[])
        await transaction.rollback()
        return MoveAnswer(moved=moved, conflicts=[task["id"] for task in conflicts])


async def _lock(session: Session, move: Move) -> bool:
    """Whether the link is still to be moved."""
    users = await _LOCK_USERS.send(session, move.ids)
    if len(users) < len(move.ids):
        raise NotFoundError(hint="One of the two accounts does not exist.")
    if not all(user["is_student"] for user in users):
        raise NotAStudentError(hint="Both accounts must be a student's. Nothing was changed.")
    if any(user["deletion_status"] != "none" for user in users):
        raise AccountInactiveError
    links = await _LOCK_LINKS.send(session, move.ids)
    owners = {link["lms_user_id"]: link["user_id"] for link in links}
    if owners.get(move.spark_user_id) == move.to_user:
        return False
    if move.spark_user_id not in owners:
        raise NotFoundError(hint="`from` is not linked to this Spark id.")
    if move.to_user in owners.values():
        raise AccountLinkForbiddenError(hint=LINKED)
    return True


async def _plan(session: Session, move: Move) -> tuple[list[Columns], list[Columns]]:
    """The tasks that move, and those where both have work. A copy whose template is gone is that of
    the template with its title, as when homework arrives.
    """
    await _ENROL.send(session, move.ids | {"now": move.now})
    found = await _PLAN.send(session, move.ids)
    if lacking := {task["into_id"] for task in found if task["into_id"] and not task["twin_id"]}:
        for user_quest_id in lacking:
            await copy_missing_tasks(session, user_quest_id, template_id=None)
        found = await _PLAN.send(session, move.ids)
    conflicts = [task for task in found if task["has_twin_work"]]
    return [task for task in found if not task["has_twin_work"]], conflicts
