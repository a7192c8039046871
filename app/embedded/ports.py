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
    text = file.read_text().strip() if file.exists() else ""
    if text.isdecimal() and FIRST <= int(text) <= LAST - count:
        kept = range(int(text), int(text) + count)
        if _are_free(kept):
            return kept
    fresh = _fresh_block(count)
    file.write_text(f"{fresh.start}\n")
    return fresh


def kept_port(file: Path) -> int:
    """The first of the block."""
    return int(file.read_text())


def _fresh_block(count: int) -> range:
    for _ in range(TRIES):
        # In steps, so that two checkouts starting at once share either all ports or none.
        first = FIRST + count * randbelow((LAST - FIRST) // count)
        block = range(first, first + count)
        if _are_free(block):
            return block
    raise EmbeddedError(f"No {count} free ports in a row between {FIRST} and {LAST}.")


def _are_free(ports: range) -> bool:
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
