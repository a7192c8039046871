"""A roster of 100,000 rows through a service of its own: flat memory, and counts that add up."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.checkout import Serving, make_checkout
from tests.support.memory import Memory, mebibytes

ROWS = 100_000
LIMIT_MEBIBYTES = 48
IMPORTS = "/internal/v1/roster/imports"
HEAD = "sourcedId,email,givenName,familyName,role\n"


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with make_checkout() as checkout, checkout.serve() as running:
        yield running


def _write(file: Path, rows: int) -> None:
    """Every tenth row is a teacher's, and every hundredth cannot be read."""
    with file.open("w") as out:
        out.write(HEAD)
        for number in range(rows):
            role = "student" if number % 10 else "teacher"
            name = "Ada" if number % 100 != 1 else "A\0a"
            out.write(f"s{number},s{number}@example.com,{name},Example,{role}\n")


@pytest.mark.soak
@pytest.mark.parametrize("finding", ["H4"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'"a\n",', id="one record over all lines"),
        pytest.param(b'"' + b"," * 200_000 + b"\n", id="a quote in long lines"),
        pytest.param(b"," * 200_000 + b"\n", id="fields without end"),
        pytest.param(b"'," * 100_000 + b"\n", id="short fields without end"),
    ],
)
def test_no_row_takes_much_memory(serving: Serving, content: bytes, finding: str) -> None:
    key = serving.checkout.secrets["INTERNAL_API_KEYS"]
    memory = Memory(serving.process.pid)
    body = HEAD.encode()
    for megabytes in (1, 40):
        at_rest = memory.now
        with memory.watch():
            answer = httpx.post(
                f"{serving.url}{IMPORTS}",
                content=body + content * (megabytes * 1_000_000 // len(content)),
                headers={"Authorization": f"Bearer {key}"},
                timeout=120,
                trust_env=False,
            )
        assert answer.status_code in (200, 400), answer.text
    assert mebibytes(memory.peak - at_rest) < LIMIT_MEBIBYTES


@pytest.mark.soak
@pytest.mark.parametrize("row", ["P277"])
def test_a_hundred_thousand_rows_pass_through_flat_memory(serving: Serving, row: str) -> None:
    key = serving.checkout.secrets["INTERNAL_API_KEYS"]
    memory = Memory(serving.process.pid)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "roster.csv"
        for rows in (100, ROWS):  # the first one loads what is loaded once
            _write(file, rows)
            at_rest = memory.now
            with memory.watch(), file.open("rb") as content:
                answer = httpx.post(
                    f"{serving.url}{IMPORTS}",
                    content=content,
                    headers={"Authorization": f"Bearer {key}"},
                    timeout=120,
                    trust_env=False,
                )
            assert answer.status_code == 200, answer.text
    report = answer.json()
    counts = {outcome: count for outcome, count in report["counts"]["users"].items() if count}
    assert counts == {"skipped": ROWS // 10, "error": ROWS // 100, "create": ROWS * 89 // 100}
    assert report["rows"] == ROWS
    assert len(report["examples"]) == 1000
    assert mebibytes(memory.peak - at_rest) < LIMIT_MEBIBYTES
