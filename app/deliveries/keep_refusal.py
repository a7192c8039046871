"""A refusal in the inbox, in a transaction of its own, because that of its act was undone.

Nothing personal of an erased student gets in again this way.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from app import metrics
from app.database import FAILURES, OUTAGES, Session, Sessions, Statement, explain_outage
from app.deliveries.inbox import COLUMNS, KEPT_AGAIN_SQL, Entry, row_of
from app.deliveries.payload import Subject, beside_if_large, read_subject
from app.errors import (
    OverloadedError,
    ServiceError,
    StudentErasedError,
    TimestampInFutureError,
    TimestampTooOldError,
)
from app.jobs.try_early import MISSING, share_locks, try_arrived
from app.models import PLATFORM

DATABASE_FAILURES: tuple[type[Exception], ...] = (OverloadedError, *OUTAGES)

DIGEST_DIGITS = 16

# The personal columns of a refusal are blank when its student is erased: of what was done before
# the erasure was finished, and of anything until a click makes a new link. Refusals share the
# student's turn, and an erasure takes it alone, so that it sees every refusal that was written.
_PERSONAL = {
    "webhook_id": ":delivery_webhook_id::text",
    "message": ":delivery_message::bytea",
    "user_id": "(select user_id from linked)",
    "spark_user_id": ":delivery_spark_user_id",
    "spark_assignment_id": ":delivery_spark_assignment_id::text",
    "spark_course_id": ":delivery_spark_course_id::text",
}
_VALUES = {name: f":delivery_{name}" for name in COLUMNS} | {
    name: f"case when not forgets then {value} end" for name, value in _PERSONAL.items()
}
_KEEP_REFUSAL = Statement(
    f"""
    with linked as (
      select user_id from lms_integrations
      where lms_platform = '{PLATFORM}' and lms_user_id = :delivery_spark_user_id::text),
    guard as (
      select exists (
        select from spark.erasures
        where subject_hash = :subject_hash::bytea and (
          requested_at >= least(:said_at::timestamptz, :delivery_received_at::timestamptz)
          or completed_at is null or not exists (select from linked))) as forgets
      from pg_advisory_xact_lock_shared(:turn::bigint))
    insert into spark.deliveries ({", ".join(COLUMNS)})
    select {", ".join(_VALUES[name] for name in COLUMNS)} from guard {KEPT_AGAIN_SQL}
    """  # noqa: S608 - of our own words
)


@asynccontextmanager
async def remember_refusal(
    sessions: Sessions, entry: Entry, hash_of: Callable[[Session, str], Awaitable[bytes]]
) -> AsyncIterator[None]:
    """Keep a delivery whose handling fails, with why; not where it may be the database.

    `hash_of` gives the hash under which a student's tombstone would be.
    """
    try:
        yield
    except DATABASE_FAILURES as failure:
        _leave_trace(entry)
        _count_unkept(failure)
        raise
    except Exception as failure:
        _leave_trace(entry)
        subject = await beside_if_large(read_subject, entry.text)
        if isinstance(failure, ServiceError):
            failure.said = _for_event(subject, failure)
        try:
            await _keep_refusal(sessions, entry, subject, hash_of, failure)
        except FAILURES:
            _count_unkept(failure)
        raise


@contextmanager
def not_remembered(entry: Entry) -> Iterator[None]:
    """Where it is the service that has no room, a delivery is counted and not kept."""
    try:
        yield
    except ServiceError as failure:
        _leave_trace(entry)
        _count_unkept(failure)
        raise


def _leave_trace(entry: Entry) -> None:
    """In what is logged of this request from here on."""
    webhook_id, digest = entry.attempt.webhook_id, entry.digest.hex()[:DIGEST_DIGITS]
    structlog.contextvars.bind_contextvars(webhook_id=webhook_id, digest=digest)


def _count_unkept(failure: Exception) -> None:
    outage = explain_outage(failure) if isinstance(failure, OUTAGES) else failure
    code = outage.code if isinstance(outage, ServiceError) else ServiceError.code
    metrics.UNKEPT.labels(code).inc()


def _for_event(subject: Subject, failure: ServiceError) -> dict[str, str]:
    """The members of CONTRACT 9.1 that could be read. Nothing of an erased student's message."""
    said: dict[str, str] = {}
    if subject.spark_assignment_id and not isinstance(failure, StudentErasedError):
        said["spark_assignment_id"] = subject.spark_assignment_id
    if subject.submitted_at and isinstance(failure, TimestampTooOldError | TimestampInFutureError):
        said["submitted_at"] = subject.submitted_at.isoformat()
    return said


async def _keep_refusal(
    sessions: Sessions,
    entry: Entry,
    subject: Subject,
    hash_of: Callable[[Session, str], Awaitable[bytes]],
    failure: Exception,
) -> None:
    kind = type(failure) if isinstance(failure, ServiceError) else ServiceError
    row = row_of(entry, subject) | {"delivery_status": kind.status, "delivery_code": kind.code}
    student = subject.spark_user_id
    is_early = bool(student and entry.is_json and kind.code in MISSING)
    async with sessions() as session, session.begin():
        if is_early:
            await share_locks(session, str(student))
        subject_hash = await hash_of(session, student) if student else None
        erasure = {
            "subject_hash": subject_hash,
            "said_at": subject.submitted_at,
            "turn": turn_of(subject_hash),
        }
        await _KEEP_REFUSAL.send(session, row | erasure)
        if is_early:
            await try_arrived(session, entry.id)


def turn_of(subject_hash: bytes | None) -> int:
    """The advisory lock of a student: refusals share it, an erasure has it alone."""
    return int.from_bytes(subject_hash[:8], signed=True) if subject_hash else 0
