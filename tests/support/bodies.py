"""Form bodies as senders write them, and the ways a network cuts them into chunks.

Written from RFC 7578 and the WHATWG encoding, not from the reader that is tested with them.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

BOUNDARY = b"----------------------------735323031399963166993862"


@dataclass(frozen=True)
class Part:
    """One part to send; `headers` are further header lines without their line ends."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None
    headers: Sequence[bytes] = ()

    def encode(self) -> bytes:
        disposition = b'Content-Disposition: form-data; name="%s"' % _escape(self.name)
        if self.filename is not None:
            disposition += b'; filename="%s"' % _escape(self.filename)
        lines = [disposition, *self.headers]
        if self.content_type is not None:
            lines.append(b"Content-Type: " + self.content_type.encode())
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.content


def form(*parts: Part | bytes, boundary: bytes = BOUNDARY) -> bytes:
    """A whole body. A part given as bytes is put in as it stands, headers included."""
    encoded = [part if isinstance(part, bytes) else part.encode() for part in parts]
    delimited = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in encoded)
    return b"%s--%s--\r\n" % (delimited, boundary)


def cut(body: bytes, size: int) -> list[bytes]:
    """Pieces of `size` bytes; the last one may be shorter."""
    return [body[start : start + size] for start in range(0, len(body), size)]


def cut_at(body: bytes, positions: Iterable[int]) -> list[bytes]:
    """Pieces between the given positions, empty ones included."""
    edges = [0, *sorted(min(position, len(body)) for position in positions), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


async def arrive(chunks: Iterable[bytes], fault: Exception | None = None) -> AsyncIterator[bytes]:
    """The chunks, one after the other, and then the fault, if there is one."""
    for chunk in chunks:
        yield chunk
    if fault is not None:
        raise fault


def _escape(name: str) -> bytes:
    """As browsers do since 2021, with curl's doubling of the backslash."""
    escaped = name.replace("\\", "\\\\")
    for character, code in (("\n", "%0A"), ("\r", "%0D"), ('"', "%22")):
        escaped = escaped.replace(character, code)
    return escaped.encode()
