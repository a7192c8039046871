"""What all formats have in common: a file comes in chunks, and is read in steps of its own."""

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import TypeVar

from app.fields import Location

T = TypeVar("T")
Steps = Generator[None, None, T]  # stops where bytes are missing

REST = 1 << 63  # of the file, however much that is


class UnreadableError(Exception):
    """What follows is not as the format says."""


class Scrub(ABC):
    """One file: `location` is true once it has ended, and says `removed` of whatever could tell.

    What comes out is the same for every chunking. At most 2 MiB are held.
    """

    max_headers = 8000  # no camera writes as many, and a chunk full of them takes 20 ms

    def __init__(self) -> None:
        self.location: Location = "none"
        self._in = b""
        self._at = 0
        self._waiting = bytearray()
        self._needed = 0
        self._out: list[bytes] = []
        self._has_ended = False
        self._headers = 0
        self._steps = self._run()

    def feed(self, chunk: bytes) -> bytes:
        """What can be told of it, and of what came before; the very chunk if it can be."""
        if self._waiting:
            self._waiting += chunk
            if len(self._waiting) < self._needed and not self._has_ended:
                return b""
            chunk = bytes(self._waiting)
        self._in, self._at = chunk, 0
        next(self._steps)
        self._waiting = bytearray(self._in[self._at :])
        out, self._out = b"".join(self._out), []
        return out

    def end(self) -> bytes:
        """What was held."""
        self._has_ended = True
        return self.feed(b"")

    @abstractmethod
    def _read(self) -> Steps[None]:
        """The whole file. Raises UnreadableError; what was only peeked at is passed on then."""

    def _run(self) -> Steps[None]:
        try:
            yield from self._read()
        except UnreadableError:
            self.location = "unknown"
        while True:
            yield from self._pass(REST)
            yield

    def _peek(self, size: int) -> Steps[bytes]:
        """The next bytes, which stay. Raises UnreadableError where the file is over."""
        while self._left < size:
            if self._has_ended:
                raise UnreadableError
            self._needed = size
            yield
        return self._in[self._at : self._at + size]

    def _header(self, size: int) -> Steps[bytes]:
        """As `_peek`, for what comes again and again."""
        self._headers += 1
        if self._headers > self.max_headers:
            raise UnreadableError
        return (yield from self._peek(size))

    def _pass(self, size: int) -> Steps[None]:
        """Less where the file is over."""
        while piece := (yield from self._next(size)):
            self._put(piece)
            size -= len(piece)

    def _drop(self, size: int) -> Steps[None]:
        while piece := (yield from self._next(size)):
            self.location = "removed"
            size -= len(piece)

    def _blank(self, size: int) -> Steps[None]:
        """Zeros in its place."""
        while piece := (yield from self._next(size)):
            if piece.count(0) < len(piece):
                self.location = "removed"
            self._put(bytes(len(piece)))
            size -= len(piece)

    def _replace(self, content: bytes) -> Steps[None]:
        """As many bytes, that were peeked at."""
        if (yield from self._next(len(content))) != content:
            self.location = "removed"
        self._put(content)

    def _next(self, size: int) -> Steps[bytes]:
        """At least one byte and at most so many; none where the file is over."""
        while size and not self._left and not self._has_ended:
            self._needed = 1
            yield
        piece = self._in[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _put(self, content: bytes) -> None:
        self._out.append(content)

    @property
    def _left(self) -> int:
        return len(self._in) - self._at

    def _is_over(self) -> Steps[bool]:
        while not self._left and not self._has_ended:
            self._needed = 1
            yield
        return not self._left
