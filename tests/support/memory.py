"""How much memory a service takes, and how long it stands still, seen from outside its process.

Its servers for rows and files are other processes and do not count.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psutil

from tests.support.checkout import Serving
from tests.support.sender import MEBIBYTE, Sender, large_files

SAMPLE_SECONDS = 0.005


class Memory:
    """Resident memory of one process; `peak` counts from the last `watch`."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.peak = 0

    @property
    def now(self) -> int:
        resident: int = self._process.memory_info().rss
        return resident

    @contextmanager
    def watch(self) -> Iterator[None]:
        self.peak = self.now
        with _beside(self._sample):
            yield

    def _sample(self, over: threading.Event) -> None:
        while not over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self.now)


class Pulse:
    """How long a service keeps `/healthz` waiting at the longest, in seconds.

    It is asked all the time on a connection of its own, so that is how long its loop stands still.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.longest = 0.0

    @contextmanager
    def watch(self) -> Iterator[None]:
        with _beside(self._ask):
            yield

    def _ask(self, over: threading.Event) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            client.get("/healthz")
            while not over.wait(SAMPLE_SECONDS):
                began = time.perf_counter()
                client.get("/healthz").raise_for_status()
                self.longest = max(self.longest, time.perf_counter() - began)


def measure_growth(serving: Serving, *, uploads: int, files: int, file_bytes: int) -> int:
    """By how many bytes the peak of so many uploads at once lies above the memory at rest.

    Every upload must be answered 200.
    """
    sender = Sender(serving.url, serving.checkout.secrets)
    memory = Memory(serving.process.pid)
    hand_in(sender, files=1, file_bytes=1000)
    at_rest = memory.now
    with memory.watch(), ThreadPoolExecutor(uploads) as threads:
        sent = [
            threads.submit(hand_in, sender, files=files, file_bytes=file_bytes)
            for _ in range(uploads)
        ]
        for each in sent:
            each.result()
    return memory.peak - at_rest


def hand_in(sender: Sender, *, files: int, file_bytes: int) -> None:
    message = sender.message(sender.sign_in())
    with sender.begin(message, large_files(files, file_bytes)) as upload:
        upload.send()
        status, body = upload.answer()
    assert status == 200, body
    assert [file["sha256"] for file in body["files"]] == upload.digests


def mebibytes(size: int) -> float:
    return size / MEBIBYTE


@contextmanager
def _beside(act: Callable[[threading.Event], None]) -> Iterator[None]:
    """In a thread, which is told when it is over."""
    over = threading.Event()
    watcher = threading.Thread(target=act, args=(over,))
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
