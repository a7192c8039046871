"""Whether uploads leave room for others.

    .venv/bin/python -m bench.fairness

A fast upload alone, and beside 24 slow clients who each have more than one part behind them; JSON
submissions alone, and beside two uploads that never end; and how long the service does not even
answer a health check meanwhile, which bounds every stall of its event loop from above. Exits 1
when a target is missed.
"""

import asyncio
import statistics
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from app.signing import sign
from bench import wire
from tests.support.checkout import Serving, make_checkout
from tests.support.file_sender import FileSender, Load, film
from tests.support.sender import MEBIBYTE, Sender, large_files
from tests.support.spark import SUBMISSION

SLOW_CLIENTS, AT_FIRST_BYTES, A_TIME_BYTES, PAUSE_SECONDS = 24, 6 * MEBIBYTE, 8192, 0.2
ROUNDS, SUBMISSIONS, PROBE_SECONDS = 7, 300, 0.005
MAX_SLOWED, MAX_P99, MAX_STALL_SECONDS = 2.0, 5.0, 0.250


@contextmanager
def slow_clients(sender: Sender) -> Iterator[None]:
    """Each has sent one part and more, and goes on at 40 KB/s."""
    over = threading.Event()
    with ExitStack() as stack:
        uploads = [
            stack.enter_context(
                sender.begin(sender.message(sender.sign_in()), large_files(1, 50 * MEBIBYTE))
            )
            for _ in range(SLOW_CLIENTS)
        ]
        for upload in uploads:
            upload.send(AT_FIRST_BYTES)

        def trickle() -> None:
            while not over.wait(PAUSE_SECONDS):
                for upload in uploads:
                    upload.send(A_TIME_BYTES)

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def measure_slow_clients(serving: Serving) -> bool:
    files, sender = FileSender(serving), Sender(serving.url, serving.checkout.secrets)
    load = Load(1, 1, film(20))
    files.through(load)
    alone = statistics.median(files.through(load) for _ in range(ROUNDS))
    with slow_clients(sender):
        beside = statistics.median(files.through(load) for _ in range(ROUNDS))
    print(
        f"20 MiB alone {alone:.3f} s, beside {SLOW_CLIENTS} slow clients {beside:.3f} s:"
        f" {beside / alone:.2f}, target <= {MAX_SLOWED}"
    )
    return beside / alone <= MAX_SLOWED


async def measure_json(serving: Serving) -> bool:
    sender, files = Sender(serving.url, serving.checkout.secrets), FileSender(serving)
    students = [sender.sign_in() for _ in range(SUBMISSIONS)]
    await p99(serving, sender, students)  # their accounts, quests and tasks
    alone = await p99(serving, sender, students)
    over = threading.Event()

    def upload() -> None:
        load = Load(1, 1, film(50))
        while not over.is_set():
            files.through(load)

    with ThreadPoolExecutor(2) as threads:
        uploads = [threads.submit(upload) for _ in range(2)]
        async with asyncio.TaskGroup() as tasks:
            longest = tasks.create_task(probe(serving, over))
            beside = await p99(serving, sender, students)
            over.set()
    for each in uploads:
        each.result()
    stall = longest.result()
    print(
        f"JSON p99 alone {alone * 1000:.1f} ms,"
        f" beside two uploads of 50 MiB {beside * 1000:.1f} ms:"
        f" {beside / alone:.2f}, target <= {MAX_P99}"
    )
    print(
        f"longest wait for a health check {stall * 1000:.0f} ms,"
        f" target <= {MAX_STALL_SECONDS * 1000:.0f}"
    )
    return beside / alone <= MAX_P99 and stall <= MAX_STALL_SECONDS


async def p99(serving: Serving, sender: Sender, students: list[str]) -> float:
    """Of one revision after the other."""
    spent: list[float] = []

    def done(status: int, body: bytes, seconds: float) -> None:
        assert status == 200, body
        spent.append(seconds)

    def requests() -> Iterator[bytes]:
        for student in students:
            message = sender.message(student, submission_text="Rain fell on four of seven days.")
            headers = {
                "Content-Type": "application/json",
                "X-Spark-Signature": sign(sender.webhook_secret, message),
            }
            yield wire.request_bytes("POST", SUBMISSION, headers=headers, body=message)

    await wire.in_turn(serving.url, requests(), at_once=1, done=done)
    return statistics.quantiles(spent, n=100)[-1]


async def probe(serving: Serving, over: threading.Event) -> float:
    """The longest that a health check took."""
    clock = asyncio.get_running_loop().time
    connection = await wire.Connection.open(serving.url)
    longest = 0.0
    while not over.is_set():
        began = clock()
        await connection.call(wire.request_bytes("GET", "/healthz"))
        longest = max(longest, clock() - began)
        await asyncio.sleep(PROBE_SECONDS)
    connection.close()
    return longest


def main() -> None:
    with make_checkout() as checkout, checkout.serve() as serving:
        reached = [measure_slow_clients(serving), wire.run(measure_json(serving))]
    sys.exit(not all(reached))


if __name__ == "__main__":
    main()
