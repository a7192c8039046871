"""A block's file is taken out of it. Spark's own stays with its revision."""

from datetime import datetime
from uuid import UUID

from app.database import Sessions, retried
from app.errors import FieldInvalidError
from app.evidence.documents import FILE_MEMBERS
from app.files.uploads import remove_released
from app.portfolio.merge import replace_content
from app.portfolio.open_evidence import Editor, open_block
from app.portfolio.write import write_change
from app.storage.bucket import Bucket

FILE_BLOCKS = ("image", "video", "document")


@retried
async def detach_file(
    sessions: Sessions, bucket: Bucket, block_id: UUID, editor: Editor
) -> tuple[datetime, str]:
    """The document's `updated_at` and version. Repeatable.

    Raises NotFoundError, EvidenceChangedError, or FieldInvalidError for a block that holds no file.
    """
    async with sessions() as session, session.begin():
        opened, block = await open_block(session, block_id, editor)
        if block.block_type not in FILE_BLOCKS:
            raise FieldInvalidError(name="block_type", hint="This block holds no file.")
        left = {name: value for name, value in block.content.items() if name not in FILE_MEMBERS}
        if left == block.content and opened.before.document:
            return opened.before.document.updated_at, opened.before.document.version
        change = replace_content(opened.before, block, left)
        written = await write_change(session, bucket, opened, change, "upload_delete")
    await remove_released(sessions, bucket, written.released)
    return written.updated_at, written.version
