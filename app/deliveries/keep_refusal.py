"""A refusal in the inbox, in a transaction of its own, because that of its act was undone.

Nothing personal of an erased student gets in again this way.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from sqlalchemy import (
    ARRAY,
    BigInteger,
    LargeBinary,
    any_,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from app.database import FAILURES, OUTAGES, Sessions
from app.deliveries.inbox import COLUMNS, ROW, Entry, row_of, upsert
from app.deliveries.payload import Subject, beside_if_large, read_subject
from app.errors import OverloadedError, ServiceError
from app.models import PLATFORM, Erasure, InboxDelivery, LmsIntegration

DATABASE_FAILURES: tuple[type[Exception], ...] = (OverloadedError, *OUTAGES)

# The personal columns of a refusal are blank when its student is erased: of what was done before
# the erasure was finished, and of anything until a click makes a new link. Refusals share the
# student's turn, and an erasure takes it alone, so that it sees every refusal that was written.
_PERSONAL = (
    "webhook_id",
    "message",
    "user_id",
    "spark_user_id",
    "spark_assignment_id",
    "spark_course_id",
)
_LINKED = select(LmsIntegration.user_id).where(
    LmsIntegration.lms_platform == PLATFORM,
    LmsIntegration.lms_user_id == ROW["spark_user_id"],
)
_IS_ERASED = (
    select(Erasure.id)
    .where(
        Erasure.subject_hash == any_(bindparam("subject_hashes", type_=ARRAY(LargeBinary))),
        or_(
            Erasure.requested_at
            >= func.least(
                bindparam("said_at", type_=InboxDelivery.received_at.type), ROW["received_at"]
            ),
            Erasure.completed_at.is_(None),
            ~_LINKED.exists(),
        ),
    )
    .exists()
)
_GUARD = (
    select(_IS_ERASED.label("forgets"))
    .select_from(func.pg_advisory_xact_lock_shared(bindparam("turn", type_=BigInteger)))
    .cte("guard")
)
_KEEP_REFUSAL = upsert(
    insert(InboxDelivery).from_select(
        COLUMNS,
        select(
            *(
                case((_GUARD.c.forgets, null()), else_=value) if name in _PERSONAL else value
                for name, value in (ROW | {"user_id": _LINKED.scalar_subquery()}).items()
            )
        ),
    )
)


@asynccontextmanager
async def remember_refusal(
    sessions: Sessions, entry: Entry, hashes_of: Callable[[str], Sequence[bytes]]
) -> AsyncIterator[None]:
    """Keep a delivery whose handling fails, with why; not where it may be the database.

    `hashes_of` gives the hashes under which a student's tombstone would be, the current key's
    first.
    """
    try:
        yield
    except DATABASE_FAILURES:
        raise
    except Exception as failure:
        subject = await beside_if_large(read_subject, entry.text)
        student = subject.spark_user_id
        with suppress(*FAILURES):
            await _keep_refusal(
                sessions, entry, subject, hashes_of(student) if student else (), failure
            )
        raise


async def _keep_refusal(
    sessions: Sessions,
    entry: Entry,
    subject: Subject,
    subject_hashes: Sequence[bytes],
    failure: Exception,
) -> None:
    kind = type(failure) if isinstance(failure, ServiceError) else ServiceError
    row = row_of(entry, subject) | {"delivery_status": kind.status, "delivery_code": kind.code}
    erasure = {
        "subject_hashes": list(subject_hashes),
        "said_at": subject.submitted_at,
        "turn": turn_of(subject_hashes),
    }
    async with sessions() as session, session.begin():
        await session.execute(_KEEP_REFUSAL, row | erasure)


def turn_of(subject_hashes: Sequence[bytes]) -> int:
    """The advisory lock of a student: refusals share it, an erasure has it alone."""
    return int.from_bytes(subject_hashes[0][:8], signed=True) if subject_hashes else 0
