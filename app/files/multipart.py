"""Reads a multipart/form-data body (RFC 7578) as a stream: chunks of bytes in, parts out.

Limits are checked before a byte is handed on. Signatures, file types, storage and the cleaning
of names (given here as sent) are left to others. Invariant: only the chunk in hand is held, and
the outcome depends on the bytes of the body, not on how they were cut into chunks.
"""

import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import Self

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from app import errors

_MEBIBYTE = 1024 * 1024
# Lines that begin like a boundary are slow to parse; RFC 2046 section 5.1.1 allows none.
_MAX_BOUNDARIES = 10_000

# RFC 2046 section 5.1.1: 1 to 70 characters, the last one no space.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")

# `; key=value` or `; key="value"`. Control characters stand inside quotes only, so that a line
# ended by LF alone, or a quote that a CRLF broke, is refused.
_PARAMETER = re.compile(
    r";[ \t]*+(?:([\w!#$%&'*+.^`|~-]++)="  # key
    r"(?:\"([^\"\\]*(?:\\.[^\"\\]*)*)\"|([^\0-\x20\";\x7f]*+)))?[ \t]*+",  # quoted or plain value
    re.ASCII | re.DOTALL,
)
_CONTROL = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")

_OBJECT_HINT = (
    "The body is no form; `[object FormData]` is a form converted to text. With Node's form-data"
    " package send form.getHeaders() and form.pipe(request), or form.getBuffer() as the body."
)
_OPENING_HINT = "The body must begin with `--` and the boundary named in the Content-Type header."
_BOUNDARY_HINT = "Send `Content-Type: multipart/form-data; boundary=…`, at most 70 characters."
_SYNTAX_HINT = "Lines end in CRLF; a part has at most 8 headers of 4 KB, none folded or repeated."
_DISPOSITION_HINT = 'Send `Content-Disposition: form-data; name="…"`, files with `filename="…"`.'


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
        self.name, self.filename = _parse_disposition(headers.pop(b"content-disposition", b""))
        self.content_type = _parse_content_type(headers)
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
        self._parts = self._files = self._boundaries = 0
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
                "on_part_end": lambda: self._events.append(None),
                "on_end": lambda: self._events.append(None),
            },
        )

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
        self._events.clear()
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()

    def _take(self, chunk: bytes | None) -> None:
        """Queues what a chunk, or the end of the source, brings, and its fault behind that."""
        data = (chunk or b"")[: self._limits.max_body_bytes - self._body_bytes]
        try:
            self._parse(data)
        except MultipartParseError:
            hint = _SYNTAX_HINT if self._parts else _OPENING_HINT
            self._events.append(errors.MultipartInvalidError(hint=hint))
        except errors.ServiceError as fault:
            self._events.append(fault)
        if chunk is None:
            self._events.append(errors.MultipartTruncatedError())
        elif len(data) < len(chunk):
            self._events.append(errors.BodyTooLargeError())

    def _parse(self, data: bytes) -> None:
        if self._body_bytes == 0 and data[:1] not in (b"", b"-"):  # the parser skips some texts
            is_object = data.startswith(b"[")
            raise errors.MultipartInvalidError(hint=_OBJECT_HINT if is_object else _OPENING_HINT)
        self._body_bytes += len(data)
        self._boundaries += data.count(self._boundary)
        if self._boundaries > _MAX_BOUNDARIES:
            raise errors.MultipartInvalidError(hint="The content repeats the boundary.")
        self._parser.write(data)

    def _on_part_begin(self) -> None:
        self._headers = {}
        self._part_bytes = 0
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise errors.MultipartInvalidError(hint=f"Send at most {self._limits.max_parts} parts.")

    def _on_header_end(self) -> None:
        field = bytes(self._field.lower())
        if field in self._headers:
            raise errors.MultipartInvalidError(hint=_SYNTAX_HINT)
        self._headers[field] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        part = FormPart(self, self._headers)
        self._events.append(part)
        self._filename = part.filename
        if part.filename:
            self._count_file()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
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


def parse_boundary(content_type: str) -> bytes:
    """The boundary that a Content-Type header announces. Raises MultipartInvalidError."""
    media_type, parameters = _parse_parameters(content_type, hint=_BOUNDARY_HINT)
    boundary = parameters.get("boundary", "")
    if media_type != "multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise errors.MultipartInvalidError(hint=_BOUNDARY_HINT)
    return boundary.encode("ascii")


def _parse_disposition(header: bytes) -> tuple[str, str | None]:
    kind, parameters = _parse_parameters(_decode(header), hint=_DISPOSITION_HINT)
    name, filename = parameters.get("name"), parameters.get("filename")
    # RFC 7578 section 4.2 forbids `filename*`; alone it would turn a file into a text field.
    is_extended = filename is None and any(key.startswith("filename*") for key in parameters)
    if kind != "form-data" or name is None or is_extended:
        raise errors.MultipartInvalidError(hint=_DISPOSITION_HINT)
    return name, filename


def _parse_content_type(headers: dict[bytes, bytes]) -> str | None:
    """The part's label, once it is known that its bytes are the content itself."""
    if any(_CONTROL.search(value) for value in headers.values()):
        raise errors.MultipartInvalidError(hint=_SYNTAX_HINT)
    encoding = _decode(headers.get(b"content-transfer-encoding", b"")).lower()
    if encoding not in ("", "7bit", "8bit", "binary"):  # RFC 7578 section 4.7
        raise errors.MultipartInvalidError(hint="Send parts without transfer encoding.")
    content_type = _decode(headers.get(b"content-type", b"")).partition(";")[0].strip().lower()
    if content_type.startswith("multipart/"):  # RFC 7578 section 4.3
        raise errors.MultipartInvalidError(hint="Send each file as a part of its own.")
    return content_type or None


def _parse_parameters(header: str, *, hint: str) -> tuple[str, dict[str, str]]:
    """A header's value and parameters; what two readers might read in two ways is refused."""
    value = header.partition(";")[0]
    position = len(value)
    parameters: dict[str, str] = {}
    while position < len(header):
        found = _PARAMETER.match(header, position)
        if found is None or (key := (found[1] or "").lower()) in parameters:
            raise errors.MultipartInvalidError(hint=hint)
        if key:
            parameters[key] = found[3] if found[2] is None else _unescape(found[2])
        position = found.end()
    return value.strip(" \t").lower(), parameters


def _unescape(quoted: str) -> str:
    r"""Undoes `\"` and `\\` (curl) and `%22`, `%0D`, `%0A` (WHATWG); any other `\` is itself."""
    plain = re.sub(r'\\(["\\])', r"\1", quoted)
    return re.sub("%(22|0A|0D)", lambda escape: chr(int(escape[1], 16)), plain)


def _decode(value: bytes) -> str:
    """UTF-8; otherwise Latin-1, which keeps every byte of an older sender's name visible."""
    try:
        return value.decode("utf-8").strip(" \t")
    except UnicodeDecodeError:
        return value.decode("latin-1").strip(" \t")
