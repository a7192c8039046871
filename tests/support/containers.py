"""Zips and compound files that lie about themselves, or are written as few programs do."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.support import samples

DOCX_TYPES = (
    b'<?xml version="1.0" encoding="UTF-8"?><Types xmlns='
    b'"http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml"'
    b' ContentType="application/xml"/>%s</Types>'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def types(**parts: str) -> bytes:
    """`[Content_Types].xml` that declares these parts, by names without slashes."""
    declared = (
        f'<Override PartName="/word/{name}.xml" ContentType="{kind}"/>'
        for name, kind in parts.items()
    )
    return DOCX_TYPES % "".join(declared).encode()


def relationship(kind: str, target: str, *, mode: str = "External") -> bytes:
    """A `.rels` part with one of this kind."""
    kind = kind if "/" in kind else f"{_OFFICE}/{kind}"
    return (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{kind}" Target="{target}" TargetMode="{mode}"/>'
        "</Relationships>"
    ).encode()


def package(parts: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as writer:
        for name, content in parts.items():
            writer.writestr(name, content)
    return archive.getvalue()


def docx(**parts: bytes) -> bytes:
    """A DOCX with these parts; `__` is a slash and `_DOT_` a full stop in their names."""
    base = dict.fromkeys(samples.DOCX_PARTS, b"<x/>")
    named = {name.replace("__", "/").replace("_DOT_", "."): part for name, part in parts.items()}
    return package(base | named)


def opendocument(media_type: str, *more: str, manifest: bytes = b"<manifest/>") -> bytes:
    """As LibreOffice writes it: the media type first, as it is."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("mimetype", media_type, zipfile.ZIP_STORED)
        for name in ("content.xml", "styles.xml", "Thumbnails/thumbnail.png", *more):
            writer.writestr(name, b"<x/>")
        writer.writestr("META-INF/manifest.xml", manifest)
    return archive.getvalue()


@dataclass
class Entry:
    """What a zip says of an entry where it stands, and in its directory."""

    name: str
    content: bytes = b"<x/>"
    method: int = 8
    flags: int = 0
    listed_name: str | None = None
    listed_flags: int | None = None
    listed_size: int | None = None
    offset: int | None = None
    size_behind: bool = False
    descriptor_mark: bool = True
    wide: bool = False
    gap: bytes = b""
    extra: bytes = b""
    comment: bytes = b""
    is_listed: bool = True

    @property
    def packed(self) -> bytes:
        if self.method != 8:
            return self.content
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflater.compress(self.content) + deflater.flush()


def written_zip(entries: Iterable[Entry], *, end_offset: int | None = None) -> bytes:
    """A zip in which every word is the entry's."""
    file, directory, count = b"", b"", 0
    for entry in entries:
        offset = len(file) if entry.offset is None else entry.offset
        packed, crc = entry.packed, zlib.crc32(entry.content)
        flags = entry.flags | (8 if entry.size_behind else 0)
        sizes = (0, 0) if entry.size_behind else (len(packed), len(entry.content))
        here = (0, 0, 0) if entry.size_behind else (crc, *sizes)
        name, listed = entry.name.encode(), (entry.listed_name or entry.name).encode()
        file += struct.pack("<4s5H3I2H", b"PK\3\4", 20, flags, entry.method, 0, 0, *here,
                            len(name), len(entry.extra)) + name + entry.extra + packed  # fmt: skip
        if entry.size_behind:
            file += b"PK\7\10" if entry.descriptor_mark else b""
            file += struct.pack(
                "<I2Q" if entry.wide else "<3I", crc, len(packed), len(entry.content)
            )
        file += entry.gap
        if not entry.is_listed:
            continue
        count += 1
        size = len(entry.content) if entry.listed_size is None else entry.listed_size
        listed_flags = flags if entry.listed_flags is None else entry.listed_flags
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, listed_flags, entry.method, 0, 0,
                                 crc, len(packed), size, len(listed), 0, len(entry.comment),
                                 0, 0, 0, offset) + listed + entry.comment  # fmt: skip
    begin = len(file) if end_offset is None else end_offset
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), begin, 0)
    return file + directory + end


def docx_entries(*more: Entry) -> list[Entry]:
    return [*(Entry(name) for name in samples.DOCX_PARTS), *more]


@dataclass
class Stream:
    """An entry of a compound file: `kind` 1 holds those `inside`, 2 has content."""

    name: str
    content: bytes = bytes(4096)
    inside: tuple["Stream", ...] = ()


_END = 0xFFFFFFFE


def compound(
    *streams: Stream,
    sector_bytes: int = 512,
    directory_at: str = "end",
    directory_backwards: bool = False,
    filler: int = 0,
) -> bytes:
    """A compound file whose directory lies at its begin or its end, and may be out of order."""
    entries: list[list[int | str]] = [["Root Entry", 5, -1, -1, -1, _END, 0]]
    contents: list[tuple[list[int | str], bytes]] = []
    entries[0][4] = _add(streams, entries, contents)
    directory_size = _sectors(len(entries) * 128, sector_bytes)
    total = directory_size + filler + sum(_sectors(len(it), sector_bytes) for _, it in contents)
    table_size = next(n for n in range(1, 1000) if n * sector_bytes // 4 >= total + n)
    sectors = [bytes(sector_bytes)] * (table_size + total)
    table = [0xFFFFFFFD] * table_size + [0xFFFFFFFF] * total
    first = table_size if directory_at == "begin" else table_size + total - directory_size
    places = [*range(first, first + directory_size)]
    free = (number for number in range(table_size, len(sectors)) if number not in places)
    places = places[::-1] if directory_backwards else places
    for entry, content in contents:
        mine = [next(free) for _ in range(_sectors(len(content), sector_bytes))]
        _put(content, mine, sectors, table)
        entry[5:] = [mine[0] if mine else _END, len(content)]
    _put(b"".join(_entry(*entry) for entry in entries), places, sectors, table)
    words = struct.pack(f"<{len(table)}I", *table)
    for number in range(table_size):
        piece = words[number * sector_bytes :][:sector_bytes]
        sectors[number] = piece.ljust(sector_bytes, b"\xff")
    version, shift = (3, 9) if sector_bytes == 512 else (4, 12)
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII", bytes.fromhex("d0cf11e0a1b11ae1"), 0x3E, version, 0xFFFE,
        shift, 6, 0, table_size, places[0], 0, 4096, _END, 0, _END, 0,
    )  # fmt: skip
    header += struct.pack(f"<{min(109, table_size)}I", *range(min(109, table_size)))
    return header.ljust(512, b"\xff").ljust(sector_bytes, b"\0") + b"".join(sectors)


def _add(
    siblings: tuple[Stream, ...],
    entries: list[list[int | str]],
    contents: list[tuple[list[int | str], bytes]],
) -> int:
    """The number of the first one's entry, or -1; each one's right neighbour is the next."""
    first = len(entries) if siblings else -1
    for place, stream in enumerate(siblings):
        entry: list[int | str] = [stream.name, 1 if stream.inside else 2, -1, -1, -1, _END, 0]
        entries.append(entry)
        if stream.inside:
            entry[4] = _add(stream.inside, entries, contents)
        else:
            contents.append((entry, stream.content))
        if place + 1 < len(siblings):
            entry[3] = len(entries)
    return first


def _sectors(size: int, sector_bytes: int) -> int:
    return -(-size // sector_bytes)


def _put(content: bytes, places: list[int], sectors: list[bytes], table: list[int]) -> None:
    for number, here in enumerate(places):
        size = len(sectors[here])
        sectors[here] = content[number * size :][:size].ljust(size, b"\0")
        table[here] = places[number + 1] if number + 1 < len(places) else _END


def _entry(name: int | str, *rest: int | str) -> bytes:
    kind, left, right, child, start, size = rest
    written = str(name).encode("utf-16-le")
    return struct.pack(
        "<64sHBBiii16xI16xIQ",
        *(written, len(written) + 2, kind, 1),
        *(left, right, child, 0, start, size),
    )
