"""What files may be, in the families that ALLOWED_FILE_TYPES names (DESIGN R30a)."""

from collections.abc import Collection
from dataclasses import dataclass

from app.settings import FileFamily

MACROS_HINT = "Save the document without macros and send it again."
ENCRYPTED_HINT = "Save the document without a password and send it again."


@dataclass(frozen=True)
class FileType:
    """Objects are stored under `extension`; the other ones may stand in a sender's name."""

    media_type: str
    extension: str
    other_extensions: tuple[str, ...] = ()

    @property
    def extensions(self) -> tuple[str, ...]:
        return (self.extension, *self.other_extensions)


_OPEN_XML = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."

JPEG = FileType("image/jpeg", "jpg", ("jpeg", "jpe", "jfif"))
HEIC = FileType("image/heic", "heic", ("heif", "hif", "heics"))
HEIF = FileType("image/heif", "heif", ("heic", "hif", "heifs"))
PDF = FileType("application/pdf", "pdf")
WORD = FileType("application/msword", "doc", ("dot",))
DOCX = FileType(f"{_OPEN_XML}wordprocessingml.document", "docx")
TEXT = FileType("text/plain", "txt")
PPTX = FileType(f"{_OPEN_XML}presentationml.presentation", "pptx")
ODP = FileType(f"{_OPEN_DOCUMENT}presentation", "odp")
XLSX = FileType(f"{_OPEN_XML}spreadsheetml.sheet", "xlsx")
ODS = FileType(f"{_OPEN_DOCUMENT}spreadsheet", "ods")
ODT = FileType(f"{_OPEN_DOCUMENT}text", "odt")
MP3 = FileType("audio/mpeg", "mp3")
WEBM = FileType("audio/webm", "webm", ("weba",))

FAMILIES: dict[FileFamily, tuple[FileType, ...]] = {
    "images": (
        JPEG,
        FileType("image/png", "png"),
        FileType("image/gif", "gif"),
        FileType("image/webp", "webp"),
        HEIC,
        HEIF,
    ),
    "videos": (
        FileType("video/mp4", "mp4", ("m4v",)),
        FileType("video/quicktime", "mov", ("qt",)),
        FileType("video/x-msvideo", "avi"),
    ),
    "documents": (PDF, WORD, DOCX, TEXT),
    "presentations": (PPTX, ODP),
    "spreadsheets": (XLSX, ODS),
    "opendocument": (ODT,),
    "audio": (
        FileType("audio/x-m4a", "m4a", ("m4b",)),
        MP3,
        FileType("audio/x-wav", "wav"),
        WEBM,
    ),
}
TYPES = {known.media_type: known for family in FAMILIES.values() for known in family}

_NAMES: dict[FileFamily, str] = {
    "images": "JPEG, PNG, GIF, WebP and HEIC pictures",
    "videos": "MP4, MOV and AVI videos",
    "documents": "PDF, DOC, DOCX and plain text",
    "presentations": "PPTX and ODP presentations",
    "spreadsheets": "XLSX and ODS spreadsheets",
    "opendocument": "ODT documents",
    "audio": "M4A, MP3, WAV and WebM sound",
}

_OTHER_NOT_TEXT = (
    "docm dotm dotx xlsm xlsb xls ppt pptm pps ppsx rtf epub pages numbers key zip rar 7z gz bz2 xz"
    " tar jar apk dmg iso img vhd vhdx aac ogg flac mkv 3gp wmv mpg mpeg avif bmp tif tiff ico psd"
    " raw dng swf"
)
# Nobody keeps plain text under these: an empty file of such a name lost its content on the way.
NOT_TEXT_EXTENSIONS = frozenset(_OTHER_NOT_TEXT.split()) | {
    extension
    for file_type in TYPES.values()
    if file_type is not TEXT
    for extension in file_type.extensions
}


def is_allowed(file_type: FileType, families: Collection[FileFamily]) -> bool:
    return any(file_type in FAMILIES[family] for family in families)


def allowed_hint(families: Collection[FileFamily]) -> str:
    return f"Allowed are {', '.join(_NAMES[family] for family in FAMILIES if family in families)}."
