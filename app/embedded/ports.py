"""Ports of a server: a block in a row, kept over restarts while nobody else listens there.

Below the range from which systems hand out ports, so no outgoing connection can take one between
the choice and the server's start.
"""

import socket
from pathlib import Path
from secrets import randbelow

from app.embedded.folder import EmbeddedError

FIRST = 20_000
LAST = 32_767
TRIES = 200


def keep_ports(file: Path, count: int) -> range:
    """The block remembered in `file`, or a fresh one if a port of it is taken."""
    kept = _remembered(file, count)
    if kept is not None and _is_free(kept):
        return kept
    fresh = _fresh(count)
    file.write_text(f"{fresh.start}\n")
    return fresh


def _remembered(file: Path, count: int) -> range | None:
    text = file.read_text().strip() if file.exists() else ""
    if not text.isdecimal() or not FIRST <= int(text) <= LAST - count:
        return None
    return range(int(text), int(text) + count)


def _fresh(count: int) -> range:
    for _ in range(TRIES):
        # Aligned, so that two checkouts starting at once share either all ports or none.
        first = FIRST + count * randbelow((LAST - FIRST) // count)
        if _is_free(block := range(first, first + count)):
            return block
    raise EmbeddedError(f"No {count} free ports in a row between {FIRST} and {LAST}.")


def _is_free(ports: range) -> bool:
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
