"""One handing-in with its text, and every revision beside it; who reads it is written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import bindparam, select

from app.activity.audit import record_audit
from app.database import Sessions
from app.errors import NotFoundError
from app.evidence.completions import CompletionFile, list_files
from app.models import SubmissionRevision
from app.submissions.list_submissions import LISTED, Listed


@dataclass(frozen=True)
class FullRevision(Listed):
    text: str | None
    grade: Decimal | None
    files: Sequence[CompletionFile]


@dataclass(frozen=True)
class Submission:
    """A revision, and all of its completion in the order of their numbers."""

    asked: FullRevision
    revisions: Sequence[FullRevision]


_SAME = SubmissionRevision.__table__.alias("same")
_REVISIONS = (
    LISTED.add_columns(SubmissionRevision.submission_text.label("text"), SubmissionRevision.grade)
    .where(
        SubmissionRevision.completion_id
        == select(_SAME.c.completion_id)
        .where(_SAME.c.id == bindparam("submission_id"))
        .scalar_subquery()
    )
    .order_by(SubmissionRevision.revision)
)


async def get_submission(sessions: Sessions, submission_id: UUID, *, caller: str) -> Submission:
    """Audited in the same transaction. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        found = await session.execute(_REVISIONS, {"submission_id": submission_id})
        rows = found.mappings().all()
        files = await list_files(session, [row["id"] for row in rows])
        revisions = [
            FullRevision(**row, files=files[row["restored_from"] or row["id"]]) for row in rows
        ]
        for asked in revisions:
            if asked.id == submission_id:
                await record_audit(
                    session,
                    caller,
                    "sensitive_read",
                    user_id=asked.user_id,
                    submission_id=str(submission_id),
                )
                return Submission(asked, revisions)
    raise NotFoundError
