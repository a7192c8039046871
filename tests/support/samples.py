"""Small files of every kind that senders send, made here so that no binary lies in the tree.

Each is as real as its type is recognised by: the right structure, and content that means nothing.
"""

import io
import struct
import zipfile
import zlib


def jpeg() -> bytes:
    return (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
        b"\xff\xdb\x00\x43\x00" + bytes([1]) * 64 + b"\xff\xd9"
    )


def png() -> bytes:
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", zlib.compress(b"\x00\xff"))
        + _png_chunk(b"IEND", b"")
    )


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def gif() -> bytes:
    screen = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00"
    return screen + b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"


def riff(kind: bytes, content: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + kind + content


def webp() -> bytes:
    return riff(b"WEBP", b"VP8L" + struct.pack("<I", 8) + b"/\x00\x00\x00\x00\x00\x00\x00")


def avi() -> bytes:
    return riff(b"AVI ", b"LIST" + struct.pack("<I", 68) + b"hdrlavih" + bytes(60))


def pdf(*, before: bytes = b"") -> bytes:
    return before + (
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n"
        b"2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n"
    )


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def iso_media(major: bytes, *compatible: bytes) -> bytes:
    """A film or a picture in boxes (MP4, QuickTime, HEIC); the brands say which."""
    brands = b"".join(compatible or (major,))
    return box(b"ftyp", major + bytes(4) + brands) + box(b"free", b"") + box(b"mdat", bytes(64))


def mp4() -> bytes:
    return iso_media(b"isom", b"isom", b"iso2", b"avc1", b"mp41")


def quicktime() -> bytes:
    return iso_media(b"qt  ")


def heic() -> bytes:
    return iso_media(b"heic", b"mif1", b"heic")


DOCX_PARTS = (
    "[Content_Types].xml",
    "_rels/.rels",
    "word/document.xml",
    "word/styles.xml",
    "docProps/core.xml",
)
XLSX_PARTS = ("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml", "xl/worksheets/sheet1.xml")
PPTX_PARTS = ("[Content_Types].xml", "_rels/.rels", "ppt/presentation.xml")


def zipped(*names: str, content: bytes = b"<x/>", stored: bytes = b"") -> bytes:
    """A zip of these entries; `stored` lies uncompressed between them and their directory."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name in names:
            writer.writestr(name, content)
        if stored:
            writer.writestr("word/media/image1.png", stored, zipfile.ZIP_STORED)
    return archive.getvalue()


def docx(*more: str, stored: bytes = b"") -> bytes:
    return zipped(*DOCX_PARTS, *more, stored=stored)


def as_zip64(archive: bytes) -> bytes:
    """The same zip with the end that large archives have (APPNOTE 4.3.14 to 4.3.16)."""
    *_, entries, size, start, _comment = struct.unpack("<4sHHHHIIH", archive[-22:])
    record = (b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, start)
    locator = (b"PK\x06\x07", 0, len(archive) - 22, 1)
    end = (b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return (
        archive[:-22]
        + struct.pack("<4sQHHIIQQQQ", *record)
        + struct.pack("<4sIQI", *locator)
        + struct.pack("<4sHHHHIIH", *end)
    )


def zip_of_zeros(*names: str, size: int, stored: bytes = b"") -> bytes:
    """A zip whose last entry unpacks to so many bytes, made without holding them."""
    archive = io.BytesIO(zipped(*names, stored=stored))
    with (
        zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as writer,
        writer.open("word/media/image2.bmp", "w") as entry,
    ):
        for start in range(0, size, 1 << 20):
            entry.write(bytes(min(1 << 20, size - start)))
    return archive.getvalue()


def ole2(*names: str, first_stream: bytes = b"", directory_last: bool = False) -> bytes:
    """An OLE2 file ([MS-CFB]) with these names in its directory.

    Its one stream with content comes first, as Word's text does, unless there is none.
    """
    text = first_stream.ljust(4096, b"\0")
    if directory_last:
        text = text.ljust(64 * 512, b"\0")
    directory = b"".join(map(_ole2_entry, ("Root Entry", *names), range(len(names) + 1)))
    directory += bytes(-len(directory) % 512)
    text_sectors, directory_sectors = len(text) // 512, len(directory) // 512
    end, fat_sector, free = 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF
    chain = [*range(1, text_sectors), end]
    chain += [*range(text_sectors + 1, text_sectors + directory_sectors), end, fat_sector]
    fat = struct.pack("<128I", *chain, *[free] * (128 - len(chain)))
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        *(0x3E, 3, 0xFFFE, 9, 6),
        *(0, 1, text_sectors, 0, 4096, end, 0, end, 0, text_sectors + directory_sectors),
    ).ljust(512, b"\xff")
    return header + text + directory + fat


def _ole2_entry(name: str, index: int) -> bytes:
    kind = 5 if index == 0 else 2
    written = name.encode("utf-16-le")
    nothing = 0xFFFFFFFF
    child = 1 if index == 0 else nothing
    start, size = (0, 4096) if index == 1 else (0xFFFFFFFE, 0)
    return struct.pack(
        "<64sHBBIII16xI16xIQ",
        *(written, len(written) + 2, kind, 1),
        *(nothing, nothing if index == 0 else index + 1, child, 0, start, size),
    )


def doc(*more: str, directory_last: bool = False, encrypted: bool = False) -> bytes:
    flags = 0x0100 if encrypted else 0
    text = struct.pack("<HHHHHH", 0xA5EC, 0xC1, 0, 0x409, 0, flags)
    return ole2("WordDocument", "1Table", *more, first_stream=text, directory_last=directory_last)


def elf() -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 62, 1) + bytes(100)


def windows_program() -> bytes:
    stub = b"MZ" + bytes(58) + struct.pack("<I", 64)
    return stub + b"PE\0\0" + struct.pack("<HH", 0x8664, 1) + bytes(200)


def rar() -> bytes:
    return b"Rar!\x1a\x07\x01\x00" + bytes(range(60))


CALCULATOR = '''\
#!/usr/bin/env python3
"""Adds numbers and shows them on a page."""
PAGE = "<html><body>{}</body></html>"
print(PAGE.format(1 + 1))
'''
