"""Rows P129 and P137 to P143 of the fault list: the name a file is shown and downloaded under."""

import re
import unicodedata
from email.message import EmailMessage
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.files.file_name import MAX_NAME_BYTES, display_name
from app.files.file_types import TEXT, FileType
from app.files.file_types import TYPES as ALL_TYPES
from app.storage.content_disposition import content_disposition

TYPES = {file_type.extension: file_type for file_type in ALL_TYPES.values()}

SHOWN = {
    "P129-other-picture": ("photo.png", "jpg", "photo.png.jpg"),
    "P129-same-picture": ("photo.JPEG", "jpg", "photo.JPEG"),
    "P129-iphone": ("IMG_0001.HEIC", "heic", "IMG_0001.HEIC"),
    "P129-picture-named-text": ("notes.txt", "png", "notes.txt.png"),
    "P129-text-named-picture": ("photo.jpg", "txt", "photo.jpg.txt"),
    "P129-no-extension": ("scan", "pdf", "scan.pdf"),
    "P137-program": ("report.pdf.exe", "pdf", "report.pdf.exe.pdf"),
    "P137-page": ("x.html", "txt", "x.html.txt"),
    "P137-page-in-capitals": ("x.HTML", "txt", "x.HTML.txt"),
    "P137-page-with-dot": ("x.html. .", "txt", "x.html.txt"),
    "P137-drawing": ("x.svg", "txt", "x.svg.txt"),
    "P137-batch": ("run.bat", "txt", "run.bat.txt"),
    "P137-shortcut": ("x.url", "txt", "x.url.txt"),
    "P137-only-page": (".html", "txt", "html"),
    "L4-mail": ("a.eml", "txt", "a.eml.txt"),
    "L4-java": ("a.jnlp", "txt", "a.jnlp.txt"),
    "L4-desktop-elsewhere": ("a.rdp", "txt", "a.rdp.txt"),
    "L4-library": ("a.library-ms", "txt", "a.library-ms.txt"),
    "L4-search": ("a.Search-MS", "txt", "a.Search-MS.txt"),
    "L4-connector": ("a.searchconnector-ms", "txt", "a.searchconnector-ms.txt"),
    "L4-settings": ("a.settingcontent-ms", "txt", "a.settingcontent-ms.txt"),
    "L4-click-once": ("a.appref-ms", "txt", "a.appref-ms.txt"),
    "L4-sandbox": ("a.wsb", "txt", "a.wsb.txt"),
    "L4-session": ("a.pssc", "txt", "a.pssc.txt"),
    "L4-theme": ("a.theme", "txt", "a.theme.txt"),
    "L4-query": ("a.oqy", "txt", "a.oqy.txt"),
    "L4-profile": ("a.mobileconfig", "txt", "a.mobileconfig.txt"),
    "L4-place": ("a.inetloc", "txt", "a.inetloc.txt"),
    "L4-php-page": ("a.phtml", "txt", "a.phtml.txt"),
    "L4-flash": ("a.swf", "txt", "a.swf.txt"),
    "L4-stream": ("x.html::$DATA", "txt", "x.html__$DATA"),
    "L4-stream-of-a-picture": ("x.png:a.exe:$DATA", "png", "x.png:a.exe_$DATA.png"),
    "L4-named-stream": ("run.bat:a", "txt", "run.bat_a"),
    "L4-device": ("con.txt", "txt", "_con.txt"),
    "L4-device-in-capitals": ("AUX .pdf", "pdf", "_AUX .pdf"),
    "L4-device-alone": ("nul", "txt", "_nul"),
    "L4-port": ("COM1.tar.txt", "txt", "_COM1.tar.txt"),
    "L4-no-device": ("console.txt", "txt", "console.txt"),
    "L4-colon-in-words": ("Essay: my year.txt", "txt", "Essay: my year.txt"),
    "P138-basic": ("game.bas", "txt", "game.bas"),
    "P138-visual-basic": ("Form1.vb", "txt", "Form1.vb"),
    "P138-python": ("calculator.py", "txt", "calculator.py"),
    "P138-javascript": ("run.js", "txt", "run.js"),
    "P138-no-extension": ("notes", "txt", "notes"),
    "P138-dots": ("v1.2 notes", "txt", "v1.2 notes"),
    "P139-parent": ("../../etc/passwd.txt", "txt", "passwd.txt"),
    "P139-windows": ("C:\\x\\a.pdf", "pdf", "a.pdf"),
    "P139-drive": ("C:a.pdf", "pdf", "a.pdf"),
    "P139-absolute": ("/abs/a.txt", "txt", "a.txt"),
    "P139-both-separators": ("a/b\\c/d.txt", "txt", "d.txt"),
    "P139-parent-alone": ("..", "txt", "file.txt"),
    "P139-folder": ("homework/", "pdf", "file.pdf"),
    "P139-hidden": (".htaccess", "txt", "htaccess"),
    "P140-control": ("a\nb\0c\x1bd\te\r\x85.txt", "txt", "abcde.txt"),
    "P140-line-separators": ("a\u2028b\u2029.txt", "txt", "ab.txt"),
    "P140-direction": ("invoice\u202efdp.exe", "pdf", "invoicefdp.exe.pdf"),
    "P140-byte-order-mark": ("\ufeffa.txt", "txt", "a.txt"),
    "P140-lone-surrogate": ("a\ud83d.txt", "txt", "a\ufffd.txt"),
    "P140-nothing": ("\0\x1b", "pdf", "file.pdf"),
    "P141-quotes": ('"a"; b=c.txt', "txt", '"a"; b=c.txt'),
    "P141-letters": ("Übung 日本 👩\u200d🔬.pdf", "pdf", "Übung 日本 👩\u200d🔬.pdf"),
    "P142-markup": (
        "<img src=x onerror=alert(1)>.png",
        "png",
        "<img src=x onerror=alert(1)>.png",
    ),
    "P143-long": ("a" * 300 + ".PDF", "pdf", "a" * 251 + ".PDF"),
    "P143-long-without-extension": ("a" * 300, "txt", "a" * 251 + ".txt"),
    "P143-longest": ("a" * 255, "txt", "a" * 255),
    "P143-character-border": ("€" * 100 + ".txt", "txt", "€" * 83 + ".txt"),
    "P143-cut-to-a-page": (
        "a" * 250 + ".html" + "b" * 50,
        "txt",
        "a" * 250 + "..txt",
    ),
    "empty": ("", "heic", "file.heic"),
}


@pytest.mark.parametrize("row", SHOWN)
def test_a_name_is_kept_as_far_as_it_is_harmless(row: str) -> None:
    raw, extension, shown = SHOWN[row]
    assert display_name(raw, TYPES[extension]) == shown


# Text of every kind, with more of what names are attacked with than chance would bring.
_names = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(["/", "\\", "..", ".", "C:", "\0", "\r\n", "\u202e", "\ud800", "\u200d"])
        | st.sampled_from([".html", ".exe", ".txt", ".PDF", ".jpg", ".gz", "." + "x" * 17])
        | st.sampled_from([" ", "a" * 100, "€" * 90])
    ).map("".join),
)
_types = st.sampled_from(list(ALL_TYPES.values()))


@given(raw=_names, file_type=_types)
def test_a_shown_name_is_one_visible_path_component_of_at_most_255_bytes(
    raw: str, file_type: FileType
) -> None:
    shown = display_name(raw, file_type)
    assert 0 < len(shown.encode()) <= MAX_NAME_BYTES
    assert not set(shown) & set("/\\")
    assert shown.strip(". ") == shown
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(letter) for letter in shown}
    assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown)


@given(raw=_names, file_type=_types)
def test_a_shown_name_is_shown_unchanged(raw: str, file_type: FileType) -> None:
    shown = display_name(raw, file_type)
    assert display_name(shown, file_type) == shown


@given(raw=_names, file_type=_types)
def test_the_extension_of_a_shown_name_is_one_of_its_type(raw: str, file_type: FileType) -> None:
    extensions = re.findall(r"\.([^.]+)\Z", display_name(raw, file_type).lower())
    if file_type == TEXT:
        assert not {"html", "exe", "pdf", "jpg", "gz"} & set(extensions)
    else:
        assert set(extensions) <= set(file_type.extensions)
        assert extensions


HEADERS = {
    "P141-quotes": ('"a"; b=c.txt', "_a_; b=c.txt"),
    "P141-umlauts": ("Übung.pdf", "Ubung.pdf"),
    "P141-emoji": ("😀.pdf", "_.pdf"),
    "P141-look-alike": ("℀.pdf", "_.pdf"),
    "P141-percent": ("50%20.pdf", "50_20.pdf"),
    "P141-backslash": ("a\\b/c.pdf", "a_b_c.pdf"),
    "P140-lines": ("a\r\nSet-Cookie: b", "a__Set-Cookie: b"),
}


@pytest.mark.parametrize("row", HEADERS)
def test_old_browsers_get_a_plain_name_and_others_the_real_one(row: str) -> None:
    name, fallback = HEADERS[row]
    plain, _, real = content_disposition(name).partition("; filename*=UTF-8''")
    assert plain == f'attachment; filename="{fallback}"'
    assert unquote(real) == name


@given(name=_names | st.text(st.characters()))
def test_the_header_is_one_line_of_rfc_6266(name: str) -> None:
    header = content_disposition(name)
    plain = r"[ !#-\[\]-~]*"
    attr_chars = r"(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})*"
    form = rf"attachment; filename=\"{plain}\"; filename\*=UTF-8''{attr_chars}"
    assert re.fullmatch(form, header)


@given(raw=_names, file_type=_types)
def test_a_parser_reads_the_shown_name_from_the_header(raw: str, file_type: FileType) -> None:
    shown = display_name(raw, file_type)
    real = content_disposition(shown).partition("; filename*=")[2]
    message = EmailMessage()
    message["Content-Disposition"] = f"attachment; filename*={real}"
    assert message.get_filename() == shown
