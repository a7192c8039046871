"""Rows P128 to P145 of the fault list, as far as they are about what a file is."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import FileExpandsTooLargeError, FileTypeNotAllowedError
from app.files.content_type import HEAD_BYTES, begin_check, detect_type
from app.files.file_types import DOCX, TEXT, TYPES, WORD, FileType, is_allowed
from app.settings import DEFAULT_FAMILIES
from tests.support import samples
from tests.support.containers import Entry, Stream, compound, docx_entries, written_zip

MIB = 1024 * 1024
NOISE = random.Random(1).randbytes(65_536)  # noqa: S311


def inspect(content: bytes, *, filename: str = "file", size: int = 65_536) -> FileType:
    """What the receiver of a file does with it, cut into pieces of this size."""
    file_type = detect_type(content[:HEAD_BYTES], filename=filename)
    check = begin_check(file_type, content[:HEAD_BYTES])
    for start in range(HEAD_BYTES, len(content), size):
        check.feed(content[start : start + size])
    check.finish()
    return file_type


GOOD = {
    "application/msword": samples.doc(),
    "application/pdf": samples.pdf(),
    "video/mp4": samples.mp4(),
    "video/quicktime": samples.quicktime(),
    "video/x-msvideo": samples.avi(),
    "image/webp": samples.webp(),
    "image/gif": samples.gif(),
    "image/png": samples.png(),
    "image/jpeg": samples.jpeg(),
    "image/heic": samples.heic(),
    "image/heif": samples.iso_media(b"mif1"),
    "text/plain": b"My homework.\n",
    DOCX.media_type: samples.docx(),
}


@pytest.mark.parametrize("media_type", GOOD, ids=lambda name: f"P136-{name}")
def test_a_good_sample_of_every_allowed_type_is_recognised(media_type: str) -> None:
    assert inspect(GOOD[media_type]).media_type == media_type


def test_every_allowed_type_has_a_sample() -> None:
    assert set(GOOD) == {name for name in TYPES if is_allowed(TYPES[name], DEFAULT_FAMILIES)}


@pytest.mark.parametrize("filename", ["P128.bin", "P129.png", "P129", "P129.html"])
def test_the_name_does_not_decide_the_type(filename: str) -> None:
    assert inspect(samples.jpeg(), filename=filename).extension == "jpg"


REFUSED = {
    "P130-html": (b"<html><body>hello", "text/html"),
    "P130-svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    "P130-php": (b"<?php system('id'); ?><html></html>", "text/x-php"),
    "P130-php-short": (b"<?= 1 ?>", "text/x-php"),
    "P130-zip": (samples.zipped("a.txt"), "application/zip"),
    "P130-empty-zip": (samples.zipped(), "application/zip"),
    "P130-rar": (samples.rar(), "application/x-rar"),
    "P130-elf": (samples.elf(), "application/x-executable"),
    "P130-mz": (samples.windows_program(), "application/x-dosexec"),
    "P130-shell": (b"#!/bin/sh\nrm -rf /\n", "text/x-shellscript"),
    "P130-shell-by-env": (b"#!/usr/bin/env bash\n", "text/x-shellscript"),
    "F34-shell-with-options": (b"#! /bin/dash -e\n", "text/x-shellscript"),
    "F34-shell-by-env-with-options": (b"#!/usr/bin/env -S X=1 zsh -f\n", "text/x-shellscript"),
    "F34-shell-by-busybox": (b"#!/bin/busybox ash\n", "text/x-shellscript"),
    "F34-shell-of-windows": (b"#!C:\\cygwin\\bin\\bash.exe\r\n", "text/x-shellscript"),
    "F34-shell-with-version": (b"#!/usr/local/bin/bash-5.2", "text/x-shellscript"),
    "F34-shell-in-a-shell-folder": (b"#!/opt/ash/bin/ksh\n", "text/x-shellscript"),
    "P132-doctype": (b"<!DOCTYPE html>\n<p>", "text/html"),
    "P132-mark": (b"\xef\xbb\xbf<HTML>", "text/html"),
    "P132-spaces": (b" \t\r\n\f <script>alert(1)</script>", "text/html"),
    "P132-comments": (b"<!-- a -->\n<!-- b --> <Html lang=en>", "text/html"),
    "P132-long-comment": (b"<!-- " + b"a" * HEAD_BYTES + b"--><html>", "text/html"),
    "P132-close-comment": (b"<!--a", "text/html"),
    "P132-xml": (b"<?XML version='1.0'?><a/>", "text/xml"),
    "P132-svg-doctype": (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'>", "image/svg+xml"),
    "P132-utf-16": ("\n<html>".encode("utf-16"), "text/html"),
    "P132-nul": (b"\0\0<html>", "text/html"),
    "P132-body": (b"<body onload=alert(1)>", "text/html"),
    "P132-iframe": (b"<iframe src=//evil>", "text/html"),
    "P132-html-before-pdf": (b"<html>\n" + samples.pdf(), "text/html"),
    "P133-nul": (b"My homework\0", "application/octet-stream"),
    "P133-control": ("Mein süßes\x01".encode("latin-1"), "application/octet-stream"),
    "P133-bell": ("Mein süßes\a".encode("latin-1"), "application/octet-stream"),
    "P133-dos-in-the-middle": ("süß\x1a süß".encode("latin-1"), "application/octet-stream"),
    "P133-utf-16-control": ("My\0homework".encode("utf-16"), "application/octet-stream"),
    "P133-half-surrogate": (b"\xff\xfe\x00\xd8a\0", "application/octet-stream"),
    "P133-unmarked-utf-16": ("My homework".encode("utf-16-le"), "application/octet-stream"),
    "P133-noise": (NOISE, "application/octet-stream"),
    "P133-rtf": (b"{\\rtf1\\ansi My homework}", "text/rtf"),
    "P134-xlsx": (
        samples.zipped(*samples.XLSX_PARTS),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    "P134-pptx": (
        samples.zipped(*samples.PPTX_PARTS),
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    "P134-xlsx-in-odd-order": (
        samples.zipped("a.txt", *samples.XLSX_PARTS),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    "P134-macros": (
        samples.docx("word/vbaProject.bin"),
        "application/vnd.ms-word.document.macroEnabled.12",
    ),
    "P134-macros-elsewhere": (
        samples.docx("customXml/VBAPROJECT.BIN"),
        "application/vnd.ms-word.document.macroEnabled.12",
    ),
    "P134-cut-off": (samples.docx()[:-30], "application/zip"),
    "P136-xls": (samples.ole2("Workbook"), "application/vnd.ms-excel"),
    "P136-xls-at-the-end": (
        samples.ole2("Workbook", directory_last=True),
        "application/vnd.ms-excel",
    ),
    "P136-ppt": (
        samples.ole2("PowerPoint Document", directory_last=True),
        "application/vnd.ms-powerpoint",
    ),
    "P136-doc-macros": (samples.doc("Macros", "VBA", "_VBA_PROJECT"), "application/msword"),
    "P136-doc-macros-in-lower-case": (samples.doc("_vba_project"), "application/msword"),
    "P136-doc-encrypted": (samples.doc(encrypted=True), "application/encrypted"),
    "P136-docx-encrypted": (
        samples.ole2("EncryptionInfo", "EncryptedPackage", directory_last=True),
        "application/encrypted",
    ),
    "P136-avif": (samples.iso_media(b"avif", b"mif1"), "image/avif"),
    "P136-avif-as-heif": (samples.iso_media(b"mif1", b"mif1", b"avif"), "image/avif"),
    "P136-sound": (samples.iso_media(b"M4A ", b"M4A ", b"isom"), "audio/x-m4a"),
    "P136-3gp": (samples.iso_media(b"3gp4", b"3gp4"), "video/3gpp"),
    "P131-jpeg-mark": (b"\xff\xd8\xff", "application/octet-stream"),
    "P131-jpeg-mark-and-junk": (b"\xff\xd8\xff\xe0 alert(1)", "application/octet-stream"),
    "P131-png-mark": (b"\x89PNG\r\n\x1a\n", "application/octet-stream"),
    "P131-gif-mark": (b"GIF89a\0\0\0", "application/octet-stream"),
    "P131-webp-mark": (b"RIFF\0\0\0\0WEBP", "application/octet-stream"),
    "P131-avi-mark": (b"RIFF\0\0\0\0AVI ", "application/octet-stream"),
    "P131-mp4-mark": (samples.box(b"ftyp", b"isom\0\0\0\0"), "application/octet-stream"),
    "P131-quicktime-mark": (samples.box(b"moov", b""), "application/octet-stream"),
    "P131-pdf-mark": (b"%PDF-1.7\n\xe4\xf6\xfc\0", "application/octet-stream"),
    "P131-pdf-mark-in-a-line": (b"\0 %PDF-1.7\n1 0 obj\n", "application/octet-stream"),
    "P131-zip-mark": (b"PK\x03\x04", "application/zip"),
    "P131-ole2-mark": (bytes.fromhex("d0cf11e0a1b11ae1"), "application/x-ole-storage"),
    "P144-pdf": (b"", "application/x-empty"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_not_allowed_is_refused_by_its_real_type(row: str) -> None:
    content, detected = REFUSED[row]
    with pytest.raises(FileTypeNotAllowedError) as refusal:
        inspect(content, filename="photo.jpg")
    assert refusal.value.error_text == f"File type {detected} not allowed"
    assert refusal.value.hint_text


ACCEPTED = {
    "P128-pdf": (samples.pdf(), "application/pdf"),
    "P131-gif-javascript": (b"GIF89a=1;alert(1)//", "text/plain"),
    "F25-pdf-mark": (b"How files begin:\n%PDF-1.7 is one of the marks.\n", "text/plain"),
    "F25-pdf-first": (b"%PDF-1.4 is what they begin with.\n" * 300, "text/plain"),
    "F25-gif-mark": (b"GIF89a, GIF87a: the marks of GIF.\n", "text/plain"),
    "F25-many-marks": (b"PK\nRIFF AVI LIST\nMZ\nID3\nBM\n%!PS\n", "text/plain"),
    "F25-bmp-mark": (b"BMP File Specification", "text/plain"),
    "F25-sound-marks": (b"ID3 is easy to detect, .snd too", "text/plain"),
    "F25-avi-mark": (b"RIFF as AVI container", "text/plain"),
    "F25-python": (b"GIFTS = ['book']\n", "text/plain"),
    "F25-pbm-mark": (b"P1 - Mobile Touch - Europe + Australia", "text/plain"),
    "F25-fake-pdf": (b"%PDF-1.4\nhere is a bad pdf file\n.][;[];;.,", "text/plain"),
    "F25-mark-in-utf-16": ("%PDF-1.7 1 0 obj".encode("utf-16"), "text/plain"),
    "F25-jpeg-mark-in-utf-8": ("ÿØÿà begins a JPEG".encode(), "text/plain"),
    "F34-python": (b"#!/opt/ash/venv/bin/python\nprint(1)\n", "text/plain"),
    "F34-node": (b"#!/home/fish/.nvm/node\n", "text/plain"),
    "F34-perl": (b"#!/usr/local/zsh-tools/perl -w\n", "text/plain"),
    "F34-awk": (b"#!/srv/bash/awk -f\n", "text/plain"),
    "F34-env": (b"#!/usr/bin/env -S python3 -u\n", "text/plain"),
    "P133-control-in-utf-8": (b"My homework\x01\x7f\x1b[1m", "text/plain"),
    "P133-escape-in-latin-1": ("\x1b[1msüß\f\x1a".encode("latin-1"), "text/plain"),
    "P131-jpeg-php": (samples.jpeg() + b"<?php system($_GET[0]); ?>", "image/jpeg"),
    "P132-html-in-the-middle": (b"In HTML, <html> opens a page.\n", "text/plain"),
    "P132-only-comment": (b"<!-- my notes -->\n# Title\n", "text/plain"),
    "P132-longer-word": (b"<header.h> is a C header, <html-like> text", "text/plain"),
    "P132-less-than": (b"<3 biology. a<b, <htmlish>", "text/plain"),
    "P133-python": (samples.CALCULATOR.encode(), "text/plain"),
    "P133-utf-8": ("Hausaufgabe: süß 😀\n".encode(), "text/plain"),
    "P133-cut-character": (("a" + "😀" * HEAD_BYTES).encode(), "text/plain"),
    "P133-latin-1": ("Hausaufgabe: süß\n".encode("latin-1"), "text/plain"),
    "P133-cp1251": ("Домашнее задание\n".encode("cp1251"), "text/plain"),
    "P133-shift-jis": ("宿題です\n".encode("shift-jis"), "text/plain"),
    "P133-utf-16-le": (b"\xff\xfe" + "süß 😀\n".encode("utf-16-le") * 5000, "text/plain"),
    "P133-utf-16-be": (b"\xfe\xff" + "süß 😀\n".encode("utf-16-be"), "text/plain"),
    "P133-dos": (b"My homework\r\n\x1a", "text/plain"),
    "P133-json": (b'{"answer": 42}', "text/plain"),
    "P133-csv": (b"a;b\n1;2\n", "text/plain"),
    "P133-c": (b"#include <stdio.h>\nint main(void) { return 0; }\n", "text/plain"),
    "P133-blank": (b"\n", "text/plain"),
    "P133-box-names-in-prose": (b"The wide moov mdat ftypisom", "text/plain"),
    "P134-odd-order": (samples.zipped(*samples.DOCX_PARTS[::-1]), DOCX.media_type),
    "P134-numbered-part": (
        samples.zipped("[Content_Types].xml", "_rels/.rels", "word/document2.xml"),
        DOCX.media_type,
    ),
    "P134-zip64": (samples.as_zip64(samples.docx()), DOCX.media_type),
    "P134-zip64-large": (samples.as_zip64(samples.docx(stored=bytes(2 * MIB))), DOCX.media_type),
    "P134-large": (samples.docx(stored=bytes(2 * MIB)), DOCX.media_type),
    "P136-doc-directory-last": (samples.doc(directory_last=True), WORD.media_type),
    "P136-pdf-after-lines": (samples.pdf(before=b"\r\n" * 20), "application/pdf"),
    "P136-pdf-after-mark": (samples.pdf(before=b"\xef\xbb\xbf"), "application/pdf"),
    "P136-pdf-after-junk": (samples.pdf(before=b"\x01" * 999 + b"\n"), "application/pdf"),
    "P136-pdf-after-a-form": (
        samples.pdf(before=b"--x\r\nContent-Type: application/pdf\r\n\r\n"),
        "application/pdf",
    ),
    "P136-pdf-after-a-printer": (
        samples.pdf(before=b"\x1b%-12345X@PJL\r\n@PJL ENTER LANGUAGE=PDF\r\n"),
        "application/pdf",
    ),
    "P136-pdf-without-objects-at-first": (
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" + b"%" * 70_000 + b"\nstartxref\n0\n%%EOF",
        "application/pdf",
    ),
    "P136-jpeg-with-fill": (b"\xff\xd8\xff" + samples.jpeg()[2:], "image/jpeg"),
    "P136-jpeg-with-large-exif": (
        b"\xff\xd8\xff\xe1\xff\xff" + bytes(65_533) + samples.jpeg()[2:],
        "image/jpeg",
    ),
    "P136-jpeg-cut-off": (samples.jpeg()[:-40], "image/jpeg"),
    "P136-gif-without-colours": (
        b"GIF87a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\x80\0\0\0\xff\xff\xff\x02\x02D\1\0;",
        "image/gif",
    ),
    "P136-gif-with-extension": (
        b"GIF89a\x01\0\x01\0\xf7\0\0" + bytes(768) + b"!\xf9\4\0\0\0\0\0,",
        "image/gif",
    ),
    "P136-gif-with-comment": (b"GIF89a\x01\0\x01\0\0\0\0!\xfe\4abcd\0;", "image/gif"),
    "P136-pdf-in-text-characters": (b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n", "application/pdf"),
    "P136-mp42": (samples.iso_media(b"mp42"), "video/mp4"),
    "P136-avc1": (samples.iso_media(b"avc1"), "video/mp4"),
    "P136-m4v": (samples.iso_media(b"M4V "), "video/mp4"),
    "P136-camera": (samples.iso_media(b"MSNV"), "video/mp4"),
    "P136-old-quicktime": (
        samples.box(b"wide", b"") + samples.box(b"mdat", NOISE),
        "video/quicktime",
    ),
    "P136-heix": (samples.iso_media(b"heix", b"mif1"), "image/heic"),
    "P136-hevc": (samples.iso_media(b"hevc", b"msf1"), "image/heic"),
    "P136-heic-as-mif1": (samples.iso_media(b"mif1", b"mif1", b"heic"), "image/heic"),
    "P136-msf1": (samples.iso_media(b"msf1"), "image/heif"),
    "P144-txt": (b"", "text/plain"),
}


@pytest.mark.parametrize("row", ACCEPTED)
def test_what_is_allowed_passes_under_its_real_type(row: str) -> None:
    content, media_type = ACCEPTED[row]
    assert inspect(content, filename="notes.txt").media_type == media_type


@pytest.mark.parametrize("filename", ["a.txt", "notes", "calculator.py", "README.md", ""])
def test_an_empty_text_file_is_text(filename: str) -> None:
    assert inspect(b"", filename=filename) == TEXT


@pytest.mark.parametrize("filename", ["a.pdf", "IMG_1.HEIC", "a.docx", "a.zip", "a.xlsx"])
def test_an_empty_file_of_any_other_name_was_never_downloaded(filename: str) -> None:
    with pytest.raises(FileTypeNotAllowedError) as refusal:
        detect_type(b"", filename=filename)
    assert "cloud" in str(refusal.value.hint_text)


def test_binary_that_libmagic_calls_text_is_refused_by_its_head() -> None:
    with pytest.raises(FileTypeNotAllowedError):
        detect_type(b"\x7fELF" + bytes(60), filename="P130.txt")


def test_the_hint_for_a_web_page_says_what_to_send_instead() -> None:
    with pytest.raises(FileTypeNotAllowedError) as refusal:
        detect_type(b"<html>", filename="index.html")
    assert "send a PDF or plain text" in str(refusal.value.hint_text)


def verdict(content: bytes, cuts: list[int]) -> str:
    try:
        file_type = detect_type(content[:HEAD_BYTES], filename="file")
        check = begin_check(file_type, content[:HEAD_BYTES])
        places = sorted({HEAD_BYTES, len(content), *(HEAD_BYTES + cut for cut in cuts)})
        for start, end in pairwise(places):
            check.feed(content[start:end])
        check.finish()
    except (FileTypeNotAllowedError, FileExpandsTooLargeError) as refusal:
        return refusal.error_text
    return file_type.media_type


SEEDS = [
    *GOOD.values(),
    *(samples.as_zip64(samples.docx()), written_zip(docx_entries(Entry("a", size_behind=True)))),
    *(compound(Stream("WordDocument"), Stream("EncryptedPackage")), compound(Stream("Workbook"))),
    *(file for file, _ in REFUSED.values()),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sample with a few bytes overwritten, moved past the head or cut off."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=8))
    padding = draw(st.sampled_from([0, HEAD_BYTES]))
    return bytes(content[: draw(st.integers(0, 200)) or None]) + bytes(padding) + bytes(content)


@settings(deadline=None, max_examples=300)
@given(content=st.one_of(st.binary(max_size=600), damaged()), cuts=st.lists(st.integers(0, 9000)))
def test_any_bytes_get_a_type_or_a_named_refusal_however_cut(
    content: bytes, cuts: list[int]
) -> None:
    assert verdict(content, cuts) == verdict(content, [])


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_prose_is_text(encoding: str, text: str) -> None:
    assert inspect(f"My homework: {text}\n".encode(encoding)) == TEXT


def test_types_are_told_from_many_threads_at_once() -> None:
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(inspect, [samples.jpeg(), samples.avi(), samples.doc()] * 50)
    assert [file_type.extension for file_type in found] == ["jpg", "avi", "doc"] * 50


def test_loading_libmagic_leaves_the_environment_as_it_was() -> None:
    program = (
        "import os; before = dict(os.environ)\n"
        "from app.files.content_type import detect_type\n"
        "detect_type(bytes.fromhex('ffd8ffe000104a464946000101'), filename='')\n"
        "assert before == dict(os.environ)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=root)  # noqa: S603
