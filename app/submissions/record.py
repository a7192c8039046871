"""The transaction: a received submission becomes evidence, a completed task and XP, or nothing.

Everything is in it: the claim of the message, enrolment and tasks, document and blocks, the
completion, XP, the revision with its files, the activity event and the answer a repetition gets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, bindparam, case
from sqlalchemy.dialects.postgresql import insert

from app.activity import record_event
from app.database import Session, Sessions, retried
from app.deliveries.inbox import Entry, keep_delivery
from app.errors import IdempotencyConflictError
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
from app.submissions.admit import admit
from app.submissions.idempotency import Claim, Known, answer_claim, take_claim
from app.submissions.message import Message
from app.submissions.revisions import Revision, add_revision, find_current, list_files
from app.submissions.uploads import StoredFile, commit_uploads


@dataclass(frozen=True)
class Work:
    """Who handles a message, when, and where its outcome is kept.

    The message's age is judged at `fresh_at`; None takes one of any age. `elapsed` gives the
    seconds since it came.
    """

    claim: Claim
    entry: Entry
    now: datetime
    fresh_at: datetime | None
    new_id: Callable[[], UUID]
    raw_evidence_text: bool
    elapsed: Callable[[], float]


@dataclass(frozen=True)
class HandedIn:
    """A received submission: the message, its stored files, and what is known of both."""

    message: Message
    files: Sequence[StoredFile]

    @property
    def fingerprint(self) -> bytes:
        return self.message.fingerprint([file.sha256 for file in self.files])

    def blocks(self, new_id: Callable[[], UUID]) -> dict[UUID, Block]:
        """Text first, unless blank; then the files in the order they came."""
        texts = [text_block(self.message.text)] if self.message.text else []
        files = [
            file_block(
                EvidenceFile(file.pointer, file.filename, file.content_type, file.size_bytes)
            )
            for file in self.files
        ]
        return {new_id(): block for block in (*texts, *files)}


@dataclass(frozen=True)
class Recorded:
    """The answer's body; `keeps_files` is false when the files belong to nobody and must go."""

    body: dict[str, Any]
    is_replay: bool = False
    keeps_files: bool = False


@retried
async def record_submission(sessions: Sessions, handed_in: HandedIn, *, work: Work) -> Recorded:
    """Atomic; any number of repetitions, at once or later, gives one completion and one award.

    Raises RunningError or AnsweredError when the message is another handler's, and what `admit`
    raises.
    """
    message = handed_in.message
    async with sessions() as session, session.begin():
        await take_claim(session, work.claim)
        place = await admit(session, message, now=work.fresh_at)
        work.entry.user_id = place.user_id
        user_quest_id = await enrol(
            session, user_id=place.user_id, quest_id=place.quest_id, now=work.now
        )
        task = await first_task(
            session, user_quest_id, assignment_id=message.payload.spark_assignment_id
        )
        current = await find_current(session, user_id=place.user_id, task_id=task.id)
        if current is not None and current.fingerprint == handed_in.fingerprint:
            files = await list_files(session, current.id)
            recorded = Recorded(_answer(current, task, files=files, is_duplicate=True))
        else:
            student = _Student(session, place.user_id, task)
            body = await _add(student, handed_in, work=work, before=current)
            await settle_enrolment(session, user_quest_id, now=work.now)
            recorded = Recorded(body, keeps_files=True)
        await answer_claim(
            session,
            work.claim,
            user_id=place.user_id,
            fingerprint=handed_in.fingerprint,
            response=recorded.body,
        )
        await keep_delivery(session, work.entry, submission_id=_submission_id(recorded))
    return recorded


@retried
async def record_replay(
    sessions: Sessions, known: Known, *, fingerprint: bytes, work: Work
) -> Recorded:
    """The stored answer of a message that was handled; it pays nothing again.

    Raises IdempotencyConflictError if the same bytes or the same key came with other content.
    """
    if known.fingerprint != fingerprint:
        raise IdempotencyConflictError
    recorded = Recorded(known.response | {"duplicate": True, "xp_awarded": 0}, is_replay=True)
    work.entry.user_id = known.user_id
    work.entry.is_repeated = known.has_same_text
    async with sessions() as session, session.begin():
        await keep_delivery(session, work.entry, submission_id=_submission_id(recorded))
    return recorded


def _submission_id(recorded: Recorded) -> UUID:
    return UUID(recorded.body["submission_id"])


@dataclass(frozen=True)
class _Student:
    """Inside the transaction: whose copy of which task it is about."""

    session: Session
    user_id: UUID
    task: Task


async def _add(
    student: _Student, handed_in: HandedIn, *, work: Work, before: Revision | None
) -> dict[str, Any]:
    """A new revision with its text and files, the completion, and XP if it is the first."""
    session, user_id, task = student.session, student.user_id, student.task
    is_latest = before is None or before.submitted_at <= handed_in.message.payload.submitted_at
    document_id = await complete_document(
        session, user_id=user_id, quest_id=task.quest_id, task_id=task.id, now=work.now
    )
    completion_id = await _complete_task(
        student, handed_in, document_id, work=work, is_latest=is_latest
    )
    # Evidence shows the latest revision instead of the one before; what the student wrote stays.
    blocks = handed_in.blocks(work.new_id) if is_latest else {}
    draft = Revision(
        id=work.new_id(),
        completion_id=completion_id,
        number=0,
        fingerprint=handed_in.fingerprint,
        submitted_at=handed_in.message.payload.submitted_at,
        block_ids=list(blocks),
    )
    revision = await add_revision(session, handed_in.message, draft, user_id=user_id)
    await commit_uploads(session, handed_in.files, submission_id=revision.id)
    if is_latest:
        old_ids = before.block_ids if before else ()
        await replace_blocks(session, document_id, blocks, old_ids=old_ids, user_id=user_id)
    paid = await award_xp(
        session,
        task,
        award_id=work.new_id(),
        user_id=user_id,
        completion_id=completion_id,
        now=work.now,
    )
    await _record_success(student, handed_in, revision, work=work)
    files = [file.facts for file in handed_in.files]
    return _answer(revision, task, files=files, xp_awarded=paid)


# Built once: building a statement costs more than running it.
_NEW = insert(QuestTaskCompletion).values(
    {
        name: bindparam(name)
        for name in (
            "id",
            "user_id",
            "quest_id",
            "task_id",
            "user_quest_task_id",
            "evidence_text",
            "completed_at",
        )
    }
)
_COMPLETE = _NEW.on_conflict_do_update(
    index_elements=[QuestTaskCompletion.user_id, QuestTaskCompletion.task_id],
    set_={
        "evidence_text": case(
            (bindparam("is_latest", type_=Boolean), _NEW.excluded.evidence_text),
            else_=QuestTaskCompletion.evidence_text,
        ),
        "updated_at": bindparam("now"),
    },
).returning(QuestTaskCompletion.id)


async def _complete_task(
    student: _Student, handed_in: HandedIn, document_id: UUID, *, work: Work, is_latest: bool
) -> UUID:
    """The one completion of this student and task; a later revision leaves its time as it was."""
    completed = await student.session.execute(
        _COMPLETE,
        {
            "id": work.new_id(),
            "user_id": student.user_id,
            "quest_id": student.task.quest_id,
            "task_id": student.task.id,
            "user_quest_task_id": student.task.id,
            "evidence_text": (
                handed_in.message.text if work.raw_evidence_text else evidence_text(document_id)
            ),
            "completed_at": handed_in.message.payload.submitted_at,
            "is_latest": is_latest,
            "now": work.now,
        },
    )
    completion_id: UUID = completed.scalar_one()
    return completion_id


async def _record_success(
    student: _Student, handed_in: HandedIn, revision: Revision, *, work: Work
) -> None:
    payload = handed_in.message.payload
    await record_event(
        student.session,
        "spark_webhook_success",
        user_id=student.user_id,
        session_id=revision.id,
        data={
            "spark_assignment_id": payload.spark_assignment_id,
            "spark_course_id": payload.spark_course_id,
            "quest_id": str(student.task.quest_id),
            "file_count": len(handed_in.files),
            "processing_time_ms": round(work.elapsed() * 1000),
        },
        page_url=work.entry.route,
    )


def _answer(
    revision: Revision,
    task: Task,
    *,
    files: Sequence[Mapping[str, object]],
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
        "files": files,
    }
