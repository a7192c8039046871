"""Who was erased: known by keyed hashes alone, so that nothing old brings a student back.

A student may come back by a new click in Spark. Then what is older than the erasure stays refused,
and everything else is as for anybody. The key is the database's own, made by its migration and
never changed: no secret of this service or of others ends what the tombstones know. Without it a
hash tells nothing, though Spark user ids are few enough to try them all.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import ARRAY, LargeBinary, any_, bindparam, func, select

from app.database import Session
from app.models import Erasure, TombstoneKey
from app.signing import sign

_KEY = select(TombstoneKey.key)


class Tombstones:
    """Their hashes in one database. The key is read when it is needed first, and then kept."""

    def __init__(self) -> None:
        self._key: SecretStr | None = None

    async def of_student(self, session: Session, spark_user_id: str) -> bytes:
        return await self._hash(session, f"spark:{spark_user_id}")

    async def of_user(self, session: Session, user_id: UUID) -> bytes:
        return await self._hash(session, f"user:{user_id}")

    async def of_organisation(self, session: Session, spark_org_id: str) -> bytes:
        return await self._hash(session, f"organisation:{spark_org_id}")

    async def _hash(self, session: Session, subject: str) -> bytes:
        if self._key is None:
            key: bytes = (await session.execute(_KEY)).scalar_one()
            self._key = SecretStr(key.hex())
        return bytes.fromhex(sign(self._key, subject.encode()))


# A piece of a statement, with the parameter `subject_hash`; null for who was never erased.
ERASED_AT = (
    select(func.max(Erasure.requested_at))
    .where(Erasure.subject_hash == bindparam("subject_hash"))
    .scalar_subquery()
)
_ERASED_AT = select(ERASED_AT)
_ERASED = (
    select(Erasure.subject_hash, Erasure.requested_at)
    .where(Erasure.subject_hash == any_(bindparam("subject_hashes", type_=ARRAY(LargeBinary))))
    .order_by(Erasure.requested_at)
)


async def find_erasure(
    session: Session, tombstones: Tombstones, spark_user_id: str
) -> datetime | None:
    """When this student was last erased; None for never."""
    subject_hash = await tombstones.of_student(session, spark_user_id)
    found = await session.execute(_ERASED_AT, {"subject_hash": subject_hash})
    erased_at: datetime | None = found.scalar_one()
    return erased_at


async def find_erased(
    session: Session, tombstones: Tombstones, spark_user_ids: Sequence[str]
) -> dict[str, datetime]:
    """Those among these students who were ever erased, and when last."""
    students = {
        await tombstones.of_student(session, spark_user_id): spark_user_id
        for spark_user_id in spark_user_ids
    }
    found = await session.execute(_ERASED, {"subject_hashes": list(students)})
    return {students[row.subject_hash]: row.requested_at for row in found}
