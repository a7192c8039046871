"""Files by URL for an operator: how far they are, and once more by another link."""

from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field
from sqlalchemy import Text, cast, func, select

from app import fields
from app.activity.audit import record_audit, record_audit_of_many
from app.database import Sessions, matching, page_of, retried
from app.errors import JobNotDeadError, NotFoundError
from app.fetch import check_url
from app.models import Download, Job
from app.settings import Settings
from app.submissions.order_downloads import DOWNLOAD, ORDER_BY_ID

State = Literal["pending", "stored", "dead"]


class DownloadFilter(fields.ContractModel):
    """Which files; None means any."""

    state: State | None = Field(None, description="Only these.", examples=["dead"])
    submission_id: fields.NullableId = Field(None, description="Of this handing-in.")
    user_id: fields.NullableId = Field(None, description="Of this student.")


class DownloadAnswer(fields.ContractModel):
    """A file that a submission named by its address, without the address."""

    id: fields.Id = Field(title="Download id", description="The file on its way.")
    submission_id: fields.Id = Field(description="The handing-in.")
    user_id: fields.UserId
    position: int = Field(ge=0, description="Its place among the submission's.", examples=[0])
    host: str = Field(description="Where it is.", examples=["files.spark.example"])
    filename: str = Field(description="As the sender named it.", examples=["rain-gauge.jpg"])
    state: State = Field(
        description="`dead`: have Spark send the message again, or name another link here.",
        examples=["pending"],
    )
    code: str | None = Field(
        description="Why it is not stored: `status_403` is mostly a link that has expired.",
        examples=["status_403"],
    )
    attempts: int = Field(ge=0, description="How often it was tried.", examples=[3])
    next_attempt_at: fields.NullableMoment = Field(description="When it is tried again.")
    created_at: fields.Moment = Field(description="When it was handed in.")
    settled_at: fields.NullableMoment = Field(description="When it was stored or given up.")


class NewAddress(fields.ContractModel):
    """Where the file is now. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(
        None,
        description="Under the rules of `submission_files`; needed for a dead one.",
        examples=["https://files.spark.example/rain-gauge.jpg?signature=6f1d"],
    )


_SHOWN = (
    *(column for name, column in Download.__table__.c.items() if name != "url"),
    func.coalesce(Job.attempts, 0).label("attempts"),
    Job.run_at.label("next_attempt_at"),
)
_JOB = (Job.kind == DOWNLOAD) & (Job.key == cast(Download.id, Text)) & (Job.state != "dead")


async def list_downloads(
    sessions: Sessions, asked: DownloadFilter, after: UUID | None, limit: int, *, caller: str
) -> list[DownloadAnswer]:
    """As `page_of`. Audited."""
    conditions = matching(Download, asked.model_dump(include=set(DownloadFilter.model_fields)))
    statement = select(*_SHOWN).outerjoin(Job, _JOB).where(*conditions)
    async with sessions() as session, session.begin():
        found = await session.execute(page_of(statement, Download.id, after, limit))
        listed = [DownloadAnswer(**row) for row in found.mappings()]
        users = [each.user_id for each in listed[:limit]]
        await record_audit_of_many(session, caller, "sensitive_read", user_ids=users)
    return listed


async def read_download(sessions: Sessions, download_id: UUID, *, caller: str) -> DownloadAnswer:
    """Raises NotFoundError. Audited."""
    statement = select(*_SHOWN).outerjoin(Job, _JOB).where(Download.id == download_id)
    async with sessions() as session, session.begin():
        row = (await session.execute(statement)).mappings().first()
        if row is None:
            raise NotFoundError
        await record_audit(session, caller, "sensitive_read", user_id=row["user_id"])
    return DownloadAnswer(**row)


@retried
async def fetch_again(
    sessions: Sessions, settings: Settings, download_id: UUID, url: str | None, *, caller: str
) -> None:
    """A file that is not here is fetched now, by this link if there is one.

    Raises UrlNotAllowedError, NotFoundError, or JobNotDeadError for one that is stored. Audited.
    """
    if url is not None:
        check_url(url, settings.spark_storage_domains)
    async with sessions() as session, session.begin():
        known = await session.execute(
            select(Download.user_id, Download.state, Download.url).where(Download.id == download_id)
        )
        download = known.one_or_none()
        if download is None:
            raise NotFoundError
        if download.state == "stored" or not (url or download.url):
            raise JobNotDeadError(hint="It is stored, or its link is gone: name a new `url`.")
        await ORDER_BY_ID.send(session, {"id": download_id, "url": url})
        await record_audit(session, caller, "sensitive_update", user_id=download.user_id)
