"""The transaction: a received submission becomes evidence, a completed task and XP, or nothing.

Everything is in it: the claim of the message, enrolment and tasks, document and blocks, the
completion, XP, the revision with its files, the activity event and the answer a repetition gets.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.activity.record_event import event_values
from app.database import Session, Sessions, Statement, retried
from app.deliveries.inbox import DELIVERY_SQL, Entry, keep_delivery, row_of
from app.deliveries.payload import Subject
from app.deliveries.send_receipt import order_receipt
from app.errors import AssignmentNotFoundError, IdempotencyConflictError, StorageUnavailableError
from app.evidence.revision_files import list_files
from app.files.uploads import commit_uploads
from app.grades.write_grade import report_work
from app.learning.assignments import Match
from app.learning.lost_templates import restore_template
from app.storage.kept_file import KeptFile
from app.submissions.admit import admit, course_unknown
from app.submissions.idempotency import ANSWERED_SQL, Answer
from app.submissions.message import Message
from app.submissions.order_downloads import forget_links, order_again, order_downloads
from app.submissions.remote_file import RemoteFile
from app.submissions.revisions import Revision, Standing, answer_of, stand
from app.submissions.work import Intake, Work
from app.submissions.write import Content, Draft, write_revision

# What is there already is answered again, under other keys.
CLOSE = Statement(
    f"""
    with {ANSWERED_SQL.format(response=":answer::jsonb")},
    {DELIVERY_SQL}
    select 1
    """
)


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
        user_id, match = await admit(session, intake, work)
        _refuse_moved(user_id, files)
        if work.was_refused:
            await order_receipt(session, intake.settings, work.entry.id, user_id=user_id)
        content = _content(work.message, files)
        standing = await _stand(session, work, match, content, user_id=user_id)
        noticed = (*work.message.warnings, *course_unknown(work.message, match))
        # Kept with the answer, so that whoever repeats the message is told the same.
        warnings = {"warnings": [warning.model_dump() for warning in noticed]}
        current = standing.current
        if current is None or current.fingerprint != content.fingerprint:
            draft = _draft(intake, work, standing, content, files)
            body = answer_of(draft.id, standing.task, files) | warnings
            body["files"] += [file.facts for file in work.message.remote_files]
            body |= await _add(session, intake, work, standing, draft, body)
            await commit_uploads(session, files, submission_id=draft.id)
            return SubmissionOutcome(body, keeps_files=True)
        await order_again(session, current.files_of, work.message.remote_files)
        body = await repeat_body(session, standing, current) | warnings
        told = _answered(work, body, standing, current.id)
        whose = {"user_id": user_id, "fingerprint": current.fingerprint}
        await CLOSE.send(session, told | whose)
        if work.message.remote_files:
            await forget_links(session, current.files_of)
        return SubmissionOutcome(body)


def _refuse_moved(user_id: UUID, files: Sequence[KeptFile]) -> None:
    """Files lie under the account that the student had when they arrived."""
    if not all(file.object_key.startswith(f"{user_id}/") for file in files):
        raise StorageUnavailableError(hint="The student's account has changed. Send it again.")


@retried
async def record_replay(
    sessions: Sessions,
    answer: Answer,
    entry: Entry,
    subject: Subject,
    *,
    fingerprint: bytes,
    remote_files: Sequence[RemoteFile] = (),
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
        if remote_files:
            await order_again(session, UUID(body["submission_id"]), remote_files)
            await forget_links(session, UUID(body["submission_id"]))
    return SubmissionOutcome(body, is_replay=True)


async def _stand(
    session: Session, work: Work, match: Match, content: Content, *, user_id: UUID
) -> Standing:
    """Raises AssignmentNotFoundError for a task that is gone, or a quest without tasks."""
    quest_id, template_id = match.quest_id, match.template_id
    if match.assignment_id and not template_id:
        template_id = await restore_template(session, match.assignment_id, quest_id)
        if not template_id:
            raise AssignmentNotFoundError(
                assignment_id=work.message.payload.spark_assignment_id,
                hint="Its task was deleted. Send the course again.",
            )
    standing = await stand(
        session,
        {
            "user_id": user_id,
            "quest_id": quest_id,
            "template_id": template_id,
            "fingerprint": content.fingerprint,
            "submitted_at": content.submitted_at,
            "now": work.now,
        },
    )
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
    return answer_of(current.id, standing.task, files) | current.facts | {"duplicate": True}


def _draft(
    intake: Intake, work: Work, standing: Standing, content: Content, files: Sequence[KeptFile]
) -> Draft:
    """Evidence shows the latest revision in place of the one before; what a student wrote stays."""
    before = standing.current
    is_latest = before is None or before.submitted_at <= content.submitted_at
    return Draft(
        id=work.new_id(),
        completion_id=work.new_id(),
        award_id=work.new_id(),
        content=content,
        blocks=content.blocks(intake.bucket, files, work.new_id) if is_latest else {},
        is_latest=is_latest,
        # What the student hid stays hidden, whatever is handed in instead.
        is_private=standing.was_hidden,
        is_raw=intake.keeps_raw_text,
    )


async def _add(
    session: Session,
    intake: Intake,
    work: Work,
    standing: Standing,
    draft: Draft,
    body: dict[str, Any],
) -> dict[str, Any]:
    """A new revision, the completion, and XP if it is the first; the rest of the answer's body."""
    counted = {
        "file_count": len(body["files"]),
        "processing_time_ms": round(work.elapsed() * 1000),
    }
    event = event_values(
        "spark_webhook_success",
        user_id=standing.user_id,
        session_id=draft.id,
        data=draft.event(standing.task) | counted,
        page_url=work.entry.route,
    )
    told = _answered(work, body, standing, draft.id) | event
    told["completes_quests"] = await intake.shape.completes_quests(session)
    revision, xp_awarded = await write_revision(
        session, draft, standing, intake.shape, told, now=work.now
    )
    if work.message.remote_files:
        await order_downloads(
            session, work.message.remote_files, draft, standing, new_id=work.new_id
        )
    if draft.is_latest and draft.content.grade is None:
        task_id = standing.task.task_id
        await report_work(session, intake.settings, standing.user_id, task_id, new_id=work.new_id)
    return revision.facts | {"xp_awarded": xp_awarded}


def _answered(
    work: Work, body: dict[str, Any], standing: Standing, submission_id: UUID
) -> dict[str, Any]:
    """The answer that a repetition of the message gets, and the delivery in the inbox."""
    return {
        **work.claim.values,
        "answer": json.dumps(body),
        **row_of(work.entry, work.message.subject),
        "delivery_user_id": standing.user_id,
        "delivery_submission_id": submission_id,
    }
