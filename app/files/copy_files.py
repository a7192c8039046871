"""A file is copied under another account's prefix, inside the store."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Interval, Text, Uuid, bindparam, text

from app.adoption.people import DELETION_SQL
from app.database import Sessions
from app.errors import StorageUnavailableError
from app.storage.bucket import Bucket

_REGISTER = text(
    f"""
    insert into spark.uploads (id, user_id, object_key, lease_until)
    select :copy_id, users.id, :key, now() + :lease from users
    where users.id = :of_user and {DELETION_SQL} = 'none'
    for key share
    on conflict (id) do update set lease_until = excluded.lease_until
    where uploads.state = 'pending'
    """  # noqa: S608 - ours
).bindparams(
    bindparam("copy_id", type_=Uuid),
    bindparam("of_user", type_=Uuid),
    bindparam("key", type_=Text),
    bindparam("lease", type_=Interval),
)


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
    not used before the lease is over is swept. Raises StorageUnavailableError.
    """
    key = f"{user_id}/{copy_id}.{object_key.rpartition('.')[2]}"
    said = {"copy_id": copy_id, "of_user": user_id, "key": key, "lease": lease}
    async with sessions() as session, session.begin():
        if not (await session.execute(_REGISTER, said)).rowcount:
            raise StorageUnavailableError(hint="An earlier copy is being removed. Ask again.")
    await bucket.copy(object_key, key)
    return key
