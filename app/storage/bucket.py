"""The S3 calls this service uses, each with a total deadline and one failure.

Layout: `<user id>/<random uuid>.<extension>`, never derived from content or names, and
`spark-erasures/`. The bucket is
private; the credential needs PutObject, GetObject, DeleteObject, ListBucket and the multipart
calls. The caller keeps a row for each key before the first byte: an object without a row does
not exist. Every failure is StorageUnavailableError, and says nothing of what S3 answered.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import structlog
from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError

from app.errors import StorageUnavailableError
from app.settings import Settings
from app.storage.circuit import CALL_SECONDS, Circuit
from app.storage.part_buffers import PartBody, PartBuffers
from app.storage.pointers import Pointers
from app.storage.s3_client import open_client
from app.storage.sign_link import LinkSigner

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

PING_SECONDS = 3
COPY_SECONDS = 30  # the store moves the bytes meanwhile

T = TypeVar("T")

log = structlog.get_logger()


class UploadGoneError(StorageUnavailableError):
    """The multipart upload was aborted or completed by somebody else."""


class Bucket:
    """An open connection pool to one bucket; one per process, from `open_bucket`."""

    def __init__(self, client: "S3Client", settings: Settings) -> None:
        own, public = client.meta.endpoint_url, settings.s3_public_endpoint_url
        self._client = client
        self.links = LinkSigner(settings, public or own)
        self._name = settings.s3_bucket
        self.pointers = Pointers(settings, [own, public or own])
        self.buffers = PartBuffers()
        self.circuit = Circuit()

    async def put(self, object_key: str, body: PartBody, *, content_type: str) -> None:
        """One object from one body. After a failure it is unknown whether it was stored."""
        await self._begin_turn()
        try:
            await _within(
                self._client.put_object(
                    Bucket=self._name,
                    Key=object_key,
                    Body=cast("IO[bytes]", body),
                    ContentType=content_type,
                ),
                self.circuit.call(body),
            )
        finally:
            self.buffers.end_turn()

    async def create_upload(self, object_key: str, *, content_type: str) -> str:
        created = await _within(
            self._client.create_multipart_upload(
                Bucket=self._name, Key=object_key, ContentType=content_type
            ),
            self.circuit.call(),
        )
        upload_id = created["UploadId"]
        if created["ResponseMetadata"].get("RetryAttempts"):  # the first answer may have been lost
            await self._abort_others(object_key, upload_id)
        return upload_id

    async def begin_part(
        self, object_key: str, upload_id: str, *, number: int, body: PartBody
    ) -> "asyncio.Task[CompletedPartTypeDef]":
        """Returns when it is this part's turn, with the task that sends it."""
        await self._begin_turn()
        sending = asyncio.create_task(
            self._put_part(object_key, upload_id, number=number, body=body)
        )

        def end(sent: "asyncio.Task[CompletedPartTypeDef]") -> None:
            body.has_left.set()
            self.buffers.end_turn()
            if not sent.cancelled():
                sent.exception()  # else asyncio complains when nobody asks after a second failure

        sending.add_done_callback(end)
        return sending

    async def _begin_turn(self) -> None:
        async with self.circuit.wait():
            await self.buffers.begin_turn()

    async def _put_part(
        self, object_key: str, upload_id: str, *, number: int, body: PartBody
    ) -> "CompletedPartTypeDef":
        stored = await _within(
            self._client.upload_part(
                Bucket=self._name,
                Key=object_key,
                UploadId=upload_id,
                PartNumber=number,
                Body=cast("IO[bytes]", body),
            ),
            self.circuit.call(body),
        )
        self.buffers.give_back(body.buffer)
        return {"PartNumber": number, "ETag": stored["ETag"]}

    async def complete_upload(
        self, object_key: str, upload_id: str, *, parts: "list[CompletedPartTypeDef]"
    ) -> None:
        await _within(
            self._client.complete_multipart_upload(
                Bucket=self._name,
                Key=object_key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
            ),
            self.circuit.call(),
        )

    async def abort_upload(self, object_key: str, upload_id: str) -> None:
        """Repeatable: what is gone already is aborted."""
        with suppress(UploadGoneError):
            await _within(
                self._client.abort_multipart_upload(
                    Bucket=self._name, Key=object_key, UploadId=upload_id
                )
            )

    async def copy(self, object_key: str, new_key: str) -> None:
        """Inside the store, with its type. Repeatable."""
        source = f"{self._name}/{object_key}"
        copied = self._client.copy_object(Bucket=self._name, Key=new_key, CopySource=source)
        await _within(copied, asyncio.timeout(COPY_SECONDS))

    async def delete(self, object_key: str) -> None:
        """Remove the object and any unfinished upload of its key. Repeatable."""
        await _within(self._client.delete_object(Bucket=self._name, Key=object_key))
        await self._abort_others(object_key, "")

    async def _abort_others(self, object_key: str, upload_id: str) -> None:
        """Every unfinished upload of this key but the one."""
        async for page in self.unfinished_uploads(prefix=object_key):
            for _, other_id, _ in page:
                if other_id != upload_id:
                    await self.abort_upload(object_key, other_id)

    async def read(self, object_key: str, *, chunk_bytes: int) -> AsyncIterator[bytes]:
        """In chunks of at most so many bytes, each within CALL_SECONDS."""
        call = self._client.get_object(Bucket=self._name, Key=object_key)
        body = (await _within(call))["Body"]
        async with body:
            while chunk := await _within(body.read(chunk_bytes)):
                yield chunk

    async def ping(self) -> None:
        await _within(self._client.head_bucket(Bucket=self._name), asyncio.timeout(PING_SECONDS))

    async def ensure_exists(self) -> None:
        """Make the bucket if it is missing: for the embedded server, others keep their own."""
        listed = await _within(self._client.list_buckets())
        if self._name not in [bucket["Name"] for bucket in listed["Buckets"]]:
            await _within(self._client.create_bucket(Bucket=self._name))

    async def exists(self, object_key: str) -> bool:
        """Found by listing: of all keys that begin with this one, the key itself is the first."""
        listed = await _within(
            self._client.list_objects_v2(Bucket=self._name, Prefix=object_key, MaxKeys=1)
        )
        return any(item["Key"] == object_key for item in listed.get("Contents", []))

    async def objects(self, *, after: str = "") -> AsyncIterator[list[tuple[str, datetime]]]:
        """Keys greater than `after` and when they were written, in pages of up to 1000, other
        people's included.
        """
        start: dict[str, Any] = {"StartAfter": after}
        while True:
            page = await _within(self._client.list_objects_v2(Bucket=self._name, **start))
            found = page.get("Contents", [])
            yield [(item["Key"], item["LastModified"]) for item in found]
            if not page["IsTruncated"]:
                return
            start = {"ContinuationToken": page["NextContinuationToken"]}

    async def unfinished_uploads(
        self, *, prefix: str = ""
    ) -> AsyncIterator[list[tuple[str, str, datetime]]]:
        """Key, upload id and start of each that was neither completed nor aborted and whose key
        begins with `prefix`, in pages, other people's included.
        """
        start: dict[str, Any] = {}
        while True:
            page = await _within(
                self._client.list_multipart_uploads(Bucket=self._name, Prefix=prefix, **start)
            )
            found = page.get("Uploads", [])
            yield [(item["Key"], item["UploadId"], item["Initiated"]) for item in found]
            if not page["IsTruncated"]:
                return
            start = {  # SeaweedFS lists by upload id and has no marker of keys
                "KeyMarker": page.get("NextKeyMarker", ""),
                "UploadIdMarker": page["NextUploadIdMarker"],
            }


@asynccontextmanager
async def open_bucket(settings: Settings) -> AsyncIterator[Bucket]:
    """The store of this process. Connects at the first call."""
    async with open_client(settings) as client:
        yield Bucket(client, settings)


async def _within(
    call: Awaitable[T], limit: AbstractAsyncContextManager[object] | None = None
) -> T:
    try:
        async with limit or asyncio.timeout(CALL_SECONDS):
            return await call
    except ClientError as refusal:
        code = refusal.response["Error"]["Code"]
        if code == "NoSuchUpload":
            raise UploadGoneError from refusal
        # Wrong keys or a missing bucket do not pass by themselves: somebody has to hear of it.
        log.error("storage_refused", code=code)  # noqa: TRY400
        raise StorageUnavailableError from refusal
    except (BotoCoreError, HttpError, OSError) as failure:
        log.warning("storage_failed", error_class=type(failure).__name__)
        raise StorageUnavailableError from failure
