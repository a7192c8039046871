"""The handings-in of one completion. The current one has the latest `submitted_at`.

A message with the current content is a duplicate; other content is a new revision. Earlier ones
keep their text and files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, Select, Uuid, bindparam, select, text, true

from app.database import Session, read_as
from app.evidence.documents import kept_places
from app.evidence.provenance import BLOCK_KEY_SQL, IS_BY_SPARK_SQL
from app.evidence.revision_files import FILES_OF
from app.learning.enrolment import A_TASK, THE_TASK, Task
from app.models import QuestTaskCompletion, SubmissionRevision
from app.storage.kept_file import KeptFile


class Revision(NamedTuple):
    """`files_of` is the revision that its files came with."""

    id: UUID
    completion_id: UUID
    number: int
    fingerprint: bytes
    submitted_at: datetime
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
    document that blocks hold.
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
    places = kept_places(bindparam("user_id"), task.c.task_id)
    return select(places.label("kept_places"), task, current).select_from(
        task.outerjoin(current, true())
    )


_STANDING, _STANDING_WITH = _standing(THE_TASK), _standing(A_TASK)
# Of what the revision wrote, less is shown than it wrote if the student hid something; what they
# changed is shown.
_RETIRE = text(
    f"""
    with block as (
      select evidence_document_blocks.id, evidence_document_blocks.order_index,
        {IS_BY_SPARK_SQL} as is_by_spark,
        evidence_document_blocks.id = any (submission_revisions.written_ids) as is_written,
        coalesce(nullif(content ->> 'text', ''), {BLOCK_KEY_SQL}, content ->> 'url') is not null
          and not is_private as is_shown
      from spark.submission_revisions
      join quest_task_completions completion on completion.id = submission_revisions.completion_id
      join user_task_evidence_documents document
        on document.user_id = completion.user_id and document.task_id = completion.task_id
      join evidence_document_blocks on evidence_document_blocks.document_id = document.id
      where submission_revisions.id = :of_revision
    ), removed as (
      delete from evidence_document_blocks where id in (select id from block where is_by_spark)
    ), replaced as (
      update spark.submission_revisions
      set replaced_at = :at, was_hidden = cardinality(written_ids)
        > (select count(*) from block where is_shown and (is_written or is_by_spark))
      where id = :of_revision
      returning was_hidden
    )
    select was_hidden, array(select order_index from block where not is_by_spark) as kept_places
    from replaced
    """  # noqa: S608 - our own words
).bindparams(
    bindparam("of_revision", type_=Uuid),
    bindparam("at", type_=SubmissionRevision.replaced_at.type),
)


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


async def retire(
    session: Session, current: Revision, standing: Standing, *, now: datetime
) -> tuple[bool, Standing]:
    """Another is shown from now on: Spark's blocks are gone. Whether the student had hidden or
    removed a part of it, and where they stand then.
    """
    retired = await session.execute(_RETIRE, {"of_revision": current.id, "at": now})
    was_hidden, kept_places = retired.one()
    return was_hidden, replace(standing, kept_places=kept_places)
