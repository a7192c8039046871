"""The name a file is shown and downloaded under; objects in storage never carry it.

The sender's name is kept as far as it is harmless: no path, nothing invisible, and an extension
that tells the truth about the content and that no browser or shell would run.
"""

import re
import unicodedata

from app.files.file_types import NOT_TEXT_EXTENSIONS, TEXT, FileType
from app.text import clean_text

MAX_NAME_BYTES = 255

_RENDERED = (
    "htm html xht xhtm xhtml shtm shtml mht mhtml svg svgz xml xsl xslt xaml rdf rss atom hta htc"
    " phtml pht phar eml emlx oft"
)
# What a double click runs, installs, connects to or changes settings with: the attachments that
# Outlook blocks and browsers warn of, and their likes on macOS and Linux.
_RUN = (
    # Windows: programs, scripts, shortcuts, settings
    "exe com scr pif bat cmd cpl dll ocx sys drv gadget msi msp mst msu msix appx appinstaller"
    " application appref-ms xbap vbs vbe jse wsf wsh wsc ws sct scf shb shs"
    " ps1 ps1xml ps2 ps2xml psm1 psd1 psc1 psc2 pssc cdxml msh msh1 msh2 mshxml msh1xml msh2xml"
    " lnk url website library-ms search-ms searchconnector-ms settingcontent-ms appcontent-ms"
    " printerexport webpnp theme themepack deskthemepack msc job reg inf ins isp its grp prf udl"
    " diagcab diagcfg diagpkg wsb rdp rdpw ica chm hlp hpj cnt cer crt der p7b p12 pfx"
    # office: what fetches or runs on opening
    " iqy dqy oqy rqy odc slk xll xlm wiz vsw vsmacros ade adp mad maf mag mam maq mar mas mau mav"
    " maw mda mdb mde mdt mdw mdz accdb accde accdr ops osd pcd plg prg fxp xnk one onepkg"
    # elsewhere
    " jar jnlp pyz pyzw command tool terminal action workflow webloc inetloc fileloc afploc ftploc"
    " mailloc vncloc app pkg mpkg mobileconfig mobileprovision desktop run appimage deb rpm crx xpi"
)
# Text keeps any other extension: `calculator.py`, `run.js`, `game.bas` are homework.
_NEVER_TEXT = frozenset(f"{_RENDERED} {_RUN}".split()) | NOT_TEXT_EXTENSIONS

_EXTENSION = re.compile(r"\.([^.\s]{1,32})\Z")
_SEPARATOR = re.compile(r"[/\\]")
# A leading dot hides a file, `C:` is a drive, and Windows drops dots and spaces at the end.
_EDGES = re.compile(r"\A(?:[\s.]|[A-Za-z]:)+|[\s.]+\Z")
# For Windows `x.html::$DATA` is `x.html`, and these are devices, whatever their extension.
_STREAM = re.compile(r"\.[^.\s]*:[^.]*\Z")
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:[.:]|\Z)", re.IGNORECASE
)
# Control and format characters and line ends; among them those that turn the direction of
# writing and so show `fdp.exe` as `exe.pdf`. Emoji and Persian need the two joiners.
_INVISIBLE = frozenset(("Cc", "Cf", "Zl", "Zp"))
_JOINERS = "\u200c\u200d"


def display_name(raw: str, file_type: FileType) -> str:
    """The sender's name for a file of this type: never empty, at most 255 bytes."""
    name = _EDGES.sub("", _SEPARATOR.split(_visible(clean_text(raw)))[-1])
    name = _STREAM.sub(lambda stream: stream[0].replace(":", "_"), name)
    if _DEVICE.match(name):
        name = f"_{name}"
    suffix = _suffix_to_keep(name, file_type)
    if suffix is None:
        suffix = f".{file_type.extension}"
        return _cut(name or "file", MAX_NAME_BYTES - len(suffix)) + suffix
    return _cut(name.removesuffix(suffix), MAX_NAME_BYTES - len(suffix.encode())) + suffix


def _visible(text: str) -> str:
    return "".join(
        character
        for character in text
        if character in _JOINERS or unicodedata.category(character) not in _INVISIBLE
    )


def _suffix_to_keep(name: str, file_type: FileType) -> str | None:
    """The name's own extension with its dot; empty if it needs none, None if it must get one."""
    match = _EXTENSION.search(name)
    extension = match[1].lower() if match else ""
    if file_type != TEXT:
        honest = extension in file_type.extensions
    elif match:
        honest = extension not in _NEVER_TEXT
    else:  # `notes` is fine, but cutting a long name could end it with anything
        honest = 0 < len(name.encode()) <= MAX_NAME_BYTES
    if not honest:
        return None
    return match[0] if match else ""


def _cut(text: str, size: int) -> str:
    """At most so many bytes of UTF-8, without half a character."""
    return text.encode()[:size].decode(errors="ignore")
