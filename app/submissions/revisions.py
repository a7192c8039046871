"""The handings-in of one completion. The current one has the latest `submitted_at`.

A message with the current content is a duplicate; other content is a new revision. Earlier ones
keep their text and files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.database import Session, Statement, read_as
from app.evidence.provenance import BLOCK_STATE_SQL, REMOVED_SQL, REPLACED_SQL
from app.learning.enrolment import ENROLLED_SQL, THE_TASK_SQL, Task
from app.learning.task_copies import copy_missing_tasks
from app.storage.kept_file import KeptFile


class Revision(NamedTuple):
    """`files_of` is the revision that its files came with."""

    id: UUID
    completion_id: UUID
    number: int
    fingerprint: bytes
    submitted_at: datetime
    files_of: UUID

    @property
    def facts(self) -> dict[str, Any]:
        """Of its answer, what is known once it is written."""
        return {"completion_id": str(self.completion_id), "revision": self.number}


@dataclass(frozen=True)
class Standing:
    """Where a student stands with a task: the revision that was current when another is handed in,
    whether the student had hidden or removed a part of what it showed, and the places in the
    evidence document that blocks hold.
    """

    user_id: UUID
    user_quest_id: UUID
    task: Task
    current: Revision | None
    was_hidden: bool
    kept_places: Sequence[int]


_CURRENT_OF_TASK = """
      join quest_task_completions c on c.user_id = :user_id and c.task_id = task.task_id
      join spark.submission_revisions r on r.completion_id = c.id and r.replaced_at is null"""
_CURRENT = Statement(
    f"""
    select r.id, r.completion_id, r.revision as number, r.fingerprint, r.submitted_at,
      coalesce(r.restored_from, r.id) as files_of
    from ({THE_TASK_SQL}) task {_CURRENT_OF_TASK}
    """  # noqa: S608 - our own words
)
# The enrolment, locked; the task; the current revision, which makes room for `:fingerprint` if that
# is other content and not older than `:submitted_at`: Spark's blocks are gone then. It locks and
# reads in one look: whoever edits evidence takes the student's turn first, and ADMIT has it by now.
# The main app takes none: of a block that it is writing, what is read is what it wrote.
STAND = Statement(
    f"""
    with {ENROLLED_SQL},
    current as (
      select r.*, coalesce(r.restored_from, r.id) as files_of
      from task {_CURRENT_OF_TASK}),
    stale as (
      select * from current
      where fingerprint <> :fingerprint::bytea
        and submitted_at <= coalesce(:submitted_at::timestamptz, submitted_at)),
    block as (
      select {BLOCK_STATE_SQL}
      from task
      join user_task_evidence_documents document
        on document.user_id = :user_id and document.task_id = task.task_id
      join evidence_document_blocks on evidence_document_blocks.document_id = document.id
      left join stale as submission_revisions on true
      for update of evidence_document_blocks),{REMOVED_SQL},{REPLACED_SQL}
    select coalesce((select id from found), (select id from enrolled)) as user_quest_id,
      task.task_id, task.quest_id, task.pillar, task.xp_value,
      task.subject_xp_distribution::text,
      current.id, current.completion_id, current.revision as number, current.fingerprint,
      current.submitted_at, current.files_of,
      coalesce((select was_hidden from replaced), false) as was_hidden,
      array(select order_index from block where not is_by_spark) as kept_places
    from (values (1)) as one left join task on true left join current on true
    """  # noqa: S608 - our own words
)


def answer_of(submission_id: UUID, task: Task, files: Iterable[KeptFile]) -> dict[str, Any]:
    """The body of CONTRACT 7.5, in its order; the edge adds the request's id."""
    return {
        "status": "success",
        "completion_id": None,
        "submission_id": str(submission_id),
        "revision": None,
        "duplicate": False,
        "quest_id": str(task.quest_id),
        "task_id": str(task.task_id),
        "xp_awarded": 0,
        "files": [file.facts for file in files],
        "warnings": [],
    }


async def find_current(
    session: Session, user_quest_id: UUID, *, user_id: UUID, template_id: UUID | None
) -> Revision | None:
    """Of the copy of a template task, or of the enrolment's first task if none is named."""
    ids = {"user_quest_id": user_quest_id, "user_id": user_id, "template_id": template_id}
    found = await _CURRENT.send(session, ids)
    return read_as(Revision, found[0]) if found else None


async def stand(session: Session, values: Mapping[str, Any]) -> Standing | None:
    """The student is enrolled, and stands with the copy of a template task, with their first task,
    or with this one; room is made for what they hand in. None for a quest without tasks; what it
    lacks is copied.

    `values` are those of STAND, of which `template_id`, `task_id` and `submitted_at` may be
    missing. The caller has the student's turn.
    """
    values = {"template_id": None, "task_id": None, "submitted_at": None, **values}
    [row] = await STAND.send(session, values)
    if row["task_id"] is None:
        await copy_missing_tasks(session, row["user_quest_id"], template_id=values["template_id"])
        [row] = await STAND.send(session, values)
    if row["task_id"] is None:
        return None
    current = read_as(Revision, row) if row["id"] else None
    return Standing(
        values["user_id"],
        row["user_quest_id"],
        read_as(Task, row),
        current,
        row["was_hidden"],
        row["kept_places"],
    )
