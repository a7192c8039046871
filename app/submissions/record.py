"""The transaction: a received submission becomes evidence, a completed task and XP, or nothing.

Everything is in it: the claim of the message, enrolment and tasks, document and blocks, the
completion, XP, the revision with its files, the activity event and the answer a repetition gets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from app.activity.record_event import record_event
from app.database import Session, Sessions, retried
from app.deliveries.inbox import Entry, keep_delivery
from app.deliveries.payload import Subject
from app.errors import AssignmentNotFoundError, IdempotencyConflictError
from app.evidence.revision_files import list_files
from app.files.uploads import commit_uploads
from app.learning.assignments import Match
from app.learning.enrolment import enrol, settle
from app.learning.lost_templates import restore_template
from app.learning.task_copies import copy_missing_tasks
from app.storage.kept_file import KeptFile
from app.submissions.admit import admit, course_unknown
from app.submissions.idempotency import Answer, answer_claim, take_claim
from app.submissions.message import Message
from app.submissions.revisions import Revision, Standing, find_standing, retire
from app.submissions.work import Intake, Work
from app.submissions.write import Content, Draft, write_revision


@dataclass(frozen=True)
class SubmissionOutcome:
    """The answer's body; `keeps_files` is false when the files belong to nobody and must go."""

    body: dict[str, Any]
    is_replay: bool = False
    keeps_files: bool = False


@retried
async def record_submission(
    intake: Intake, work: Work, files: Sequence[KeptFile]
) -> SubmissionOutcome:
    """Atomic; any number of repetitions, at once or later, gives one completion and one award.

    Raises RunningError or AnsweredError when the message is another handler's, and what `admit`
    raises.
    """
    async with intake.sessions() as session, session.begin():
        await take_claim(session, work.claim)
        user_id, match = await admit(session, intake, work)
        standing = await _stand(session, work, match, user_id=user_id)
        content = _content(work.message, files)
        current = standing.current
        if current is not None and current.fingerprint == content.fingerprint:
            revision, body = current, await repeat_body(session, standing, current)
        else:
            revision, body = await _add(session, intake, work, standing, content, files)
        noticed = (*work.message.warnings, *course_unknown(work.message, match))
        # Kept with the answer, so that whoever repeats the message is told the same.
        body |= {"warnings": [warning.model_dump() for warning in noticed]}
        await _close(session, work, standing, revision, body)
        return SubmissionOutcome(body, keeps_files=revision is not current)


@retried
async def record_replay(
    sessions: Sessions, answer: Answer, entry: Entry, subject: Subject, *, fingerprint: bytes
) -> SubmissionOutcome:
    """The stored answer of a message that was handled; it pays nothing again.

    Raises IdempotencyConflictError if the same bytes or the same key came with other content.
    """
    if answer.fingerprint != fingerprint:
        raise IdempotencyConflictError
    body = answer.response | {"duplicate": True, "xp_awarded": 0}
    async with sessions() as session, session.begin():
        await keep_delivery(
            session,
            entry,
            subject,
            user_id=answer.user_id,
            submission_id=UUID(body["submission_id"]),
            keeps_text=not answer.has_same_text,
        )
    return SubmissionOutcome(body, is_replay=True)


async def _stand(session: Session, work: Work, match: Match, *, user_id: UUID) -> Standing:
    """The student is enrolled, and their copy of the task is made if the template came after that.

    Raises AssignmentNotFoundError for a quest without tasks.
    """
    quest_id, template_id = match.quest_id, match.template_id
    if match.assignment_id and not template_id:
        template_id = await restore_template(session, match.assignment_id, quest_id)
        if not template_id:
            raise AssignmentNotFoundError(
                assignment_id=work.message.payload.spark_assignment_id,
                hint="Its task was deleted. Send the course again.",
            )
    enrolment = await enrol(
        session, user_id=user_id, quest_id=quest_id, template_id=template_id, now=work.now
    )
    find = partial(find_standing, session, enrolment, user_id=user_id, template_id=template_id)
    standing = await find()
    if standing is None:
        await copy_missing_tasks(session, enrolment, template_id=template_id)
        standing = await find()
    if standing is None:
        raise AssignmentNotFoundError(
            assignment_id=work.message.payload.spark_assignment_id,
            hint="The quest of this assignment has no tasks.",
        )
    return standing


def _content(message: Message, files: Sequence[KeptFile]) -> Content:
    payload = message.payload
    return Content(
        spark_assignment_id=payload.spark_assignment_id,
        spark_course_id=payload.spark_course_id,
        submission_text=message.text,
        grade=payload.grade,
        fingerprint=message.fingerprint([file.sha256 for file in files]),
        submitted_at=payload.submitted_at,
        restored_from=None,
    )


async def repeat_body(session: Session, standing: Standing, current: Revision) -> dict[str, Any]:
    """What is answered where the content is there already."""
    files = (await list_files(session, [current.files_of]))[current.files_of]
    return current.answer(standing.task, files) | {"duplicate": True}


async def _add(
    session: Session,
    intake: Intake,
    work: Work,
    standing: Standing,
    content: Content,
    files: Sequence[KeptFile],
) -> tuple[Revision, dict[str, Any]]:
    """A new revision with its text and files, the completion, and XP if it is the first.

    Evidence shows the latest revision instead of the one before; what the student wrote stays.
    """
    before = standing.current
    is_latest = before is None or before.submitted_at <= content.submitted_at
    was_hidden = False
    if before is not None and is_latest:
        was_hidden, standing = await retire(session, before, standing, now=work.now)
    draft = Draft(
        id=work.new_id(),
        completion_id=work.new_id(),
        award_id=work.new_id(),
        content=content,
        blocks=content.blocks(intake.bucket, files, work.new_id) if is_latest else {},
        is_latest=is_latest,
        # What the student hid stays hidden, whatever is handed in instead.
        is_private=was_hidden,
        is_raw=intake.keeps_raw_text,
    )
    revision, xp_awarded = await write_revision(
        session, draft, standing, intake.shape, now=work.now
    )
    await commit_uploads(session, files, submission_id=revision.id)
    event = revision.event(standing.task, content.spark_assignment_id, content.spark_course_id)
    await record_event(
        session,
        "spark_webhook_success",
        user_id=standing.user_id,
        session_id=revision.id,
        data=event | {"file_count": len(files), "processing_time_ms": round(work.elapsed() * 1000)},
        page_url=work.entry.route,
    )
    await settle(session, intake.shape, standing.user_quest_id, now=work.now)
    return revision, revision.answer(standing.task, files, xp_awarded=xp_awarded)


async def _close(
    session: Session, work: Work, standing: Standing, revision: Revision, body: dict[str, Any]
) -> None:
    """Keep the answer that a repetition of the message gets, and the delivery in the inbox."""
    answer = Answer(standing.user_id, revision.fingerprint, body, has_same_text=True)
    await answer_claim(session, work.claim, answer)
    await keep_delivery(
        session,
        work.entry,
        work.message.subject,
        user_id=standing.user_id,
        submission_id=revision.id,
    )
