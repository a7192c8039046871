"""A client of an S3 endpoint, set up for streams and for other stores than Amazon's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aioboto3
from aiobotocore.config import AioConfig

from app.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_SESSION = aioboto3.Session()  # it keeps what a client takes long to load: 0.3 s, 24 MB


@asynccontextmanager
async def open_client(settings: Settings) -> "AsyncIterator[S3Client]":
    """Connects at the first call."""
    key, secret = settings.aws_access_key_id, settings.aws_secret_access_key
    async with _SESSION.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=key.get_secret_value() if key else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=AioConfig(
            signature_version="s3v4",
            # Signing a body means to read it once more. TLS protects it on its way; the SHA-256
            # of what arrived is kept in the database.
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            # Other stores than Amazon's refuse the checksum headers that are sent by default.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent="spark",  # botocore's own is made anew for every call: a seventh of its cost
            connect_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 3},
            max_pool_connections=32,
        ),
    ) as client:
        client.meta.events.register("before-send.s3", _send_without_expect)
        yield client


def _send_without_expect(request: Any, **_: object) -> None:
    """The HTTP client waits without limit for the `100 Continue` that botocore asks for."""
    request.headers.pop("Expect", None)
