"""A task's evidence, to be edited under the lock that submissions take as well: all writing for one
student and quest takes turns. The enrolment may be active or not, the quest finished or not.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Executable, Uuid, bindparam, select

from app.adoption.people import DELETION_STATUS
from app.adoption.shape import LiveShape
from app.database import Session
from app.errors import AccountInactiveError, EvidenceChangedError, NotFoundError
from app.evidence.editor_document import EvidenceBlockAnswer
from app.evidence.read_document import Evidence, read_evidence
from app.learning.enrolment import TASK_COLUMNS, Task, turn_of
from app.models import EvidenceBlock, EvidenceDocument, User, UserQuest, UserQuestTask
from app.settings import Settings


@dataclass(frozen=True)
class Editor:
    """Edits the evidence of `user_id`; `caller` is for the audit log. Only a service may say that
    somebody else wrote a block. What is edited has one of `versions`, if any are named; `*` is
    every one that there is.
    """

    user_id: UUID
    caller: str
    is_service: bool
    versions: Collection[str]
    settings: Settings
    shape: LiveShape
    now: datetime
    new_id: Callable[[], UUID]


@dataclass(frozen=True)
class OpenEvidence:
    """As it is while its lock is held, and who edits it."""

    task: Task
    user_quest_id: UUID
    quest_is_completed: bool
    before: Evidence
    editor: Editor

    @property
    def is_completed(self) -> bool:
        document = self.before.document
        was_completed = document is not None and document.status == "completed"
        return was_completed or self.before.completion_id is not None


# Locked before the enrolment, as an erasure does it: one waits for the other.
_STUDENT = (
    select(User.id, DELETION_STATUS.label("deletion_status"))
    .where(User.id == bindparam("user_id"))
    .with_for_update(read=True, key_share=True)
    .cte("student")
)


def _lock(task_id: ColumnElement[Any]) -> Executable:
    return (
        select(
            _STUDENT.c.deletion_status,
            UserQuest.id,
            UserQuest.completed_at.is_not(None),
            *TASK_COLUMNS,
            turn_of(_STUDENT.c.id),
        )
        .join(UserQuest, UserQuest.id == UserQuestTask.user_quest_id)
        .join(_STUDENT, _STUDENT.c.id == UserQuestTask.user_id)
        .where(UserQuestTask.id == task_id)
        .with_for_update(key_share=True, of=UserQuest)
    )


# The main app takes no turns with us: until the transaction ends it adds no block, and edits and
# deletes none.
_HOLD_DOCUMENT = (
    select(EvidenceDocument.id)
    .where(
        EvidenceDocument.user_id == bindparam("user_id"),
        EvidenceDocument.task_id == bindparam("task_id"),
    )
    .with_for_update()
)
_HOLD_BLOCKS = (
    select(EvidenceBlock.id)
    .where(EvidenceBlock.document_id == bindparam("document_id"))
    .with_for_update()
)
_BY_TASK = _lock(bindparam("task_id", type_=Uuid))
_BY_BLOCK = _lock(
    select(EvidenceDocument.task_id)
    .join(EvidenceBlock, EvidenceBlock.document_id == EvidenceDocument.id)
    .where(EvidenceBlock.id == bindparam("block_id"))
    .scalar_subquery()
)


async def open_task(session: Session, task_id: UUID, editor: Editor) -> OpenEvidence:
    """Raises NotFoundError, for another student's task as for an unknown one,
    AccountInactiveError while the student is being erased, or EvidenceChangedError.
    """
    return await _open(session, _BY_TASK, {"task_id": task_id}, editor)


async def open_block(
    session: Session, block_id: UUID, editor: Editor
) -> tuple[OpenEvidence, EvidenceBlockAnswer]:
    """As `open_task`."""
    opened = await _open(session, _BY_BLOCK, {"block_id": block_id}, editor)
    for block in opened.before.blocks:
        if block.id == block_id:
            return opened, block
    raise NotFoundError  # deleted by whoever had the lock before


async def _open(
    session: Session, lock: Executable, ids: dict[str, UUID], editor: Editor
) -> OpenEvidence:
    found = await session.execute(lock, ids | {"user_id": editor.user_id})
    row = found.one_or_none()
    if row is None:
        raise NotFoundError
    deletion_status, user_quest_id, is_completed, *columns, _ = row
    if deletion_status != "none":
        raise AccountInactiveError
    task = Task(*columns)
    await _hold(session, task.task_id, editor.user_id)
    before = await read_evidence(session, task.task_id, user_id=editor.user_id)
    there = {"*", before.document.version} if before.document else set[str]()
    if editor.versions and there.isdisjoint(editor.versions):
        raise EvidenceChangedError
    return OpenEvidence(task, user_quest_id, is_completed, before, editor)


async def _hold(session: Session, task_id: UUID, user_id: UUID) -> None:
    held = await session.execute(_HOLD_DOCUMENT, {"user_id": user_id, "task_id": task_id})
    if document_id := held.scalar_one_or_none():
        await session.execute(_HOLD_BLOCKS, {"document_id": document_id})
