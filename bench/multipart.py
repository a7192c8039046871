"""How fast the body reader is: `python bench/multipart.py` prints MB/s for four kinds of body.

Bodies are made beforehand, so that only the reader is measured.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from app.files.multipart import MultipartLimits, read_parts

BOUNDARY = b"----------------------------735323031399963166993862"
MEGABYTE = 1_000_000
NO_LIMIT = 1 << 40


async def arrive(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def drain(body: bytes, *, size: int) -> int:
    limits = MultipartLimits(100, 20, NO_LIMIT, NO_LIMIT, NO_LIMIT, NO_LIMIT)
    received = 0
    async for part in read_parts(arrive(body, size), boundary=BOUNDARY, limits=limits):
        async for data in part:
            received += len(data)
    return received


def measure(title: str, content: bytes, *, size: int = 65536) -> None:
    head = b'\r\nContent-Disposition: form-data; name="file1"; filename="a.bin"\r\n\r\n'
    body = b"--" + BOUNDARY + head + content + b"\r\n--" + BOUNDARY + b"--\r\n"
    started = time.process_time()
    received = asyncio.run(drain(body, size=size))
    seconds = time.process_time() - started
    assert received == len(content)
    print(f"{title:45} {len(content) / MEGABYTE / seconds:10.1f} MB/s {seconds:8.3f} s CPU")


def main() -> None:
    measure("200 MB, 64 KiB chunks", bytes(range(250)) * 800_000)
    measure(r"20 MB of \r\n--, 64 KiB chunks", b"\r\n--" * 5_000_000)
    near = b"\r\n--" + BOUNDARY + b"x"
    measure("9,900 near-boundaries in 20 MB", (near + bytes(2000 - len(near))) * 9_900)
    measure("200 KB, 1-byte chunks", bytes(200_000), size=1)


if __name__ == "__main__":
    main()
