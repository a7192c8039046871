"""Who was erased: known by keyed hashes alone, so that nothing old brings a student back.

A student may come back by a new click in Spark. Then what is older than the erasure stays refused,
and everything else is as for anybody. Without the key a hash tells nothing, though Spark user ids
are few enough to try them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import ARRAY, LargeBinary, any_, bindparam, func, select

from app.database import Session
from app.models import Erasure
from app.settings import Settings
from app.signing import own_keys, sign

PURPOSE = "subject of an erasure"


@dataclass(frozen=True)
class Tombstones:
    """Hashes under the current key and the one before it; new ones are made with the first."""

    keys: tuple[SecretStr, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(own_keys(settings, PURPOSE))

    def of_student(self, spark_user_id: str) -> list[bytes]:
        return self._hashes(f"spark:{spark_user_id}")

    def of_user(self, user_id: UUID) -> list[bytes]:
        return self._hashes(f"user:{user_id}")

    def _hashes(self, subject: str) -> list[bytes]:
        return [bytes.fromhex(sign(key, subject.encode())) for key in self.keys]


_HASHES = bindparam("subject_hashes", type_=ARRAY(LargeBinary))
# A piece of a statement, with the parameter `subject_hashes`; null for who was never erased.
ERASED_AT = (
    select(func.max(Erasure.requested_at))
    .where(Erasure.subject_hash == any_(_HASHES))
    .scalar_subquery()
)
_ERASED_AT = select(ERASED_AT)
_ERASED = (
    select(Erasure.subject_hash, Erasure.requested_at)
    .where(Erasure.subject_hash == any_(_HASHES))
    .order_by(Erasure.requested_at)
)


async def find_erasure(
    session: Session, tombstones: Tombstones, spark_user_id: str
) -> datetime | None:
    """When this student was last erased; None for never."""
    found = await session.execute(
        _ERASED_AT, {"subject_hashes": tombstones.of_student(spark_user_id)}
    )
    erased_at: datetime | None = found.scalar_one()
    return erased_at


async def find_erased(
    session: Session, tombstones: Tombstones, spark_user_ids: Sequence[str]
) -> dict[str, datetime]:
    """Those among these students who were ever erased, and when last."""
    students = {
        subject_hash: spark_user_id
        for spark_user_id in spark_user_ids
        for subject_hash in tombstones.of_student(spark_user_id)
    }
    found = await session.execute(_ERASED, {"subject_hashes": list(students)})
    return {students[row.subject_hash]: row.requested_at for row in found}
