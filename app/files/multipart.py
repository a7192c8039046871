"""Reads a multipart/form-data body (RFC 7578) as a stream: chunks of bytes in, parts out.

Limits are checked before a byte is handed on. Signatures, file types, storage and the cleaning
of names (given here as sent) are left to others. Invariant: only the chunk in hand is held, and
the outcome depends on the bytes of the body, not on how they were cut into chunks.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import Self

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, MultipartState

from app import errors
from app.files.form_headers import SYNTAX_HINT, read_disposition, read_label

_MEBIBYTE = 1024 * 1024
# Lines that begin like a boundary are slow to parse; RFC 2046 section 5.1.1 allows none.
_MAX_BOUNDARIES = 10_000

_OBJECT_HINT = (
    "The body is no form; `[object FormData]` is a form converted to text. With Node's form-data"
    " package send form.getHeaders() and form.pipe(request), or form.getBuffer() as the body."
)
_OPENING_HINT = "The body must begin with `--` and the boundary named in the Content-Type header."


@dataclass(frozen=True)
class MultipartLimits:
    """How much one body may bring; `max_field_bytes` is for one text field."""

    max_parts: int
    max_files: int
    max_body_bytes: int
    max_file_bytes: int
    max_total_file_bytes: int
    max_field_bytes: int


class FormPart:
    """One part, to be iterated over before the next one is asked for.

    `filename` is None for a text field, "" for a file input left empty; `content_type` is the
    sender's claim, in lower case and without parameters.
    """

    def __init__(self, reader: "_FormReader", headers: dict[bytes, bytes]) -> None:
        self.name, self.filename = read_disposition(headers.pop(b"content-disposition", b""))
        self.content_type = read_label(headers)
        self._reader = reader
        self._has_ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._has_ended:
            raise StopAsyncIteration
        if self._reader.current is not self:  # silence would look like an empty file
            raise RuntimeError("this part was passed over; its bytes are gone")
        data = await self._reader.next_event()
        if not isinstance(data, bytes):
            self._has_ended, self._reader.current = True, None
            raise StopAsyncIteration
        return data

    async def read(self, limit: int) -> bytes:
        """The rest of the part exactly as sent. Raises BodyTooLargeError beyond `limit`."""
        content = bytearray()
        async for data in self:
            if len(content) + len(data) > limit:
                raise errors.BodyTooLargeError
            content += data
        return bytes(content)


async def read_parts(
    chunks: AsyncIterable[bytes], *, boundary: bytes, limits: MultipartLimits
) -> AsyncGenerator[FormPart, None]:
    """Yields each part as it arrives; what the consumer leaves of one is read and discarded.

    Ends normally only after the closing boundary and reads nothing behind it. Its end closes
    `chunks` too, if that is a generator; a consumer that may stop early uses `aclosing`.
    """
    reader = _FormReader(chunks, boundary, limits)
    try:
        while (part := await reader.next_part()) is not None:
            yield part
    finally:
        await reader.aclose()


class _FormReader:
    """Joins the parser, which pushes, to the consumer, who pulls, by a queue for one chunk."""

    def __init__(self, chunks: AsyncIterable[bytes], mark: bytes, limits: MultipartLimits) -> None:
        self.current: FormPart | None = None
        self._chunks = aiter(chunks)
        self._limits = limits
        self._events: deque[FormPart | bytes | errors.ServiceError | None] = deque()
        self._boundary = b"\r\n--" + mark
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = bytearray(), bytearray()
        self._filename: str | None = None
        self._parts = -1  # the preamble is none
        self._files = self._boundaries = 0
        self._body_bytes = self._part_bytes = self._file_bytes = 0
        self._parser = MultipartParser(
            mark,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": lambda: self._events.append(None),
            },
        )
        # What comes before the first boundary is read as a part: of the boundaries after parts the
        # parser allows all that RFC 2046 does, as white space behind them.
        self._parser.write(b"--" + mark + b"\r\n\r\n\r\n")

    async def next_part(self) -> FormPart | None:
        while self.current is not None:
            if await self.next_event() is None:
                self.current = None
        event = await self.next_event()
        self.current = event if isinstance(event, FormPart) else None
        return self.current

    async def next_event(self) -> FormPart | bytes | None:
        while not self._events:
            self._take(await anext(self._chunks, None))
        event = self._events[0]
        if isinstance(event, errors.ServiceError):  # it stays: nothing comes after a fault
            raise event
        self._events.popleft()
        return event

    async def aclose(self) -> None:
        self.current = None
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()

    def _take(self, chunk: bytes | None) -> None:
        """Queues what a chunk, or the end of the source, brings, and its fault behind that."""
        data = (chunk or b"")[: self._limits.max_body_bytes - self._body_bytes]
        try:
            self._parse(data)
        except MultipartParseError:
            hint = SYNTAX_HINT if self._parts > 0 else _OPENING_HINT
            self._events.append(errors.MultipartInvalidError(hint=hint))
        except errors.ServiceError as fault:
            self._events.append(fault)
        if chunk is None:
            self._events.append(errors.MultipartTruncatedError())
        elif len(data) < len(chunk):
            self._events.append(errors.BodyTooLargeError())

    def _parse(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._is_content(data):
            self._on_part_data(data, 0, len(data))
            return
        self._boundaries += data.count(self._boundary)
        if self._boundaries > _MAX_BOUNDARIES:
            raise errors.MultipartInvalidError(hint="The content repeats the boundary.")
        self._parser.write(data)

    def _is_content(self, data: bytes) -> bool:
        """Neither a boundary nor the beginning of one: the parser would search it once more."""
        cut = data.rfind(b"\r", -len(self._boundary))
        return (
            bool(data)
            and self._parser.state is MultipartState.PART_DATA
            and not self._parser.index  # of a boundary that began in an earlier chunk
            and self._boundary not in data
            and not (cut >= 0 and self._boundary.startswith(data[cut:]))
        )

    def _on_part_begin(self) -> None:
        self._headers = {}
        self._part_bytes = 0
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise errors.MultipartInvalidError(hint=f"Send at most {self._limits.max_parts} parts.")

    def _on_header_end(self) -> None:
        field = bytes(self._field.lower())
        if field in self._headers:
            raise errors.MultipartInvalidError(hint=SYNTAX_HINT)
        self._headers[field] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        if self._parts == 0:
            return
        part = FormPart(self, self._headers)
        self._events.append(part)
        self._filename = part.filename
        if part.filename:
            self._count_file()

    def _on_part_end(self) -> None:
        if self._parts > 0:
            self._events.append(None)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._parts == 0:
            _check_preamble(data[start:end])
            return
        self._count_bytes(end - start)
        last = self._events[-1] if self._events else None
        if isinstance(last, bytes):  # bytes held back as a possible boundary come on their own
            self._events[-1] = last + data[start:end]
        else:
            self._events.append(data[start:end])

    def _count_file(self) -> None:
        self._files += 1
        if self._files > self._limits.max_files:
            raise errors.TooManyFilesError(hint=f"Send at most {self._limits.max_files} files.")

    def _count_bytes(self, size: int) -> None:
        self._part_bytes += size
        if self._filename is not None:
            self._count_file_bytes(size, self._limits)
        elif self._part_bytes > self._limits.max_field_bytes:
            raise errors.BodyTooLargeError(hint="A text field of the form is too large.")

    def _count_file_bytes(self, size: int, limits: MultipartLimits) -> None:
        if not self._filename and self._part_bytes == size:  # a file input left empty has none
            self._count_file()
        self._file_bytes += size
        over_file = self._part_bytes - limits.max_file_bytes
        over_total = self._file_bytes - limits.max_total_file_bytes
        if over_file > 0 and over_file >= over_total:  # the limit that was crossed first
            megabytes = f"{limits.max_file_bytes / _MEBIBYTE:g}"
            raise errors.FileTooLargeError(name=self._filename, megabytes=megabytes)
        if over_total > 0:
            megabytes = f"{limits.max_total_file_bytes / _MEBIBYTE:g}"
            raise errors.TotalTooLargeError(megabytes=megabytes)


def _check_preamble(text: bytes) -> None:
    """Line breaks may come before the first boundary (RFC 2046 section 5.1.1), and nothing else."""
    if text := text.strip(b"\r\n"):
        is_object = text.startswith(b"[")
        raise errors.MultipartInvalidError(hint=_OBJECT_HINT if is_object else _OPENING_HINT)
