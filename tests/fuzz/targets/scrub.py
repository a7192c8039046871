"""What is taken out of pictures and films: the same however they arrive, in little time and memory,
and never more of them than came.
"""

import time

from app.files.scrub import begin_scrub
from tests.support.pictures import TOLD

REFUSALS = ()
# The first byte says which type it is taken for.
TYPES = sorted({media_type for media_type, *_ in TOLD.values()})
MAX_SEEDS_BYTES = 100_000
SEEDS = tuple(
    bytes([TYPES.index(media_type)]) + content
    for media_type, *both in TOLD.values()
    for content in both
    if len(content) < MAX_SEEDS_BYTES
)
MAX_CPU_SECONDS = 0.2
MAX_HELD_BYTES = 2 * 1024 * 1024


def _scrubbed(media_type: str, data: bytes, size: int) -> tuple[bytes, str]:
    scrub = begin_scrub(media_type)
    assert scrub
    out = bytearray()
    for start in range(0, len(data), size):
        out += scrub.feed(data[start : start + size])
        # A picture's way to be turned may take more room than it took.
        assert len(out) <= start + size + 64
        assert start + size - len(out) <= MAX_HELD_BYTES or media_type == "image/jpeg"
    out += scrub.end()
    return bytes(out), scrub.location


def run(data: bytes) -> None:
    media_type, content = TYPES[data[0] % len(TYPES)] if data else TYPES[0], data[1:]
    began = time.process_time()
    stored = _scrubbed(media_type, content, 65_536)
    assert time.process_time() - began < MAX_CPU_SECONDS
    assert stored == _scrubbed(media_type, content, 127)
    assert len(stored[0]) == len(content) or media_type in ("image/jpeg", "image/png")
    if stored[1] == "none":
        assert stored[0] == content
