"""Links into the bucket are kept as pointers (DESIGN R19); every other link stays what it is."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from app.settings import Settings
from app.storage.bucket import Bucket, open_bucket

KEY = "0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d/7f3c.png"
NOW = datetime.now(tz=UTC)
POINTER = f"evidence-files/{KEY}"


@pytest.fixture(scope="module")
async def bucket(settings: Settings) -> AsyncIterator[Bucket]:
    """Read from the public under another name than by the service; nobody is called."""
    addresses = {
        "s3_bucket": "evidence-files",
        "s3_endpoint_url": "http://10.0.0.7:9000",
        "s3_public_endpoint_url": "https://files.example.org/s3",
    }
    async with open_bucket(settings.model_copy(update=addresses)) as opened:
        yield opened


@pytest.mark.parametrize(
    "link",
    [
        f"http://10.0.0.7:9000/{POINTER}",
        f"https://files.example.org/s3/{POINTER}?X-Amz-Signature=1#page=2",
        f"https://FILES.example.org:443/s3/{POINTER}",
        f"https://files.example.org/s3/{POINTER.replace('-', '%2D')}",
    ],
)
async def test_a_link_into_the_bucket_becomes_its_pointer(bucket: Bucket, link: str) -> None:
    assert bucket.pointers.reduce(link) == POINTER


async def test_a_link_that_we_sign_leads_back_to_its_pointer(bucket: Bucket) -> None:
    place = bucket.pointers.place(KEY)
    link, _ = bucket.links.sign(place, NOW, content_type="image/png", filename="a.png")
    assert bucket.pointers.reduce(link) == POINTER


@pytest.mark.parametrize(
    "link",
    [
        f"https://files.example.com/s3/{POINTER}",
        f"https://files.example.org:8443/s3/{POINTER}",
        f"https://files.example.org/{POINTER}x/../y",
        f"https://files.example.org/s3/other/{KEY}",
        "https://files.example.org/s3/evidence-files/",
        f"https://elsewhere.example.org/?u=https://files.example.org/s3/{POINTER}",
    ],
)
async def test_any_other_link_stays_what_it_is(bucket: Bucket, link: str) -> None:
    assert bucket.pointers.reduce(link) == link
