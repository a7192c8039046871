"""One handing-in with its text, and every revision beside it; who reads it is written down."""

from datetime import datetime
from uuid import UUID

from pydantic import Field
from sqlalchemy import bindparam, select

from app.activity.audit import record_audit
from app.database import Sessions
from app.errors import NotFoundError
from app.evidence.link_file import HandedInFile, link_file
from app.evidence.revision_files import list_files
from app.fields import ContractModel
from app.models import SubmissionRevision
from app.storage.bucket import Bucket
from app.submissions.list_submissions import FACTS, RevisionFacts, SubmissionFacts, submission_facts


class SubmissionContent(ContractModel):
    """What the student wrote, and what Spark said of it."""

    text: str | None = Field(
        description="What the student wrote.", examples=["Rain fell on four of seven days."]
    )
    grade: float | None = Field(
        ge=0, description="As Spark sent it; never shown as evidence.", examples=[95.5]
    )


class RevisionAnswer(RevisionFacts, SubmissionContent):
    """One revision, with its files."""

    files: list[HandedInFile] = Field(description="In the order received.")


class SubmissionDetail(SubmissionFacts, SubmissionContent):
    """A handing-in, and every revision of its completion."""

    revisions: list[RevisionAnswer] = Field(
        description="In the order of their numbers; itself among them."
    )


_SAME = SubmissionRevision.__table__.alias("same")
_REVISIONS = (
    FACTS.add_columns(SubmissionRevision.submission_text.label("text"), SubmissionRevision.grade)
    .where(
        SubmissionRevision.completion_id
        == select(_SAME.c.completion_id)
        .where(_SAME.c.id == bindparam("submission_id"))
        .scalar_subquery()
    )
    .order_by(SubmissionRevision.revision)
)


async def get_submission(
    sessions: Sessions, bucket: Bucket, submission_id: UUID, *, caller: str, now: datetime
) -> SubmissionDetail:
    """Audited in the same transaction. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        found = await session.execute(_REVISIONS, {"submission_id": submission_id})
        rows = {row["id"]: submission_facts(row) for row in found.mappings()}
        if submission_id not in rows:
            raise NotFoundError
        asked = rows[submission_id]
        ids = {"user_id": asked["user_id"], "submission_id": str(submission_id)}
        await record_audit(session, caller, "sensitive_read", **ids)
        files = await list_files(session, rows)
    revisions = [
        RevisionAnswer(
            **row,
            files=[link_file(bucket, file, now) for file in files[row["restored_from"] or row_id]],
        )
        for row_id, row in rows.items()
    ]
    return SubmissionDetail(**asked, revisions=revisions)
