"""An earlier revision is shown again, at somebody's wish: as a new one with the old content."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, select

from app.activity.audit import record_audit
from app.activity.record_event import event_values
from app.adoption.people import DELETION_STATUS
from app.database import Session, read_as, retried
from app.errors import AccountInactiveError, NotFoundError
from app.evidence.revision_files import FILES_OF, list_files, list_shown
from app.learning.enrolment import take_turns
from app.models import QuestTaskCompletion, SubmissionRevision, User
from app.storage.kept_file import KeptFile
from app.submissions.record import SubmissionOutcome, repeat_body
from app.submissions.revisions import Standing, answer_of, stand
from app.submissions.work import Intake
from app.submissions.write import NOBODY_WAITS, Content, Draft, write_revision

ROUTE = "/internal/v1/submissions"

Earlier = Row[*tuple[Any, ...]]  # of _EARLIER


_NAMED = SubmissionRevision.__table__.alias("named")
_EARLIER = (
    select(
        SubmissionRevision.completion_id,
        SubmissionRevision.user_id,
        QuestTaskCompletion.quest_id,
        QuestTaskCompletion.task_id,
        FILES_OF.label("restored_from"),
        SubmissionRevision.spark_assignment_id,
        SubmissionRevision.spark_course_id,
        SubmissionRevision.submission_text,
        SubmissionRevision.grade,
        SubmissionRevision.fingerprint,
        SubmissionRevision.submitted_at,
        SubmissionRevision.was_hidden,
        DELETION_STATUS.label("deletion_status"),
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
    intake: Intake,
    submission_id: UUID,
    number: int,
    *,
    caller: str,
    now: datetime,
    new_id: Callable[[], UUID],
) -> SubmissionOutcome:
    """Show revision `number` beside a submission again. Atomic, and audited. What is shown already
    stays as it is, so it may be repeated.

    Raises NotFoundError, or AccountInactiveError while the student is being erased.
    """
    async with intake.sessions() as session, session.begin():
        earlier = await _get_earlier(session, submission_id, number)
        standing = await _stand(session, earlier, now=now)
        current = standing.current
        if not current and await _get_earlier(session, submission_id, number) != earlier:
            raise NotFoundError  # it was moved to another account meanwhile
        if current and current.fingerprint == earlier.fingerprint:
            return SubmissionOutcome(await repeat_body(session, standing, current))
        files = (await list_files(session, [earlier.restored_from]))[earlier.restored_from]
        submitted_at = max(now, (current or earlier).submitted_at)
        content = read_as(Content, earlier._mapping)._replace(submitted_at=submitted_at)  # noqa: SLF001
        shown = await list_shown(session, files)
        draft = _draft(intake, earlier, standing, content, shown, new_id)
        told = NOBODY_WAITS | event_values(
            "spark_submission_restored",
            user_id=standing.user_id,
            session_id=draft.id,
            data=draft.event(standing.task) | {"file_count": len(files)},
            page_url=ROUTE,
        )
        revision, _ = await write_revision(session, draft, standing, intake.shape, told, now=now)
        await record_audit(
            session,
            caller,
            "sensitive_update",
            user_id=standing.user_id,
            submission_id=str(revision.id),
            restored_from=str(revision.files_of),
        )
        return SubmissionOutcome(answer_of(revision.id, standing.task, files) | revision.facts)


async def _get_earlier(session: Session, submission_id: UUID, number: int) -> Earlier:
    found = await session.execute(_EARLIER, {"submission_id": submission_id, "number": number})
    earlier = found.one_or_none()
    if earlier is None:
        raise NotFoundError
    if earlier.deletion_status != "none":
        raise AccountInactiveError
    return earlier


async def _stand(session: Session, earlier: Earlier, *, now: datetime) -> Standing:
    """From here on it takes turns with whatever is handed in."""
    user_id = earlier.user_id
    await take_turns(session, [user_id])
    standing = await stand(
        session,
        {
            "user_id": user_id,
            "quest_id": earlier.quest_id,
            "task_id": earlier.task_id,
            "fingerprint": earlier.fingerprint,
            "now": now,
        },
    )
    if standing is None:
        raise NotFoundError
    return standing


def _draft(
    intake: Intake,
    earlier: Earlier,
    standing: Standing,
    content: Content,
    files: Sequence[KeptFile],
    new_id: Callable[[], UUID],
) -> Draft:
    """What the student hid then, or of what is shown now, stays hidden."""
    return Draft(
        id=new_id(),
        completion_id=earlier.completion_id,
        award_id=new_id(),
        content=content,
        blocks=content.blocks(intake.bucket, files, new_id),
        is_latest=True,
        is_private=standing.was_hidden or earlier.was_hidden,
        is_raw=intake.keeps_raw_text,
    )
