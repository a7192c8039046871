"""A file is copied under another account's prefix, inside the store."""

from datetime import timedelta
from uuid import UUID

from app.database import Sessions
from app.errors import AccountInactiveError, StorageUnavailableError
from app.files.uploads import register_upload
from app.storage.bucket import Bucket


async def copy_file(
    sessions: Sessions,
    bucket: Bucket,
    object_key: str,
    *,
    copy_id: UUID,
    user_id: UUID,
    lease: timedelta,
) -> str:
    """The copy's key. Its row is committed before there is an object; may be repeated, and what is
    not used before the lease is over is swept. An object that was lost is lost to the copy, too.
    Raises StorageUnavailableError.
    """
    key = f"{user_id}/{copy_id}.{object_key.rpartition('.')[2]}"
    try:
        await register_upload(sessions, copy_id, user_id=user_id, object_key=key, lease=lease)
    except AccountInactiveError:
        hint = "An earlier copy is being removed. Ask again."
        raise StorageUnavailableError(hint=hint) from None
    try:
        await bucket.copy(object_key, key)
    except StorageUnavailableError:
        if await bucket.exists(object_key):
            raise
    return key
