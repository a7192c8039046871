"""Who was erased is noted in the bucket, beside the database and its backups (OPERATOR 13).

A note is keyed hashes and a time: nobody's id, and nothing without the database's own key.
"""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from app.storage.bucket import Bucket
from app.storage.part_buffers import PartBody

FOLDER = "spark-erasures/"
NOTE_BYTES = 4096


class ErasureNote(BaseModel):
    """The tombstone with this id; its hashes in hexadecimal. Of an organisation it is the erasure
    with this id, and one hash.
    """

    id: UUID
    user_hash: str
    subject_hash: str | None
    requested_at: datetime
    keeps_account: bool = False
    is_organisation: bool = False


async def write_note(bucket: Bucket, note: ErasureNote) -> None:
    """Repeatable. Raises StorageUnavailableError."""
    content = note.model_dump_json().encode()
    body = PartBody(memoryview(content), len(content))
    await bucket.put(f"{FOLDER}{note.id}.json", body, content_type="application/json")


async def read_notes(bucket: Bucket) -> list[ErasureNote]:
    """All of them, oldest first. Raises StorageUnavailableError."""
    notes = [await _read(bucket, key) for key in await _list(bucket)]
    return sorted(notes, key=lambda note: note.requested_at)


async def _list(bucket: Bucket) -> list[str]:
    found: list[str] = []
    async for page in bucket.objects(after=FOLDER):
        keys = [key for key, _ in page if key.startswith(FOLDER)]
        found += keys
        if len(keys) < len(page):
            break
    return found


async def _read(bucket: Bucket, key: str) -> ErasureNote:
    pieces = [piece async for piece in bucket.read(key, chunk_bytes=NOTE_BYTES)]
    return ErasureNote.model_validate_json(b"".join(pieces))
