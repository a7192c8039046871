"""The handings-in of one completion. The current one has the latest `submitted_at`.

A message with the current content is a duplicate; other content is a new revision. Earlier ones
keep their text and files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Row,
    Select,
    Uuid,
    any_,
    bindparam,
    delete,
    func,
    select,
    true,
    update,
)

from app.database import Session, read_as
from app.evidence.documents import kept_places
from app.evidence.revision_files import FILES_OF
from app.learning.enrolment import A_TASK, THE_TASK, Task
from app.models import EvidenceBlock, QuestTaskCompletion, SubmissionRevision
from app.storage.kept_file import KeptFile


class Revision(NamedTuple):
    """`block_ids` are the evidence blocks that show it: the next one replaces exactly these.
    `files_of` is the revision that its files came with.
    """

    id: UUID
    completion_id: UUID
    number: int
    fingerprint: bytes
    submitted_at: datetime
    block_ids: Sequence[UUID]
    files_of: UUID

    def answer(
        self, task: Task, files: Iterable[KeptFile], *, xp_awarded: int = 0
    ) -> dict[str, Any]:
        """The body of CONTRACT 7.5; the edge adds the request's id."""
        return {
            "status": "success",
            "completion_id": str(self.completion_id),
            "submission_id": str(self.id),
            "revision": self.number,
            "duplicate": False,
            "quest_id": str(task.quest_id),
            "task_id": str(task.task_id),
            "xp_awarded": xp_awarded,
            "files": [file.facts for file in files],
            "warnings": [],
        }

    def event(
        self, task: Task, spark_assignment_id: str, spark_course_id: str | None
    ) -> dict[str, Any]:
        """What its event says (CONTRACT 9.1), beside what is counted."""
        return {
            "submission_id": str(self.id),
            "spark_assignment_id": spark_assignment_id,
            "spark_course_id": spark_course_id,
            "quest_id": str(task.quest_id),
            "task_id": str(task.task_id),
            "completion_id": str(self.completion_id),
        }


@dataclass(frozen=True)
class Standing:
    """Where a student stands with a task: the current revision, and the places in the evidence
    document that other blocks hold.
    """

    user_id: UUID
    user_quest_id: UUID
    task: Task
    current: Revision | None
    kept_places: Sequence[int]


def _standing(the_task: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    task = the_task.cte("task")
    current = (
        select(
            SubmissionRevision.id,
            SubmissionRevision.completion_id,
            SubmissionRevision.revision.label("number"),
            SubmissionRevision.fingerprint,
            SubmissionRevision.submitted_at,
            SubmissionRevision.block_ids,
            FILES_OF.label("files_of"),
        )
        .join(QuestTaskCompletion, QuestTaskCompletion.id == SubmissionRevision.completion_id)
        .where(
            QuestTaskCompletion.user_id == bindparam("user_id"),
            QuestTaskCompletion.task_id == task.c.task_id,
            SubmissionRevision.replaced_at.is_(None),
        )
        .lateral("current")
    )
    places = kept_places(bindparam("user_id"), task.c.task_id, current.c.block_ids)
    return select(places.label("kept_places"), task, current).select_from(
        task.outerjoin(current, true())
    )


_STANDING, _STANDING_WITH = _standing(THE_TASK), _standing(A_TASK)
# The revision's blocks that are still shown, changed or not: fewer than it wrote means that the
# student hid something.
_SAYS = func.coalesce(
    func.nullif(func.jsonb_extract_path_text(EvidenceBlock.content, "text"), ""),
    func.jsonb_extract_path_text(EvidenceBlock.content, "url"),
)
_SHOWN = (
    select(func.count())
    .where(
        EvidenceBlock.id == any_(SubmissionRevision.written_ids),
        _SAYS.is_not(None),
        ~EvidenceBlock.is_private,
    )
    .correlate(SubmissionRevision)
    .scalar_subquery()
)
_REPLACED = (
    update(SubmissionRevision)
    .where(SubmissionRevision.id == bindparam("of_revision"))
    .values(
        replaced_at=bindparam("at"),
        was_hidden=func.cardinality(SubmissionRevision.written_ids) > _SHOWN,
    )
    .returning(SubmissionRevision.was_hidden)
    .cte("replaced")
)
_REMOVED = (
    delete(EvidenceBlock)
    .where(EvidenceBlock.id == any_(bindparam("shown", type_=ARRAY(Uuid))))
    .cte("removed")
)
_RETIRE = select(_REPLACED.c.was_hidden).add_cte(_REMOVED)


async def find_standing(
    session: Session, user_quest_id: UUID, *, user_id: UUID, template_id: UUID | None
) -> Standing | None:
    """With the copy of a template task, or with the enrolment's first task if none is named."""
    ids = {"user_quest_id": user_quest_id, "user_id": user_id}
    found = await session.execute(_STANDING, ids | {"template_id": template_id})
    return _read_standing(found.one_or_none(), **ids)


async def find_standing_with(
    session: Session, task_id: UUID, *, user_quest_id: UUID, user_id: UUID
) -> Standing | None:
    """With this task, the student's own copy."""
    found = await session.execute(_STANDING_WITH, {"task_id": task_id, "user_id": user_id})
    return _read_standing(found.one_or_none(), user_quest_id=user_quest_id, user_id=user_id)


def _read_standing(
    row: Row[*tuple[Any, ...]] | None, *, user_quest_id: UUID, user_id: UUID
) -> Standing | None:
    if row is None:
        return None
    current = read_as(Revision, row) if row.id else None
    return Standing(user_id, user_quest_id, read_as(Task, row), current, row.kept_places or ())


async def retire(session: Session, revision: Revision, *, now: datetime) -> bool:
    """Another is shown from now on. Whether the student had hidden or removed a part of it."""
    retired = await session.execute(
        _RETIRE,
        {"of_revision": revision.id, "at": now, "shown": list(revision.block_ids)},
    )
    return bool(retired.scalar_one())
