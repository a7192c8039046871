"""The transaction: a received submission becomes evidence, a completed task and XP, or nothing.

Everything is in it: the claim of the message, enrolment and tasks, document and blocks, the
completion, XP, the revision with its files, the activity event and the answer a repetition gets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.activity import record_event
from app.database import Session, Sessions
from app.errors import IdempotencyConflictError, RequestStillRunningError
from app.evidence.documents import (
    Block,
    EvidenceFile,
    complete_document,
    evidence_text,
    file_block,
    replace_blocks,
    text_block,
)
from app.learning.enrolment import Task, enrol, first_task, settle_enrolment
from app.learning.experience import award_xp
from app.models import QuestTaskCompletion
from app.submissions.idempotency import Claim, Known, answer_claim, find_known, take_claim
from app.submissions.message import Message
from app.submissions.revisions import (
    Revision,
    add_revision,
    find_current,
    list_files,
    remember_blocks,
)
from app.submissions.uploads import StoredFile, commit_uploads


@dataclass(frozen=True)
class Work:
    """Whose submission it is, for which quest, and who handles it, when.

    `clock` counts seconds and was at `began` when the request came.
    """

    user_id: UUID
    quest_id: UUID
    claim: Claim
    now: datetime
    new_id: Callable[[], UUID]
    raw_evidence_text: bool
    clock: Callable[[], float]
    began: float


@dataclass(frozen=True)
class HandedIn:
    """A received submission: the message, its stored files, and what is known of both."""

    message: Message
    files: Sequence[StoredFile]

    @property
    def fingerprint(self) -> bytes:
        return self.message.fingerprint([file.sha256 for file in self.files])

    @property
    def blocks(self) -> list[Block]:
        """Text first, unless blank; then the files in the order they came."""
        texts = [text_block(self.message.text)] if self.message.text else []
        return texts + [
            file_block(
                EvidenceFile(file.pointer, file.filename, file.content_type, file.size_bytes)
            )
            for file in self.files
        ]


@dataclass(frozen=True)
class Recorded:
    """The answer's body; `keeps_files` is false when the files belong to nobody and must go."""

    body: dict[str, Any]
    is_replay: bool = False
    keeps_files: bool = False


async def record_submission(sessions: Sessions, handed_in: HandedIn, *, work: Work) -> Recorded:
    """Atomic; any number of repetitions, at once or later, gives one completion and one award.

    Raises RequestStillRunningError when another handler has taken the message over, and what
    `replay` raises when that one has answered it.
    """
    fingerprint = handed_in.fingerprint
    async with sessions() as session, session.begin():
        if not await take_claim(session, work.claim, user_id=work.user_id):
            return replay(await find_known(session, work.claim.key), fingerprint=fingerprint)
        user_quest_id = await enrol(
            session, user_id=work.user_id, quest_id=work.quest_id, now=work.now
        )
        task = await first_task(
            session, user_quest_id, assignment_id=handed_in.message.payload.spark_assignment_id
        )
        current = await find_current(session, user_id=work.user_id, task_id=task.id)
        if current is not None and current.fingerprint == fingerprint:
            recorded = Recorded(await _answer(session, current, task, is_duplicate=True))
        else:
            body = await _add(session, handed_in, work=work, task=task, before=current)
            await settle_enrolment(session, user_quest_id, now=work.now)
            recorded = Recorded(body, keeps_files=True)
        await answer_claim(session, work.claim, fingerprint=fingerprint, response=recorded.body)
    return recorded


def replay(known: Known | None, *, fingerprint: bytes) -> Recorded:
    """The stored answer of a message that was handled; it pays nothing again.

    Raises IdempotencyConflictError if the same signed bytes came with other files.
    """
    if known is None:
        raise RequestStillRunningError
    if known.fingerprint != fingerprint:
        raise IdempotencyConflictError
    return Recorded(known.response | {"duplicate": True, "xp_awarded": 0}, is_replay=True)


async def _add(
    session: Session, handed_in: HandedIn, *, work: Work, task: Task, before: Revision | None
) -> dict[str, Any]:
    """A new revision with its text and files, the completion, and XP if it is the first."""
    is_latest = before is None or before.submitted_at <= handed_in.message.payload.submitted_at
    document_id = await complete_document(
        session, user_id=work.user_id, quest_id=task.quest_id, task_id=task.id, now=work.now
    )
    completion_id = await _complete_task(
        session, handed_in, document_id, work=work, task=task, is_latest=is_latest
    )
    revision = await add_revision(
        session,
        handed_in.message,
        revision_id=work.new_id(),
        completion_id=completion_id,
        user_id=work.user_id,
        fingerprint=handed_in.fingerprint,
    )
    await commit_uploads(session, handed_in.files, submission_id=revision.id)
    if is_latest:
        await _show(session, handed_in, revision, document_id=document_id, before=before)
    paid = await award_xp(
        session,
        task,
        award_id=work.new_id(),
        user_id=work.user_id,
        completion_id=completion_id,
        now=work.now,
    )
    await _record_success(session, handed_in, revision, work=work)
    return await _answer(session, revision, task, xp_awarded=paid)


async def _show(
    session: Session,
    handed_in: HandedIn,
    revision: Revision,
    *,
    document_id: UUID,
    before: Revision | None,
) -> None:
    """Evidence shows this revision instead of the one before; what the student wrote stays."""
    block_ids = await replace_blocks(
        session,
        document_id,
        handed_in.blocks,
        old_ids=before.block_ids if before else (),
        user_id=revision.user_id,
    )
    await remember_blocks(session, revision.id, block_ids)


async def _complete_task(
    session: Session,
    handed_in: HandedIn,
    document_id: UUID,
    *,
    work: Work,
    task: Task,
    is_latest: bool,
) -> UUID:
    """The one completion of this student and task; a later revision leaves its time as it was."""
    evidence = handed_in.message.text if work.raw_evidence_text else evidence_text(document_id)
    shown = {"evidence_text": evidence} if is_latest else {}
    completed = await session.execute(
        insert(QuestTaskCompletion)
        .values(
            id=work.new_id(),
            user_id=work.user_id,
            quest_id=task.quest_id,
            task_id=task.id,
            user_quest_task_id=task.id,
            evidence_text=evidence,
            completed_at=handed_in.message.payload.submitted_at,
        )
        .on_conflict_do_update(
            index_elements=[QuestTaskCompletion.user_id, QuestTaskCompletion.task_id],
            set_=shown | {"updated_at": work.now},
        )
        .returning(QuestTaskCompletion.id)
    )
    return completed.scalar_one()


async def _record_success(
    session: Session, handed_in: HandedIn, revision: Revision, *, work: Work
) -> None:
    payload = handed_in.message.payload
    await record_event(
        session,
        "spark_webhook_success",
        user_id=work.user_id,
        session_id=revision.id,
        data={
            "spark_assignment_id": payload.spark_assignment_id,
            "spark_course_id": payload.spark_course_id,
            "quest_id": str(work.quest_id),
            "file_count": len(handed_in.files),
            "processing_time_ms": round((work.clock() - work.began) * 1000),
        },
        page_url="/spark/webhook/submission",
    )


async def _answer(
    session: Session,
    revision: Revision,
    task: Task,
    *,
    xp_awarded: int = 0,
    is_duplicate: bool = False,
) -> dict[str, Any]:
    """The body of CONTRACT 7.5; the edge adds the request's id."""
    return {
        "status": "success",
        "completion_id": str(revision.completion_id),
        "submission_id": str(revision.id),
        "revision": revision.number,
        "duplicate": is_duplicate,
        "quest_id": str(task.quest_id),
        "task_id": str(task.id),
        "xp_awarded": xp_awarded,
        "files": await list_files(session, revision.id),
    }
