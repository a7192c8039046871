"""DESIGN R30: of a container the whole is judged, wherever in it what matters lies."""

import struct
import zipfile
from collections.abc import Callable
from io import BytesIO

import pytest
from typing_extensions import override

from app.errors import FileExpandsTooLargeError, FileTypeNotAllowedError
from app.files.compound_check import WordCheck
from app.files.content_checks import Check
from app.files.content_type import HEAD_BYTES, begin_check, detect_type
from app.files.file_types import DOCX, WORD, FileType
from app.files.package_checks import OpenXmlCheck
from tests.support import samples
from tests.support.containers import (
    Entry,
    Stream,
    compound,
    docx,
    docx_entries,
    package,
    relationship,
    types,
    written_zip,
)

MIB = 1024 * 1024
CHECKS: dict[FileType, Callable[[FileType, bytes], Check]] = {
    DOCX: OpenXmlCheck,
    WORD: lambda _, head: WordCheck(head),
}
SIZES = [1, 7, 512, 4096, 65_536, 8 * MIB]


def verdict(content: bytes, *, size: int = 65_536, filename: str = "essay.docx") -> str:
    """What the receiver makes of it, cut into pieces of this size from its first byte on."""
    head = content[:HEAD_BYTES]
    try:
        file_type = detect_type(head, filename=filename)
        check = CHECKS.get(file_type, begin_check)(file_type, head)
        begin = 0 if file_type in CHECKS else len(head)
        for start in range(begin, len(content), size):
            check.feed(content[start : start + size])
            while check.go_on():
                pass
        check.finish()
    except (FileTypeNotAllowedError, FileExpandsTooLargeError) as refusal:
        return f"{refusal.error_text}: {refusal.hint_text}"
    return file_type.media_type


def entries(*more: Entry, **changes: object) -> bytes:
    return written_zip([Entry(name, **changes) for name in samples.DOCX_PARTS] + [*more])  # type: ignore[arg-type]


BACKSLASHES = [name.replace("/", "\\") for name in samples.DOCX_PARTS]
MIXED = ("[Content_Types].xml", "_rels/.rels", "word\\document.xml", "word/styles.xml")
MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


class Pipe(BytesIO):
    @override
    def seek(self, *_: int) -> int:
        raise OSError

    @override
    def tell(self) -> int:
        raise OSError


def piped() -> bytes:
    """As Python, Go and fflate write to what cannot seek."""
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as writer:
        for name in samples.DOCX_PARTS:
            writer.writestr(name, b"<x/>")
        writer.writestr("word/media/a.bin", b"PK\7\10" * 100)
    return pipe.getvalue()


GOOD_ZIPS = {
    "F22-backslashes": written_zip(Entry(name) for name in BACKSLASHES),
    "F22-both-slashes": written_zip(Entry(name) for name in MIXED),
    "R30-java": entries(size_behind=True),
    "R30-descriptor-without-mark": entries(size_behind=True, descriptor_mark=False),
    "R30-wide-descriptor": entries(size_behind=True, wide=True),
    "R30-stored-with-descriptor": entries(size_behind=True, method=0),
    "R30-piped": piped(),
    "R30-stored": entries(method=0),
    "R30-padded-for-alignment": entries(gap=bytes(64)),
    "R30-a-deleted-entry": entries(Entry("old.xml", is_listed=False)),
    "R30-an-embedded-spreadsheet": docx(
        word__embeddings__1_DOT_xlsx=samples.zipped(*samples.XLSX_PARTS)
    ),
    "R30-sizes-that-the-directory-forgot": entries(listed_size=0),
    "R30-main-part-by-its-type": package(
        {
            "[Content_Types].xml": types(essay=MAIN),
            "_rels/.rels": b"<x/>",
            "word/essay.xml": b"<x/>",
        }
    ),
    "R30-capitals": written_zip(Entry(name.upper()) for name in samples.DOCX_PARTS),
    "R30-types-of-many-parts": docx(
        **{"[Content_Types]_DOT_xml": types(**{f"slide{number}": MAIN for number in range(9000)})}
    ),
    "R30-types-in-utf-16": docx(
        **{"[Content_Types]_DOT_xml": "<Types/>".encode("utf-16")}
    ),
    "L4-formula-as-object": docx(
        word___rels__document_DOT_xml_DOT_rels=relationship(
            "oleObject", "embeddings/oleObject1.bin", mode="Internal"
        ),
        word__embeddings__oleObject1_DOT_bin=compound(Stream("Equation Native")),
    ),
    "L4-template-on-a-drive": docx(
        word___rels__settings_DOT_xml_DOT_rels=relationship(
            "attachedTemplate", "file:///C:\\Users\\ada\\Templates\\Essay.dotx"
        )
    ),
    "L4-template-on-a-server": docx(
        word___rels__settings_DOT_xml_DOT_rels=relationship(
            "attachedTemplate", "\\\\school\\templates\\Essay.dotx"
        )
    ),
    "L4-template-beside": docx(
        word___rels__settings_DOT_xml_DOT_rels=relationship("attachedTemplate", "Essay%20.dotx")
    ),
    "L4-link-and-picture-from-the-web": docx(
        word___rels__document_DOT_xml_DOT_rels=relationship("hyperlink", "https://example.org/"),
        word___rels__header1_DOT_xml_DOT_rels=relationship("image", "https://example.org/a.png"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", GOOD_ZIPS)
def test_documents_of_many_writers_pass_however_they_are_cut(row: str) -> None:
    found = {verdict(GOOD_ZIPS[row], size=size) for size in SIZES}
    assert found == {DOCX.media_type}


def two_directories() -> bytes:
    """The last end names a directory that lies inside an entry."""
    hidden = samples.docx("word/vbaProject.bin")
    outer = entries(Entry("a.bin", content=hidden, method=0))
    return outer[:-6] + struct.pack("<IH", outer.index(b"PK\1\2"), 0)


def located_elsewhere() -> bytes:
    """A locator for large zips stands where none was read: in the last comment."""
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 30, 1)
    return entries(Entry("a.xml", comment=locator))


def with_types(content: str) -> bytes:
    return docx(**{"[Content_Types]_DOT_xml": f"<T>{content}</T>".encode()})


def many_names(form: str) -> bytes:
    return with_types("".join(form.format(number) for number in range(300_000)))


def in_utf16(xml: bytes) -> bytes:
    return xml.decode().replace("UTF-8", "UTF-16").encode("utf-16")


MACRO_TYPE = "application/vnd.ms-office.vbaProject"
MACRO_MAIN = "application/vnd.ms-word.document.macroEnabled.main+xml"
VBA = "http://schemas.microsoft.com/office/2006/relationships/vbaProject"
REMOTE = "https://evil.example/t.dotm"
NO_SUCH = "application/zip not allowed"
BAD_ZIPS = {
    "R30-encrypted-entry": (entries(Entry("secret.xml", flags=1)), "without a password"),
    "R30-encrypted-entry-by-directory": (
        entries(Entry("secret.xml", listed_flags=1)),
        "without a password",
    ),
    "R30-encrypted-with-aes": (entries(Entry("secret.xml", method=99)), "without a password"),
    "R30-escaping": (docx(**{"..__..__x": b""}), NO_SUCH),
    "R30-escaping-by-backslashes": (docx(**{"..\\..\\x": b""}), NO_SUCH),
    "R30-escaping-in-the-middle": (docx(**{"word__..__..__x": b""}), NO_SUCH),
    "R30-absolute": (docx(__etc__passwd=b""), NO_SUCH),
    "R30-drive": (docx(**{"C:\\x": b""}), NO_SUCH),
    "R30-other-name-in-the-directory": (
        entries(Entry("a.xml", listed_name="../../x")),
        NO_SUCH,
    ),
    "R30-two-for-one-entry": (entries(Entry("word/document.xml", offset=0)), NO_SUCH),
    "R30-directory-elsewhere": (
        written_zip(docx_entries(), end_offset=4),
        NO_SUCH,
    ),
    "R30-directory-inside-an-entry": (two_directories(), NO_SUCH),
    "R30-locator-in-a-comment": (located_elsewhere(), NO_SUCH),
    "R30-not-listed": (
        written_zip(
            [Entry(name, is_listed=name != "word/document.xml") for name in samples.DOCX_PARTS]
        ),
        NO_SUCH,
    ),
    "R30-unknown-method": (entries(Entry("a.xml", method=14)), NO_SUCH),
    "R30-broken-data": (samples.docx().replace(b"\xb3\xa9", b"\xff\xff"), NO_SUCH),
    "R30-types-with-entities": (
        docx(**{"[Content_Types]_DOT_xml": b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>"}),
        NO_SUCH,
    ),
    "R30-tags-in-each-other": (with_types("<a>" * 100 + "</a>" * 100), NO_SUCH),
    "R30-tags-that-are-never-closed": (with_types("<a>" * 2_700_000), NO_SUCH),
    "R30-names-of-elements": (many_names("<a{}/>"), NO_SUCH),
    "R30-names-of-attributes": (many_names("<a b{}=''/>"), NO_SUCH),
    "R30-one-tag": (with_types(f"<a b='{'x' * 400_000}'/>"), NO_SUCH),
    "L4-macros-under-another-name": (
        docx(**{"[Content_Types]_DOT_xml": types(notes=MACRO_TYPE), "word__notes_DOT_xml": b""}),
        "without macros",
    ),
    "L4-macros-by-the-main-part": (
        docx(**{"[Content_Types]_DOT_xml": types(document=MACRO_MAIN)}),
        "without macros",
    ),
    "L4-macros-in-utf-16": (
        docx(**{"[Content_Types]_DOT_xml": in_utf16(types(a=MACRO_TYPE))}),
        "without macros",
    ),
    "L4-macros-by-reference": (
        docx(**{"[Content_Types]_DOT_xml": types(a=MACRO_TYPE.replace("vba", "&#118;ba"))}),
        "without macros",
    ),
    "L4-macros-by-relationship": (
        docx(word___rels__document_DOT_xml_DOT_rels=relationship(VBA, "a.bin", mode="Internal")),
        "without macros",
    ),
    "L4-macros-behind-backslashes": (
        written_zip(Entry(name) for name in [*BACKSLASHES, "word\\vbaProject.bin"]),
        "without macros",
    ),
    "L4-template-from-the-web": (
        docx(word___rels__settings_DOT_xml_DOT_rels=relationship("attachedTemplate", REMOTE)),
        "from the web",
    ),
    "L4-object-from-the-web": (
        docx(word___rels__document_DOT_xml_DOT_rels=relationship("oleObject", f"mhtml:{REMOTE}!x")),
        "from the web",
    ),
    "L4-frame-from-the-web": (
        docx(word___rels__webSettings_DOT_xml_DOT_rels=relationship("frame", REMOTE)),
        "from the web",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", BAD_ZIPS)
def test_packages_that_lie_or_hide_are_refused_however_they_are_cut(row: str) -> None:
    content, hint = BAD_ZIPS[row]
    found = {verdict(content, size=size) for size in SIZES}
    assert len(found) == 1, found
    assert hint in found.pop()


def lying(content: bytes, **changes: int) -> bytes:
    return entries(Entry("word/media/image1.bmp", content=content, **changes))  # type: ignore[arg-type]


EXPANDING = {
    "R30-directory-says-13-bytes": lambda: lying(bytes(201 * MIB), listed_size=13),
    "R30-no-size-before": lambda: lying(bytes(21 * MIB), size_behind=True),
    "R30-not-in-the-directory": lambda: lying(bytes(21 * MIB), is_listed=False),
}


@pytest.mark.parametrize("size", [4096, 65_536, 8 * MIB])
@pytest.mark.parametrize("row", EXPANDING)
def test_what_unpacks_to_too_much_is_refused_whatever_the_directory_says(
    row: str, size: int
) -> None:
    assert verdict(EXPANDING[row](), size=size).startswith("File too large when unpacked")


def stepped(content: bytes) -> int:
    """How many steps it takes beside the first."""
    check = begin_check(DOCX, b"")
    check.feed(content)
    steps = 0
    while check.go_on():
        steps += 1
    return steps


LONG_WORK: dict[str, tuple[Callable[[], bytes], int]] = {
    "R30-unpacking": (lambda: lying(bytes(100 * MIB)), 90),
    "R30-reading-tags": (lambda: with_types("<a/>" * (MIB // 4)), 15),
    "R30-marks-that-end-nothing": (
        lambda: entries(
            Entry("a.xml", content=b"PK\7\10" * (MIB // 4), method=0, size_behind=True)
        ),
        250,
    ),
}


@pytest.mark.parametrize("row", LONG_WORK)
def test_long_work_is_done_in_small_steps(row: str) -> None:
    content, steps = LONG_WORK[row]
    assert stepped(content()) >= steps


WORD_STREAMS = (Stream("WordDocument"), Stream("1Table"))
FIB = struct.pack("<HHHHHH", 0xA5EC, 0xC1, 0, 0x409, 0, 0x0100).ljust(4096, b"\0")
VBA_STORAGE = Stream("Macros", inside=(Stream("VBA", inside=(Stream("_VBA_PROJECT"),)),))
PROSE = "WordDocument _VBA_PROJECT EncryptedPackage".encode("utf-16-le").ljust(4096, b" ")
MANY = tuple(Stream(f"Picture {number}", b"") for number in range(90))
SHEET_WITH_TEXT = Stream("MBD0001", inside=(Stream("WordDocument"), Stream("1Table")))
TEXT_WITH_SHEET = Stream("ObjectPool", inside=(Stream("_1", inside=(Stream("Workbook"),)),))
COMPOUND_FILES = {
    "R30-word": (WORD_STREAMS, {}, WORD.media_type),
    "R30-word-in-other-letters": ((Stream("worddocument"),), {}, WORD.media_type),
    "R30-word-of-many-streams": ((*MANY, *WORD_STREAMS), {}, WORD.media_type),
    "R30-word-with-a-table-inside": ((*WORD_STREAMS, TEXT_WITH_SHEET), {}, WORD.media_type),
    "R30-word-about-formats": ((*WORD_STREAMS, Stream("0", PROSE)), {}, WORD.media_type),
    "R30-table-with-word-inside": ((Stream("Workbook"), SHEET_WITH_TEXT), {}, "vnd.ms-excel"),
    "R30-table-about-word": ((Stream("Workbook", PROSE),), {}, "vnd.ms-excel"),
    "R30-slides": ((Stream("PowerPoint Document"),), {}, "vnd.ms-powerpoint"),
    "R30-mail-with-word-inside": (
        (Stream("__properties_version1.0"), SHEET_WITH_TEXT),
        {},
        "vnd.ms-outlook",
    ),
    "R30-installer": ((Stream("\u0005SummaryInformation"),), {}, "x-ole-storage"),
    "R30-word-with-macros": ((*WORD_STREAMS, VBA_STORAGE), {}, "without macros"),
    "R30-word-with-macros-of-many": ((*WORD_STREAMS, *MANY, VBA_STORAGE), {}, "without macros"),
    "R30-word-with-password": ((Stream("WordDocument", FIB),), {}, "without a password"),
    "R30-word-with-password-later": (
        (Stream("1Table", bytes(20_000)), Stream("WordDocument", FIB)),
        {},
        "without a password",
    ),
    "F27-docx-with-password": (
        (Stream("EncryptionInfo"), Stream("EncryptedPackage")),
        {},
        "without a password",
    ),
    "F27-word-beside": (
        (*WORD_STREAMS, Stream("EncryptedPackage"), Stream("EncryptionInfo")),
        {},
        "without a password",
    ),
    "F27-of-rights-management": (
        (Stream("\u0006DataSpaces", inside=(Stream("Version"),)), Stream("EncryptedPackage")),
        {},
        "without a password",
    ),
    "R30-large-sectors": (WORD_STREAMS, {"sector_bytes": 4096}, WORD.media_type),
    "R30-of-8-MiB": (WORD_STREAMS, {"filler": 16_384}, WORD.media_type),
}


@pytest.mark.parametrize("backwards", [False, True], ids=["in-order", "backwards"])
@pytest.mark.parametrize("place", ["begin", "end"])
@pytest.mark.parametrize("row", COMPOUND_FILES)
def test_compound_files_are_told_by_their_streams_wherever_the_directory_lies(
    row: str, place: str, *, backwards: bool
) -> None:
    streams, more, expected = COMPOUND_FILES[row]
    content = compound(*streams, directory_at=place, directory_backwards=backwards, **more)
    sizes = SIZES if len(content) < MIB else [65_536, 8 * MIB]
    found = {verdict(content, size=size, filename="a.doc") for size in sizes}
    assert len(found) == 1, found
    assert expected in found.pop()


@pytest.mark.parametrize("size", [512, 4096, 65_536, 16 * MIB])
def test_a_directory_whose_table_is_longer_than_the_header_is_followed(size: int) -> None:
    content = compound(*MANY, *WORD_STREAMS, filler=20_000)
    assert verdict(content, size=size, filename="a.doc") == WORD.media_type


BRANDS = {
    "F23-panasonic": (b"pana", (b"isom", b"mp42"), "video/mp4"),
    "F23-casio": (b"CAEP", (b"mp42",), "video/mp4"),
    "F23-nikon": (b"niko", (b"mp42",), "video/mp4"),
    "F23-dolby": (b"dby1", (b"isom", b"dby1"), "video/mp4"),
    "F23-hevc-film": (b"hvc1", (b"isom",), "video/mp4"),
    "F23-av1-film": (b"av01", (b"iso6", b"mp41"), "video/mp4"),
    "F23-fragments": (b"cmfc", (b"dash", b"iso6"), "video/mp4"),
    "F23-sony": (b"XAVC", (b"XAVC", b"mp42", b"iso2"), "video/mp4"),
    "F23-unknown-quicktime": (b"pano", (b"qt  ",), "video/quicktime"),
    "F23-film-of-a-store": (b"M4V ", (b"M4V ", b"M4A ", b"mp42", b"isom"), "video/mp4"),
    "F23-phone-with-isom": (b"3gp5", (b"3gp5", b"isom"), "video/mp4"),
    "F23-phone-with-mp41": (b"3gp4", (b"mp41", b"3gp4"), "video/mp4"),
    "F23-phone-with-mp42": (b"3g2a", (b"3g2a", b"mp42"), "video/mp4"),
    "F23-phone-alone": (b"3gp5", (b"3gp5", b"3gp4"), "video/3gpp"),
    "F23-mif2": (b"mif2", (b"mif1", b"heic"), "image/heic"),
    "F23-fuji": (b"heix", (b"mif1", b"MiHA", b"miaf", b"heix", b"SHIF"), "image/heic"),
    "F23-iphone": (b"heic", (b"mif1", b"MiHB", b"MiHE", b"MiPr", b"miaf", b"heic"), "image/heic"),
    "F23-msf1-with-hevc": (b"msf1", (b"hevc", b"isom"), "image/heic"),
    "F23-miaf-alone": (b"miaf", (b"mif1",), "image/heif"),
    "F23-avif-by-libavif": (b"miaf", (b"avif", b"mif1", b"miaf"), "image/avif"),
    "F23-avif-film": (b"avis", (b"msf1", b"iso8", b"avis"), "image/avif"),
    "F23-sound-among-isom": (b"isom", (b"M4A ", b"mp42"), "audio/x-m4a"),
    "F23-book": (b"M4B ", (b"M4A ", b"mp42", b"isom"), "audio/x-m4a"),
    "F23-raw-picture": (b"crx ", (b"crx ", b"isom"), "image/x-canon-cr3"),
}


@pytest.mark.parametrize("row", BRANDS)
def test_films_and_pictures_are_told_by_all_their_brands(row: str) -> None:
    major, compatible, expected = BRANDS[row]
    assert expected in verdict(samples.iso_media(major, *compatible), filename="a.bin")
