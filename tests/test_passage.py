"""What a file costs on its way through the service: little CPU, and no disk.

`bench/upload.py` holds the exact numbers; here a machine that is busy with other things passes.
"""

from collections.abc import Iterator

import psutil
import pytest

from app.settings import Settings
from tests.support.bodies import BOUNDARY
from tests.support.checkout import Serving, serve_on
from tests.support.file_sender import FileSender, Load, film
from tests.support.processes import open_files
from tests.support.sender import MEBIBYTE, Sender, large_files

MAX_CPU_MS = 10  # for a MiB; the target is 5
MAX_HOSTILE_RATIO = 2


@pytest.fixture(scope="module")
def serving(settings: Settings) -> Iterator[Serving]:
    with serve_on(settings) as running:
        yield running


@pytest.fixture(scope="module")
def files(serving: Serving) -> FileSender:
    sender = FileSender(serving)
    sender.through(Load(1, 1, film(1)))  # what only the first upload has to load
    return sender


@pytest.fixture(scope="module")
def noise(files: FileSender) -> float:
    """What a MiB of noise costs."""
    return files.cpu(Load(1, 1, film(50)))


def test_a_mebibyte_costs_little_cpu(noise: float) -> None:
    assert noise < MAX_CPU_MS


@pytest.mark.parametrize(
    "filling",
    [b"\r\n--", b"\r\n--" + BOUNDARY[:-1] + b"!", b"\r"],
    ids=["CRLF and dashes", "boundaries but for a byte", "CR alone"],
)
def test_hostile_content_costs_little_more(files: FileSender, noise: float, filling: bytes) -> None:
    assert files.cpu(Load(1, 1, film(50, filling))) <= MAX_HOSTILE_RATIO * noise


def test_no_byte_of_a_file_touches_the_disk_when_metadata_comes_first(serving: Serving) -> None:
    process = psutil.Process(serving.process.pid)
    sender = Sender(serving.url, serving.checkout.secrets)
    message = sender.message(sender.sign_in())
    written, opened = process.io_counters().write_bytes, open_paths(process)
    with sender.begin(message, large_files(1, 20 * MEBIBYTE)) as upload:
        upload.send(12 * MEBIBYTE)
        assert open_paths(process) == opened
        upload.send()
        assert upload.answer()[0] == 200
    assert process.io_counters().write_bytes - written < MEBIBYTE  # the log


def open_paths(process: psutil.Process) -> set[str]:
    return {target for target in open_files(process.pid) if target.startswith("/")}
