"""An earlier revision is shown again, at somebody's wish: as a new one with the old content."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select

from app.activity.audit import record_audit
from app.activity.record_event import record_event
from app.database import Session, retried
from app.errors import AccountInactiveError, NotFoundError
from app.evidence.completions import FILES_OF, CompletionFile, list_files
from app.evidence.documents import EvidenceFile
from app.learning.enrolment import enrol
from app.models import QuestTaskCompletion, SubmissionRevision, User
from app.submissions.intake import Intake
from app.submissions.record import Recorded, name_files, repeat_body
from app.submissions.revisions import find_standing_with, retire
from app.submissions.write import Content, Draft, write_revision

ROUTE = "/internal/v1/submissions"


@dataclass(frozen=True)
class Restoration:
    """`caller` wants revision `number` beside a submission to be shown."""

    submission_id: UUID
    number: int
    caller: str


@dataclass(frozen=True)
class _Earlier:
    """The revision that is wanted, in the columns of _EARLIER."""

    completion_id: UUID
    user_id: UUID
    quest_id: UUID
    task_id: UUID
    files_of: UUID
    spark_assignment_id: str
    spark_course_id: str | None
    submission_text: str | None
    grade: Decimal | None
    fingerprint: bytes
    was_hidden: bool
    deletion_status: str

    def content(self, *, submitted_at: datetime) -> Content:
        return Content(
            spark_assignment_id=self.spark_assignment_id,
            spark_course_id=self.spark_course_id,
            submission_text=self.submission_text,
            grade=self.grade,
            fingerprint=self.fingerprint,
            submitted_at=submitted_at,
            restored_from=self.files_of,
        )


_NAMED = SubmissionRevision.__table__.alias("named")
_EARLIER = (
    select(
        SubmissionRevision.completion_id,
        SubmissionRevision.user_id,
        QuestTaskCompletion.quest_id,
        QuestTaskCompletion.task_id,
        FILES_OF.label("files_of"),
        SubmissionRevision.spark_assignment_id,
        SubmissionRevision.spark_course_id,
        SubmissionRevision.submission_text,
        SubmissionRevision.grade,
        SubmissionRevision.fingerprint,
        SubmissionRevision.was_hidden,
        User.deletion_status,
    )
    .join(User, User.id == SubmissionRevision.user_id)
    .join(QuestTaskCompletion, QuestTaskCompletion.id == SubmissionRevision.completion_id)
    .join(_NAMED, _NAMED.c.completion_id == SubmissionRevision.completion_id)
    .where(
        _NAMED.c.id == bindparam("submission_id"),
        SubmissionRevision.revision == bindparam("number"),
    )
    .with_for_update(read=True, key_share=True, of=User)  # an erasure waits, or was first
)


@retried
async def restore_revision(
    intake: Intake, asked: Restoration, *, now: datetime, new_id: Callable[[], UUID]
) -> Recorded:
    """Atomic, and audited. What is shown already stays as it is, so it may be repeated.

    Raises NotFoundError, or AccountInactiveError while the student is being erased.
    """
    async with intake.sessions() as session, session.begin():
        earlier = await _get_earlier(session, asked)
        # From here on it takes turns with whatever is handed in.
        await enrol(session, user_id=earlier.user_id, quest_id=earlier.quest_id, now=now)
        standing = await find_standing_with(session, earlier.task_id, user_id=earlier.user_id)
        if standing is None or standing.current is None:
            raise NotFoundError
        if standing.current.fingerprint == earlier.fingerprint:
            return Recorded(await repeat_body(session, standing.task, standing.current))
        files = (await list_files(session, [earlier.files_of]))[earlier.files_of]
        is_hidden = await retire(session, standing.current, now=now)
        content = earlier.content(submitted_at=max(now, standing.current.submitted_at))
        draft = Draft(
            id=new_id(),
            completion_id=earlier.completion_id,
            award_id=new_id(),
            user_id=earlier.user_id,
            content=content,
            blocks=content.blocks(_evidence(intake, files), new_id),
            is_latest=True,
            is_private=is_hidden or earlier.was_hidden,
            raw_text=content.submission_text if intake.raw_evidence_text else None,
        )
        written = await write_revision(session, draft, standing, now=now)
        event = written.event(standing.task, content, file_count=len(files))
        await _write_down(session, asked, draft, event)
        return Recorded(written.body(standing.task, name_files(files)))


async def _get_earlier(session: Session, asked: Restoration) -> _Earlier:
    found = await session.execute(
        _EARLIER, {"submission_id": asked.submission_id, "number": asked.number}
    )
    earlier = found.mappings().one_or_none()
    if earlier is None:
        raise NotFoundError
    if earlier["deletion_status"] != "none":
        raise AccountInactiveError
    return _Earlier(**earlier)


def _evidence(intake: Intake, files: Sequence[CompletionFile]) -> list[EvidenceFile]:
    return [
        EvidenceFile(
            intake.bucket.pointer(file.object_key),
            file.filename,
            file.content_type,
            file.size_bytes,
        )
        for file in files
    ]


async def _write_down(
    session: Session, asked: Restoration, draft: Draft, event: dict[str, Any]
) -> None:
    """For those who follow, and for those who ask who did it."""
    await record_event(
        session,
        "spark_submission_restored",
        user_id=draft.user_id,
        session_id=draft.id,
        data=event,
        page_url=ROUTE,
    )
    await record_audit(
        session,
        asked.caller,
        "sensitive_update",
        user_id=draft.user_id,
        submission_id=str(draft.id),
        restored_from=str(draft.content.restored_from),
    )
