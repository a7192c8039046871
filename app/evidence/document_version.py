"""Which state of a document somebody knows (DESIGN R38).

The main app adds, edits and deletes blocks without touching the document they are in, so a version
covers the blocks as well.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, literal_column, select

from app.adoption.people import filled
from app.database import Session
from app.models import EvidenceBlock, EvidenceDocument

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Of a block: all that a save writes over.
BLOCK_DIGEST = func.sha256(
    func.convert_to(
        func.concat_ws(
            " ",
            EvidenceBlock.id,
            EvidenceBlock.block_type,
            EvidenceBlock.order_index,
            EvidenceBlock.is_private,
            EvidenceBlock.content,
        ),
        literal_column("'UTF8'"),
    )
).label("digest")
_STATE = (
    select(
        filled(EvidenceDocument.__table__.c.updated_at).label("updated_at"),
        filled(EvidenceBlock.__table__.c.created_at).label("created_at"),
        EvidenceBlock.id,
        BLOCK_DIGEST,
    )
    .outerjoin(EvidenceBlock, EvidenceBlock.document_id == EvidenceDocument.id)
    .where(EvidenceDocument.id == bindparam("document_id"))
    .order_by(EvidenceBlock.order_index)
)


def version_of(
    updated_at: datetime, blocks: Iterable[tuple[datetime, bytes]]
) -> tuple[datetime, str]:
    """When the document or a block was written last, and what clients compare, in a form that none
    of them takes for a moment or a number and cuts. Each block is when it was made, and its digest,
    in order.
    """
    digest = hashlib.sha256()
    for created_at, of_block in blocks:
        updated_at = max(updated_at, created_at)
        digest.update(of_block)
    moment = (updated_at - _EPOCH) // timedelta(microseconds=1)
    return updated_at, f"v{moment:x}-{digest.hexdigest()[:16]}"


async def read_version(session: Session, document_id: UUID) -> tuple[datetime, str]:
    """As it is now, for who has written it: as `version_of`."""
    rows = (await session.execute(_STATE, {"document_id": document_id})).all()
    return version_of(
        rows[0].updated_at, [(row.created_at, row.digest) for row in rows if row.id is not None]
    )
