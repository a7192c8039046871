"""How flat memory stays while files pass.

    .venv/bin/python -m bench.memory

The growth is the peak of the service's process above what it held at rest, after one small
submission; Postgres and the store are processes of their own. Each load meets a fresh service,
once with the store at full speed and once behind a throttle. Exits 1 when a target is missed.
"""

import sys

from tests.support.checkout import Serving, make_checkout, serve_beside
from tests.support.fault_proxy import throttled
from tests.support.file_sender import FileSender, Load, film
from tests.support.memory import Memory, mebibytes

SLOW_STORE = 40_000_000  # bytes a second
LOADS = (
    (Load(1, 4, film(50)), 32),
    (Load(16, 1, film(10)), 160),
    (Load(16, 1, film(50)), 160),
)


def measure(serving: Serving, load: Load, *, store: str, target: int) -> bool:
    sender, memory = FileSender(serving), Memory(serving.process.pid)
    sender.through(Load(1, 1, film(1)[:1000]))
    at_rest = memory.now
    with memory.watch():
        took = sender.through(load)
    growth = mebibytes(memory.peak - at_rest)
    print(
        f"{load.title:36} {store:12} grew by {growth:6.1f} MiB on {mebibytes(at_rest):.0f},"
        f" holds {mebibytes(memory.now - at_rest):5.1f} after {took:5.1f} s; target <= {target}"
    )
    return growth <= target


def main() -> None:
    reached = []
    with make_checkout() as checkout, checkout.serve() as serving:
        store = serving.stores.variables["S3_ENDPOINT_URL"]
        for load, target in LOADS:
            with serve_beside(serving) as fresh:
                reached.append(measure(fresh, load, store="full speed", target=target))
            with (
                throttled(store, bytes_per_second=SLOW_STORE) as throttle,
                serve_beside(serving, S3_ENDPOINT_URL=throttle.url) as fresh,
            ):
                reached.append(measure(fresh, load, store="at 40 MB/s", target=target))
    sys.exit(not all(reached))


if __name__ == "__main__":
    main()
