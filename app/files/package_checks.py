"""Office documents that are zips: Open XML (DOCX, PPTX, XLSX) and OpenDocument.

What a part is does not show in its name: content types and relationships say so, and programs go by
them. So macros are found by what they are declared to be, and what is fetched from the web on
opening by who is to load it. Objects inside (pictures of formulas, tables) stand: honest documents
are full of them, and nothing opens them by itself.
"""

import re
from collections.abc import Callable
from typing import ClassVar

from typing_extensions import override

from app.errors import FileExpandsTooLargeError, FileTypeNotAllowedError
from app.files.content_checks import Check
from app.files.file_types import DOCX, ENCRYPTED_HINT, MACROS_HINT, PPTX, XLSX, FileType
from app.files.read_xml import ReadElement, XmlReader
from app.files.unzip import Show, ZipBrokenError, ZipEncryptedError, ZipReader

REMOTE_HINT = (
    "The document loads a template or an object from the web when it is opened: save it as PDF, or"
    " take that out, and send it again."
)
MAX_XML_BYTES = 8 * 1024 * 1024  # of the parts that are read
_ZIP = "application/zip"
_ESCAPES = re.compile(r"/|[a-z]:|.*(?:\A|/)\.\.(?:/|\Z)|.*\0", re.DOTALL)


class PackageCheck(Check):
    """Of one of the kinds below."""

    with_macros: str  # what a document of this kind with macros is called

    def __init__(self) -> None:
        self._reader = ZipReader(self._open, self._list)
        self._verdict: FileTypeNotAllowedError | FileExpandsTooLargeError | None = None
        self._xml_bytes = 0
        self.is_kind = False
        self.is_encrypted = False
        self.has_macros = False
        self.is_remote = False

    @override
    def feed(self, chunk: bytes) -> None:
        self._try(lambda: self._reader.feed(chunk))

    @override
    def go_on(self) -> bool:
        return self._try(self._reader.go_on)

    @override
    def finish(self) -> None:
        self._try(self._reader.finish)
        if self.has_macros:
            raise self.refusal(self.with_macros, hint=MACROS_HINT)
        if self.is_encrypted:
            raise self.refusal("application/encrypted", hint=ENCRYPTED_HINT)
        if self._verdict is not None:
            raise self._verdict
        if self.is_remote:
            raise self.refusal(_ZIP, hint=REMOTE_HINT)
        if not self.is_kind:
            raise self.refusal(_ZIP)

    def reader_of(self, name: str) -> Show | None:
        """Who reads the entry of this name."""
        raise NotImplementedError

    def look(self, name: str) -> None:
        """At the name of an entry, in small letters and with slashes; listed or not."""

    def look_listed(self, name: str) -> None:
        """At the name of an entry that programs find."""

    def read_xml(self, read: ReadElement) -> Show:
        reader = XmlReader(read)

        def show(piece: bytes) -> None:
            self._xml_bytes += len(piece)
            if self._xml_bytes > MAX_XML_BYTES:
                raise FileExpandsTooLargeError
            reader.show(piece)

        return show

    def _open(self, raw: bytes) -> Show | None:
        name = _path(raw)
        self.look(name)
        return self.reader_of(name)

    def _list(self, raw: bytes) -> None:
        name = _path(raw)
        self.look(name)
        self.look_listed(name)

    def _try(self, act: Callable[[], bool | None]) -> bool:
        if self._verdict is not None:
            return False
        try:
            return bool(act())
        except ZipEncryptedError:
            self.is_encrypted = True
            self._verdict = self.refusal(_ZIP)
        except ZipBrokenError:
            self._verdict = self.refusal(_ZIP)
        except FileExpandsTooLargeError as refusal:
            self._verdict = refusal
        return False


def _path(raw: bytes) -> str:
    """Programs take either slash. Raises ZipBrokenError for a name that leads elsewhere."""
    name = raw.decode("utf-8", "replace").replace("\\", "/").lower()
    if _ESCAPES.match(name):
        raise ZipBrokenError
    return name


class OpenXmlCheck(PackageCheck):
    """ECMA-376 part 2: `[Content_Types].xml` says what each part is, `*.rels` what for."""

    # Some writers number the main part, or name it otherwise.
    _mains: ClassVar = {
        DOCX: (re.compile(r"word/document\d*\.xml"), ".wordprocessingml."),
        PPTX: (re.compile(r"ppt/presentation\d*\.xml"), ".presentationml."),
        XLSX: (re.compile(r"xl/workbook\d*\.xml"), ".spreadsheetml."),
    }
    _names_of_macros: ClassVar = {
        DOCX: "application/vnd.ms-word.document.macroEnabled.12",
        PPTX: "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
        XLSX: "application/vnd.ms-excel.sheet.macroEnabled.12",
    }
    _macros = re.compile(r"macroenabled|vbaproject|vbadata|macrosheet", re.IGNORECASE)
    _main = re.compile(r"\.(?:document|presentation|slideshow|sheet|template)\.main\+xml\Z")
    # Who is loaded on opening; pictures, links and linked tables are shown, or ask first.
    _loaded = re.compile(
        r"/(?:attachedtemplate|oleobject|frame|subdocument|afchunk)\Z", re.IGNORECASE
    )
    # A path, on a drive or on a school's server, is how templates are named.
    _path = re.compile(r"file:|[a-z]:[\\/]|(?![a-z][a-z0-9+.-]*:)", re.IGNORECASE)

    def __init__(self, file_type: FileType, _head: bytes) -> None:
        super().__init__()
        self._main_name, self._format = self._mains[file_type]
        self.with_macros = self._names_of_macros[file_type]
        self._has_types = self._has_main = False

    @override
    def look(self, name: str) -> None:
        self.has_macros = self.has_macros or name.endswith("vbaproject.bin")

    @override
    def look_listed(self, name: str) -> None:
        self._has_types = self._has_types or name == "[content_types].xml"
        self._has_main = self._has_main or bool(self._main_name.fullmatch(name))
        self.is_kind = self._has_types and self._has_main

    @override
    def reader_of(self, name: str) -> Show | None:
        if name == "[content_types].xml":
            return self.read_xml(self._read_type)
        return self.read_xml(self._read_relationship) if name.endswith(".rels") else None

    def _read_type(self, _: str, attributes: dict[str, str]) -> None:
        declared = attributes.get("ContentType", "").strip().lower()
        self.has_macros = self.has_macros or bool(self._macros.search(declared))
        if self._format in declared and self._main.search(declared):
            self._has_main = True

    def _read_relationship(self, _: str, attributes: dict[str, str]) -> None:
        kind, target = attributes.get("Type", "").strip(), attributes.get("Target", "").strip()
        self.has_macros = self.has_macros or bool(self._macros.search(kind))
        if attributes.get("TargetMode", "").strip().lower() == "external":
            is_elsewhere = self._loaded.search(kind) and not self._path.match(target)
            self.is_remote = self.is_remote or bool(is_elsewhere)


class OpenDocumentCheck(PackageCheck):
    """OpenDocument 1.3 part 2: the first entry, `mimetype`, says what it is."""

    # Libraries that hold nothing are written too; scripts in other languages are files.
    _macros = re.compile(
        r"basic/(?!(?:[^/]*/)?(?:script|dialog)-l[bc]\.xml\Z).*[^/]|scripts/.*[^/]"
    )

    def __init__(self, file_type: FileType, _head: bytes) -> None:
        super().__init__()
        self._media_type = file_type.media_type.encode()
        self._said = b""
        self.with_macros = file_type.media_type

    @override
    def look(self, name: str) -> None:
        self.has_macros = self.has_macros or bool(self._macros.match(name))

    @override
    def look_listed(self, name: str) -> None:
        self.is_kind = self.is_kind or (name == "content.xml" and self._said == self._media_type)

    @override
    def reader_of(self, name: str) -> Show | None:
        if name == "meta-inf/manifest.xml":
            return self.read_xml(self._read_manifest)
        return self._read_mimetype if name == "mimetype" else None

    def _read_mimetype(self, piece: bytes) -> None:
        self._said = (self._said + piece)[:100]

    def _read_manifest(self, name: str, _: dict[str, str]) -> None:
        self.is_encrypted = self.is_encrypted or name.rpartition(":")[2] == "encryption-data"
