"""Ports of a server, kept over restarts while nobody else listens there.

Below the range from which systems hand out ports, so no outgoing connection can take one between
the choice and the server's start.
"""

import socket
from collections.abc import Sequence
from pathlib import Path
from secrets import randbelow

from app.embedded.folder import EmbeddedError

FIRST = 10_000
LAST = 22_000
TRIES = 200


def keep_ports(file: Path, offsets: Sequence[int]) -> list[int]:
    """The ports at these offsets from the base in `file`, or from a fresh one if any is taken.

    Offsets up to 10,000 stay below the systems' own range.
    """
    text = file.read_text().strip() if file.exists() else ""
    if text.isdecimal() and FIRST <= int(text) < LAST:
        kept = _ports(int(text), offsets)
        if _are_free(kept):
            return kept
    base = _fresh_base(offsets)
    file.write_text(f"{base}\n")
    return _ports(base, offsets)


def _ports(base: int, offsets: Sequence[int]) -> list[int]:
    return [base + offset for offset in offsets]


def _fresh_base(offsets: Sequence[int]) -> int:
    for _ in range(TRIES):
        # In steps, so that two checkouts starting at once share either all ports or none.
        base = FIRST + len(offsets) * randbelow((LAST - FIRST) // len(offsets))
        if _are_free(_ports(base, offsets)):
            return base
    raise EmbeddedError(f"No {len(offsets)} free ports were found from {FIRST} to {LAST}.")


def _are_free(ports: Sequence[int]) -> bool:
    return all(_can_bind(port) for port in ports)


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of the last run that linger must not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
