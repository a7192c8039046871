"""Memory stays flat (SECURITY promise 17): on 512 MiB, files of any size must pass through."""

from collections.abc import Iterator

import pytest

from tests.support.checkout import Serving, make_checkout, serve_beside
from tests.support.memory import measure_growth, mebibytes
from tests.support.sender import MEBIBYTE
from tests.support.throttle import throttled

SLOW_STORE = 40_000_000  # bytes a second


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with make_checkout() as checkout, checkout.serve() as running:
        yield running


@pytest.fixture(params=["at full speed", "at 40 MB/s"])
def fresh(request: pytest.FixtureRequest, serving: Serving) -> Iterator[Serving]:
    """A service of its own, whose store is as fast as the name says."""
    store = serving.stores.variables["S3_ENDPOINT_URL"]
    with throttled(store, bytes_per_second=SLOW_STORE) as throttle:
        slow = {"S3_ENDPOINT_URL": throttle.url} if request.param == "at 40 MB/s" else {}
        with serve_beside(serving, **slow) as running:
            yield running


@pytest.mark.parametrize(
    ("uploads", "files", "file_mebibytes", "limit"),
    [(1, 4, 50, 32), (16, 1, 10, 160)],
    ids=["the largest submission", "half a class at once"],
)
def test_uploads_pass_through_flat_memory(
    fresh: Serving, uploads: int, files: int, file_mebibytes: int, limit: int
) -> None:
    growth = measure_growth(
        fresh, uploads=uploads, files=files, file_bytes=file_mebibytes * MEBIBYTE
    )
    assert mebibytes(growth) < limit
