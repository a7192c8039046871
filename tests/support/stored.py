"""What is kept of a student: rows in the database and objects in the bucket, seen from outside."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select, text, update

from app.database import Sessions
from app.models import (
    AuditEntry,
    EvidenceBlock,
    EvidenceDocument,
    IdempotencyKey,
    InboxDelivery,
    QuestTaskCompletion,
    SubmissionRevision,
    Table,
    Upload,
    UserSkillXp,
    XpAward,
)
from app.settings import Settings
from tests.support.patience import patient
from tests.support.running import everything_is_written
from tests.support.stores import S3

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

DEADLINE_SECONDS = patient(20)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what the server does on its own after a connection is gone."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - it happens elsewhere and sets no event
            await asyncio.sleep(0.05)


async def somebody_waits(sessions: Sessions) -> bool:
    """For a lock, in this database."""
    waiting = (
        "select 1 from pg_locks join pg_stat_activity using (pid)"
        " where not granted and datname = current_database()"
    )
    async with sessions() as session, session.begin():
        return (await session.execute(text(waiting))).first() is not None


async def audited(sessions: Sessions, user_id: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Who did what to this student's data, alone or among others', in the order of time."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(AuditEntry.caller, AuditEntry.action, AuditEntry.detail)
            .where(
                or_(AuditEntry.user_id == user_id, AuditEntry.user_ids.contains([UUID(user_id)]))
            )
            .order_by(AuditEntry.occurred_at)
        )
        return [tuple(row) for row in found]


async def count(sessions: Sessions, table: type[Any], user_id: str) -> int:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(func.count()).select_from(table).where(table.user_id == user_id)
        )
        return found.scalar_one()


async def kept(sessions: Sessions, user_id: str) -> dict[str, int]:
    """How many rows of each kind this student has."""
    tables = (QuestTaskCompletion, EvidenceDocument, SubmissionRevision, XpAward)
    return {table.__tablename__: await count(sessions, table, user_id) for table in tables}


ONCE = {
    "quest_task_completions": 1,
    "user_task_evidence_documents": 1,
    "submission_revisions": 1,
    "xp_ledger": 1,
}
NOTHING = dict.fromkeys(ONCE, 0)


async def total_xp(sessions: Sessions, user_id: str) -> int:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(func.coalesce(func.sum(UserSkillXp.xp_amount), 0)).where(
                UserSkillXp.user_id == user_id
            )
        )
        return int(found.scalar_one())


async def blocks_of(sessions: Sessions, user_id: str) -> list[Row[Any]]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(EvidenceBlock)
            .join(EvidenceDocument, EvidenceDocument.id == EvidenceBlock.document_id)
            .where(EvidenceDocument.user_id == user_id)
            .order_by(EvidenceBlock.order_index)
        )
        return list(found.all())


async def uploads_of(sessions: Sessions, user_id: str) -> list[Row[Any]]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(Upload).where(Upload.user_id == user_id).order_by(Upload.position)
        )
        return list(found.all())


async def expire_leases(sessions: Sessions, user_id: str) -> None:
    """As if the leases of this student's uploads, and of all running messages, had run out."""
    past = func.now() - func.make_interval(0, 0, 0, 0, 1)
    async with sessions() as session, session.begin():
        await session.execute(
            update(Upload).where(Upload.user_id == user_id).values(lease_until=past)
        )
        await session.execute(  # nobody's yet: whose a message is, is kept with its answer
            update(IdempotencyKey).where(IdempotencyKey.response.is_(None)).values(lease_until=past)
        )


async def is_claimed(sessions: Sessions, raw: bytes) -> bool:
    """Whether somebody handles the message of these signed bytes at this moment."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(IdempotencyKey.key).where(
                IdempotencyKey.key == hashlib.sha256(raw).digest(),
                IdempotencyKey.response.is_(None),
                IdempotencyKey.lease_until > func.now(),
            )
        )
        return found.one_or_none() is not None


async def deliveries_of(sessions: Sessions, raw: bytes) -> list[Row[Any]]:
    """What the inbox keeps of these signed bytes, in the order they came."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(InboxDelivery)
            .where(InboxDelivery.digest == hashlib.sha256(raw).digest())
            .order_by(InboxDelivery.received_at, InboxDelivery.id)
        )
        return list(found.all())


async def count_everything(sessions: Sessions) -> dict[str, int]:
    """How many rows every table has, once what earlier requests left behind is written."""
    await everything_is_written()
    async with sessions() as session, session.begin():
        return {
            table.fullname: (
                await session.execute(select(func.count()).select_from(table))
            ).scalar_one()
            for table in Table.metadata.sorted_tables
        }


async def object_keys(settings: Settings, user_id: str) -> list[str]:
    async with open_s3(settings) as s3:
        listed = await s3.list_objects_v2(Bucket=settings.s3_bucket, Prefix=f"{user_id}/")
    return sorted(item["Key"] for item in listed.get("Contents", []))


async def unfinished_keys(settings: Settings, user_id: str) -> list[str]:
    """Keys of multipart uploads to the store that were neither completed nor aborted."""
    async with open_s3(settings) as s3:
        listed = await s3.list_multipart_uploads(Bucket=settings.s3_bucket, Prefix=f"{user_id}/")
    return sorted(item["Key"] for item in listed.get("Uploads", []))


async def read_object(settings: Settings, object_key: str) -> bytes:
    async with open_s3(settings) as s3:
        found = await s3.get_object(Bucket=settings.s3_bucket, Key=object_key)
        return await found["Body"].read()


async def assert_only_committed(settings: Settings, sessions: Sessions, user_id: str) -> None:
    """Every object has its committed row, every row its object, and nothing is half sent."""
    uploads = await uploads_of(sessions, user_id)
    assert {upload.state for upload in uploads} <= {"committed"}
    assert await object_keys(settings, user_id) == sorted(row.object_key for row in uploads)
    assert await unfinished_keys(settings, user_id) == []


@asynccontextmanager
async def open_s3(settings: Settings) -> "AsyncIterator[S3Client]":
    key, secret = settings.aws_access_key_id, settings.aws_secret_access_key
    assert key
    assert secret
    async with S3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=key.get_secret_value(),
        aws_secret_access_key=secret.get_secret_value(),
    ) as client:
        yield client
