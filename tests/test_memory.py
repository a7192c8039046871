"""Memory stays flat (SECURITY promise 17): on 512 MiB, files of any size must pass through."""

from collections.abc import Iterator

import httpx
import pytest

from app.settings import Settings
from tests.support.checkout import Serving, serve_beside, serve_on
from tests.support.fault_proxy import throttled
from tests.support.memory import Memory, hand_in, measure_growth, mebibytes
from tests.support.sender import MEBIBYTE, Sender

SLOW_STORE = 40_000_000  # bytes a second


@pytest.fixture(scope="module")
def serving(settings: Settings) -> Iterator[Serving]:
    with serve_on(settings) as running:
        yield running


@pytest.fixture(params=["at full speed", pytest.param("at 40 MB/s", marks=pytest.mark.soak)])
def fresh(request: pytest.FixtureRequest, serving: Serving) -> Iterator[Serving]:
    """A service of its own, whose store is as fast as the name says."""
    store = serving.stores.variables["S3_ENDPOINT_URL"]
    with throttled(store, bytes_per_second=SLOW_STORE) as throttle:
        slow = {"S3_ENDPOINT_URL": throttle.url} if request.param == "at 40 MB/s" else {}
        with serve_beside(serving, **slow) as running:
            yield running


@pytest.mark.parametrize(
    ("uploads", "files", "file_mebibytes", "limit"),
    [
        pytest.param(1, 4, 50, 32, id="the largest submission"),
        pytest.param(16, 1, 10, 160, id="half a class at once", marks=pytest.mark.soak),
    ],
)
def test_uploads_pass_through_flat_memory(
    fresh: Serving, uploads: int, files: int, file_mebibytes: int, limit: int
) -> None:
    growth = measure_growth(
        fresh, uploads=uploads, files=files, file_bytes=file_mebibytes * MEBIBYTE
    )
    assert mebibytes(growth) < limit


def test_an_export_passes_through_flat_memory(serving: Serving) -> None:
    hand_in(Sender(serving.url, serving.checkout.secrets), files=3, file_bytes=20 * MEBIBYTE)
    [latest] = serving.stores.rows("SELECT user_id FROM spark.uploads ORDER BY id DESC LIMIT 1")
    path = f"{serving.url}/internal/v1/students/{latest['user_id']}/export"
    headers = {"Authorization": f"Bearer {serving.checkout.secrets['INTERNAL_API_KEYS']}"}
    memory = Memory(serving.process.pid)
    at_rest, size = memory.now, 0
    with memory.watch(), httpx.stream("GET", path, headers=headers, timeout=60) as answer:
        for chunk in answer.iter_raw():
            size += len(chunk)
    assert size > 60 * MEBIBYTE
    assert mebibytes(memory.peak - at_rest) < 16
