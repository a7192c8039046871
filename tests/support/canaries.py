"""Everything that must never be logged, gathered while the tests run (SECURITY promise 27)."""

import io
import logging
import re

from app.logs import configure_logs

CODE = re.compile("[a-z_]+")
SHORTEST = 8


class Canaries:
    """Secrets and personal data that were sent to the service, and what it logged meanwhile."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._log = io.StringIO()
        self._memory = logging.StreamHandler(self._log)

    def release(self, *values: str) -> None:
        """Short values would be found by chance, and others must be none that a code or the name of
        an event may hold, which are logged.
        """
        long = {value for value in values if len(value) >= SHORTEST}
        codes = [value for value in long if CODE.fullmatch(value)]
        assert not codes, codes
        self._known |= long

    def listen(self) -> None:
        """Log as a service does, into memory as well."""
        configure_logs()
        root = logging.getLogger()
        self._memory.setFormatter(root.handlers[0].formatter)
        root.addHandler(self._memory)

    @property
    def is_listening(self) -> bool:
        return self._memory in logging.getLogger().handlers

    @property
    def lines(self) -> list[str]:
        return self._log.getvalue().splitlines()

    def found(self) -> list[str]:
        return self.found_in(self._log.getvalue())

    def found_in(self, text: str) -> list[str]:
        """A text of millions of characters is gone through once, not once for each of thousands."""
        ends = {value[-SHORTEST:] for value in self._known}
        pieces = (text[place : place + SHORTEST] for place in range(len(text)))
        there = {piece for piece in pieces if piece in ends}
        return [
            value[:6] + "…" for value in self._known if value[-SHORTEST:] in there and value in text
        ]


CANARIES = Canaries()  # of this run
