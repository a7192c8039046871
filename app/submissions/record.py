"""The transaction: a received submission becomes evidence, a completed task and XP, or nothing.

Everything is in it: the claim of the message, enrolment and tasks, document and blocks, the
completion, XP, the revision with its files, the activity event and the answer a repetition gets.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any
from uuid import UUID

from sqlalchemy import literal, select

from app.activity.record_event import EVENT, event_row
from app.database import Session, Sessions, retried
from app.deliveries.inbox import KEPT, Entry, delivery_row, keep_delivery
from app.errors import AssignmentNotFoundError, IdempotencyConflictError
from app.evidence.completions import CompletionFile, list_files
from app.evidence.documents import Block, EvidenceFile
from app.files.uploads import StoredFile, commit_uploads, file_facts
from app.learning.enrolment import SETTLED, Task, enrol
from app.learning.task_copies import copy_missing_tasks
from app.submissions.admit import Place, admit
from app.submissions.idempotency import (
    ANSWERED,
    Answer,
    Claim,
    Known,
    answer_claim,
    answer_row,
    take_claim,
)
from app.submissions.message import Message
from app.submissions.revisions import Revision, Standing, find_standing, retire
from app.submissions.write import Content, Draft, Written, write_revision


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

    @property
    def user_id(self) -> UUID:
        """Whose submission it is, once it is admitted."""
        if self.entry.user_id is None:
            raise RuntimeError("the message was not admitted yet")
        return self.entry.user_id


@dataclass(frozen=True)
class HandedIn:
    """A received submission: the message, its stored files, and what is known of both."""

    message: Message
    files: Sequence[StoredFile]

    @cached_property
    def content(self) -> Content:
        payload = self.message.payload
        return Content(
            spark_assignment_id=payload.spark_assignment_id,
            spark_course_id=payload.spark_course_id,
            submission_text=self.message.text,
            grade=payload.grade,
            fingerprint=self.message.fingerprint([file.sha256 for file in self.files]),
            submitted_at=payload.submitted_at,
            restored_from=None,
        )

    def blocks(self, new_id: Callable[[], UUID]) -> dict[UUID, Block]:
        files = (
            EvidenceFile(file.pointer, file.filename, file.content_type, file.size_bytes)
            for file in self.files
        )
        return self.content.blocks(files, new_id)


@dataclass(frozen=True)
class Recorded:
    """The answer's body; `keeps_files` is false when the files belong to nobody and must go."""

    body: dict[str, Any]
    is_replay: bool = False
    keeps_files: bool = False


# What a new revision leaves behind: the event, the inbox, the enrolment, the answer. It sees what
# the statements before it have written.
_CLOSE = select(literal(value=True)).add_cte(EVENT, KEPT, SETTLED, ANSWERED)


@retried
async def record_submission(sessions: Sessions, handed_in: HandedIn, *, work: Work) -> Recorded:
    """Atomic; any number of repetitions, at once or later, gives one completion and one award.

    Raises RunningError or AnsweredError when the message is another handler's, and what `admit`
    raises.
    """
    async with sessions() as session, session.begin():
        await take_claim(session, work.claim)
        place = await admit(
            session,
            handed_in.message,
            subject_hashes=work.entry.subject_hashes,
            now=work.fresh_at,
        )
        work.entry.user_id = place.user_id
        user_quest_id = await enrol(
            session, user_id=place.user_id, quest_id=place.match.quest_id, now=work.now
        )
        standing = await _stand(session, handed_in.message, place, user_quest_id)
        current = standing.current
        if current is not None and current.fingerprint == handed_in.content.fingerprint:
            return await _repeat(session, standing.task, current, work=work)
        return await _add(session, handed_in, standing, user_quest_id, work=work)


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


async def _stand(session: Session, message: Message, place: Place, user_quest_id: UUID) -> Standing:
    """The student's own copy of the task is made if the template came after the enrolment.

    Raises AssignmentNotFoundError for a quest without tasks.
    """
    template_id = place.match.template_id
    find = partial(find_standing, session, user_quest_id, user_id=place.user_id)
    standing = await find(template_id=template_id)
    if standing is None:
        await copy_missing_tasks(session, user_quest_id, template_id=template_id)
        standing = await find(template_id=template_id)
    if standing is None:
        raise AssignmentNotFoundError(
            assignment_id=message.payload.spark_assignment_id,
            hint="The quest of this assignment has no tasks.",
        )
    return standing


def _submission_id(recorded: Recorded) -> UUID:
    return UUID(recorded.body["submission_id"])


async def repeat_body(session: Session, task: Task, current: Revision) -> dict[str, Any]:
    """What is answered where the content is there already."""
    files = (await list_files(session, [current.files_of]))[current.files_of]
    written = Written(current.id, current.completion_id, current.number, xp_awarded=0)
    return written.body(task, name_files(files)) | {"duplicate": True}


def name_files(files: Iterable[CompletionFile]) -> list[dict[str, object]]:
    return [
        file_facts(file.filename, file.size_bytes, file.content_type, file.sha256) for file in files
    ]


async def _repeat(session: Session, task: Task, current: Revision, *, work: Work) -> Recorded:
    """The content is there already, and nothing changes."""
    body = await repeat_body(session, task, current)
    await answer_claim(session, work.claim, Answer(work.user_id, current.fingerprint, body))
    await keep_delivery(session, work.entry, submission_id=current.id)
    return Recorded(body)


async def _add(
    session: Session, handed_in: HandedIn, standing: Standing, user_quest_id: UUID, *, work: Work
) -> Recorded:
    """A new revision with its text and files, the completion, and XP if it is the first.

    Evidence shows the latest revision instead of the one before; what the student wrote stays.
    """
    content, before, task = handed_in.content, standing.current, standing.task
    is_latest = before is None or before.submitted_at <= content.submitted_at
    # What the student hid stays hidden, whatever is handed in instead.
    is_private = is_latest and before is not None and await retire(session, before, now=work.now)
    draft = Draft(
        id=work.new_id(),
        completion_id=work.new_id(),
        award_id=work.new_id(),
        user_id=work.user_id,
        content=content,
        blocks=handed_in.blocks(work.new_id) if is_latest else {},
        is_latest=is_latest,
        is_private=is_private,
        raw_text=content.submission_text if work.raw_evidence_text else None,
    )
    written = await write_revision(session, draft, standing, now=work.now)
    await commit_uploads(session, handed_in.files, submission_id=draft.id)
    files = [file.facts for file in handed_in.files]
    body = written.body(task, files)
    answer = Answer(work.user_id, content.fingerprint, body)
    event = written.event(task, content, file_count=len(files)) | {
        "processing_time_ms": round(work.elapsed() * 1000)
    }
    await session.execute(
        _CLOSE,
        {"user_quest_id": user_quest_id, "now": work.now}
        | answer_row(work.claim, answer)
        | delivery_row(work.entry, submission_id=draft.id)
        | event_row(
            "spark_webhook_success",
            user_id=work.user_id,
            session_id=draft.id,
            data=event,
            page_url=work.entry.route,
        ),
    )
    return Recorded(body, keeps_files=True)
