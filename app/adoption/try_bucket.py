"""Whether an outsider can read or list the bucket, tried as one: over plain HTTP, without a key.

It is tried on an object that is there: a store may answer alike for what is missing and what it
refuses.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from secrets import token_hex
from uuid import uuid4

import httpx

from app.adoption.finding import Finding
from app.errors import StorageUnavailableError
from app.settings import Settings
from app.storage.bucket import Bucket
from app.storage.store_stream import store_stream

CALL_SECONDS = 10
READ_BYTES = 64 * 1024
NO_ANSWER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
SUPABASE_S3 = "/storage/v1/s3"
SUPABASE_PUBLIC = "/storage/v1/object/public"  # what it shows to everybody, beside its S3 endpoint
CLOSE = (
    "Make the bucket private, then run doctor again. Supabase: Storage, the bucket, Edit, Public"
    ' off. Elsewhere: block public access, and take Principal "*" out of the bucket\'s policy.'
)


async def try_bucket(settings: Settings, bucket: Bucket) -> list[Finding]:
    """Puts one object, of a key that no list takes for ours, and deletes it whatever happens."""
    subject = f"bucket {settings.s3_bucket}"
    object_key = f"doctor/{uuid4()}.png"
    content = token_hex()
    try:
        # A bucket may be kept to certain types: pictures are evidence everywhere.
        await store_stream(bucket, object_key, _once(content), content_type="image/png")
        findings = await _visit(settings, subject, object_key, content)
    except StorageUnavailableError:
        check = "Check S3_ENDPOINT_URL, S3_BUCKET and the key, which must be allowed to put."
        findings = [Finding("refuse", subject, "does not take an object", check)]
    finally:
        left = await _delete(bucket, subject, object_key)
    return findings + left


async def _once(content: str) -> AsyncIterator[bytes]:
    yield content.encode()


async def _delete(bucket: Bucket, subject: str, object_key: str) -> list[Finding]:
    try:
        await bucket.delete(object_key)
    except StorageUnavailableError:
        text = "the object it was tried on may still be there: the key must be allowed to delete"
        return [Finding("refuse", subject, text, f"Allow it, and delete {object_key}.")]
    return []


async def _visit(settings: Settings, subject: str, object_key: str, content: str) -> list[Finding]:
    findings = []
    addresses = [*_addresses(settings, object_key, content)]
    async with httpx.AsyncClient(timeout=CALL_SECONDS, follow_redirects=True) as outsider:
        for act, address, proof in addresses:
            is_open = await _is_open(outsider, address, proof)
            place = address.partition(f"/{object_key}")[0].partition("?")[0]
            if is_open:
                findings.append(Finding("refuse", subject, f"anybody can {act} at {place}", CLOSE))
            elif is_open is None:
                text = f"whether anybody can {act} could not be tried at {place}"
                ask = "Run doctor where that address is reached, or ask it: it must answer 403."
                findings.append(Finding("data", subject, text, ask))
    if findings:
        return findings
    text = f"neither read nor listed without a key, tried at {len(addresses)} addresses"
    return [Finding("ok", subject, text)]


def _addresses(settings: Settings, object_key: str, content: str) -> Iterator[tuple[str, str, str]]:
    """What an outsider may try, where, and what an answer to who may do it holds."""
    given = (settings.s3_endpoint_url, settings.s3_public_endpoint_url)
    endpoints = dict.fromkeys(filter(None, given))
    for endpoint in endpoints:
        place = f"{endpoint}/{settings.s3_bucket}"
        yield "read files", f"{place}/{object_key}", content
        yield "list files", f"{place}?list-type=2&prefix={object_key}", f"<Key>{object_key}</Key>"
    projects = [one.removesuffix(SUPABASE_S3) for one in endpoints if one.endswith(SUPABASE_S3)]
    for project in dict.fromkeys(filter(None, (*projects, settings.supabase_url))):
        yield "read files", f"{project}{SUPABASE_PUBLIC}/{settings.s3_bucket}/{object_key}", content


async def _is_open(outsider: httpx.AsyncClient, address: str, proof: str) -> bool | None:
    """None for an answer that says neither, as a gateway's, or for none at all."""
    body = b""
    try:
        async with asyncio.timeout(CALL_SECONDS), outsider.stream("GET", address) as answer:
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > READ_BYTES:
                    break
    except (httpx.HTTPError, TimeoutError):
        return None
    if answer.is_success and proof.encode() in body:
        return True
    return False if answer.is_client_error and answer.status_code not in NO_ANSWER else None
