"""A database and a bucket, looked into from outside the service.

For tests whose service is another process; everything here is its own short event loop.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aioboto3
from aiobotocore.config import AioConfig
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.learning.sample_course import seed_sample_course
from app.settings import Settings
from tests.support.adopted import TESTS, by_owner
from tests.support.databases import ready_database_apart
from tests.support.kinds import VARIABLES

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import MultipartUploadTypeDef, ObjectIdentifierTypeDef

S3 = aioboto3.Session()  # it keeps what a client takes long to load


@dataclass(frozen=True)
class Stores:
    """`variables` is what a service needs to use them."""

    variables: dict[str, str]

    def given_to(self, settings: Settings, **changes: Any) -> Settings:
        """The settings of a service on these stores, with these changes."""
        own = {
            "database_url": SecretStr(self.variables["DATABASE_URL"]),
            "s3_bucket": self.variables["S3_BUCKET"],
        }
        return settings.model_copy(update=own | changes)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        return asyncio.run(self.execute(statement))

    async def execute(self, statement: str) -> list[dict[str, Any]]:
        """As `rows`, for tests that have an event loop. As the database's owner."""
        return await _execute(by_owner(self.variables["DATABASE_URL"]), statement)

    def count(self, table: str) -> int:
        found: int = self.rows(f"SELECT count(*) AS found FROM {table}")[0]["found"]  # noqa: S608 - a table's name
        return found

    def object_keys(self) -> set[str]:
        return asyncio.run(self._object_keys())

    def unfinished_uploads(self) -> "Sequence[MultipartUploadTypeDef]":
        """Multipart uploads that were neither completed nor aborted."""
        return asyncio.run(self._unfinished_uploads())

    @contextmanager
    def lock(self, table: str) -> Iterator[None]:
        """Nobody writes to the table until the end; who tries waits."""
        with asyncio.Runner() as loop:
            engine = create_async_engine(
                by_owner(self.variables["DATABASE_URL"]), poolclass=NullPool
            )
            connection = loop.run(engine.connect().start())
            loop.run(connection.execute(text(f"LOCK TABLE {table} IN SHARE MODE")))
            try:
                yield
            finally:
                loop.run(connection.close())

    def somebody_waits(self) -> bool:
        """Whether a transaction waits for such a lock."""
        return bool(self.rows("SELECT pid FROM pg_locks WHERE NOT granted"))

    def committed_keys(self) -> set[str]:
        """What the rows say the bucket holds."""
        rows = self.rows("SELECT object_key FROM spark.uploads WHERE state = 'committed'")
        return {row["object_key"] for row in rows}

    def _s3(self) -> "AbstractAsyncContextManager[S3Client]":
        return S3.client(
            "s3",
            endpoint_url=self.variables["S3_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            config=AioConfig(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    async def _object_keys(self) -> set[str]:
        async with self._s3() as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.variables["S3_BUCKET"])
            return {item["Key"] async for page in pages for item in page.get("Contents", [])}

    def has_a_part(self) -> bool:
        """Whether a part of an unfinished upload has arrived."""
        return asyncio.run(self._has_a_part())

    async def _has_a_part(self) -> bool:
        bucket = self.variables["S3_BUCKET"]
        async with self._s3() as s3:
            for upload in await self._unfinished_uploads():
                found = await s3.list_parts(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
                return bool(found.get("Parts"))
        return False

    async def _unfinished_uploads(self) -> "Sequence[MultipartUploadTypeDef]":
        async with self._s3() as s3:
            found = await s3.list_multipart_uploads(Bucket=self.variables["S3_BUCKET"])
        return found.get("Uploads", [])

    async def abort_unfinished(self) -> None:
        """Every multipart upload of the bucket."""
        bucket = self.variables["S3_BUCKET"]
        async with self._s3() as s3:
            for upload in await self._unfinished_uploads():
                await s3.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )

    def put(self, *object_keys: str, content: bytes) -> None:
        """Objects of the same content."""
        asyncio.run(self.put_all(object_keys, content=content))

    async def put_all(self, object_keys: Sequence[str], *, content: bytes) -> None:
        """As `put`, for tests that have an event loop."""
        bucket, turns = self.variables["S3_BUCKET"], asyncio.Semaphore(10)

        async def put(object_key: str) -> None:
            async with turns:
                await s3.put_object(
                    Bucket=bucket, Key=object_key, Body=content, ContentType="text/plain"
                )

        async with self._s3() as s3:
            await asyncio.gather(*(put(object_key) for object_key in object_keys))

    def begin_upload(self, object_key: str) -> None:
        """A multipart upload that stays unfinished, with one part."""
        asyncio.run(self._begin_upload(object_key))

    async def _begin_upload(self, object_key: str) -> None:
        bucket = self.variables["S3_BUCKET"]
        async with self._s3() as s3:
            begun = await s3.create_multipart_upload(Bucket=bucket, Key=object_key)
            await s3.upload_part(
                Bucket=bucket,
                Key=object_key,
                UploadId=begun["UploadId"],
                PartNumber=1,
                Body=b"rain",
            )

    def link_to_put(self, object_key: str) -> str:
        """Where anybody may PUT this object for a few minutes, its content unsigned."""
        return asyncio.run(self._link_to_put(object_key))

    async def _link_to_put(self, object_key: str) -> str:
        target = {"Bucket": self.variables["S3_BUCKET"], "Key": object_key}
        async with self._s3() as s3:
            return await s3.generate_presigned_url("put_object", Params=target)

    async def _make_bucket(self) -> None:
        async with self._s3() as s3:
            await s3.create_bucket(Bucket=self.variables["S3_BUCKET"])

    async def _drop_bucket(self) -> None:
        async with self._s3() as s3:
            await s3.delete_bucket(Bucket=self.variables["S3_BUCKET"])

    def empty_bucket(self) -> None:
        asyncio.run(self._empty_bucket())

    async def _empty_bucket(self) -> None:
        bucket = self.variables["S3_BUCKET"]
        async with self._s3() as s3:
            keys = list(await self._object_keys())
            for start in range(0, len(keys), 1000):  # the most of one call
                objects: list[ObjectIdentifierTypeDef] = [
                    {"Key": key} for key in keys[start : start + 1000]
                ]
                await s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
        await self.abort_unfinished()

    @asynccontextmanager
    async def open_to_all(self) -> AsyncIterator[None]:
        """Whoever has no key may read and list the bucket, until the end."""
        bucket = self.variables["S3_BUCKET"]
        arn = f"arn:aws:s3:::{bucket}"
        anybody = {"Effect": "Allow", "Principal": "*"}
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                anybody | {"Action": "s3:GetObject", "Resource": f"{arn}/*"},
                anybody | {"Action": "s3:ListBucket", "Resource": arn},
            ],
        }
        async with self._s3() as s3:
            await s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
            try:
                yield
            finally:
                await s3.delete_bucket_policy(Bucket=bucket)

    @asynccontextmanager
    async def with_bucket(self) -> AsyncIterator[None]:
        """Its bucket, made now and gone afterwards."""
        await self._make_bucket()
        try:
            yield
        finally:
            await self._empty_bucket()
            await self._drop_bucket()


@contextmanager
def own_stores(settings: Settings, *, people: bool = False) -> Iterator[Stores]:
    """A database of the run's kind with the sample course, and an empty bucket, on its servers."""
    bucket = f"test-{secrets.token_hex(8)}"
    assert settings.s3_endpoint_url
    assert settings.aws_access_key_id
    assert settings.aws_secret_access_key
    with ready_database_apart(settings, people=people) as made:
        assert made.database_url
        database_url = made.database_url.get_secret_value()
        stores = Stores(
            {
                "DATABASE_URL": database_url,
                "S3_ENDPOINT_URL": settings.s3_endpoint_url,
                "S3_BUCKET": bucket,
                "AWS_ACCESS_KEY_ID": settings.aws_access_key_id.get_secret_value(),
                "AWS_SECRET_ACCESS_KEY": settings.aws_secret_access_key.get_secret_value(),
            }
            | VARIABLES
        )
        asyncio.run(stores._make_bucket())
        asyncio.run(_seed(database_url))
        try:
            yield stores
        finally:
            stores.empty_bucket()
            asyncio.run(stores._drop_bucket())


async def _seed(address: str) -> None:
    engine = create_async_engine(address, poolclass=NullPool)
    await seed_sample_course(engine.connect)


async def _execute(address: str, statement: str) -> list[dict[str, Any]]:
    engine = create_async_engine(
        address,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"server_settings": {"application_name": TESTS}},
    )
    async with engine.connect() as connection:
        result = await connection.execute(text(statement))
        return [dict(row) for row in result.mappings()] if result.returns_rows else []
