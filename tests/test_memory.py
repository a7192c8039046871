"""Memory stays flat (SECURITY promise 17): on 512 MiB, files of any size must pass through."""

from collections.abc import Iterator

import pytest

from tests.support.checkout import Serving, make_checkout
from tests.support.memory import measure_growth, mebibytes
from tests.support.sender import MEBIBYTE


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with make_checkout() as checkout, checkout.serve() as running:
        yield running


@pytest.mark.parametrize(
    ("uploads", "files", "file_mebibytes", "limit"),
    [(1, 4, 50, 48), (16, 1, 10, 176)],
    ids=["the largest submission", "half a class at once"],
)
def test_uploads_pass_through_flat_memory(
    serving: Serving, uploads: int, files: int, file_mebibytes: int, limit: int
) -> None:
    growth = measure_growth(
        serving, uploads=uploads, files=files, file_bytes=file_mebibytes * MEBIBYTE
    )
    assert mebibytes(growth) < limit
