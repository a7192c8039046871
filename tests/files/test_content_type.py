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
from app.files.content_type import (
    ALLOWED_TYPES,
    DOCX,
    HEAD_BYTES,
    TEXT,
    WORD,
    FileType,
    begin_check,
    detect_type,
)
from tests.support import samples

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
    assert set(GOOD) == {file_type.media_type for file_type in ALLOWED_TYPES}


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
    "P133-control": (b"My homework\x01", "application/octet-stream"),
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
        "application/zip",
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
    "P136-xls-unseen": (samples.ole2("Workbook", directory_last=True), "application/x-ole-storage"),
    "P136-ppt": (
        samples.ole2("PowerPoint Document", directory_last=True),
        "application/x-ole-storage",
    ),
    "P136-doc-macros": (samples.doc("Macros", "VBA", "_VBA_PROJECT"), "application/msword"),
    "P136-doc-macros-in-lower-case": (samples.doc("_vba_project"), "application/msword"),
    "P136-doc-encrypted": (samples.doc(encrypted=True), "application/encrypted"),
    "P136-docx-encrypted": (
        samples.ole2("EncryptionInfo", "EncryptedPackage", directory_last=True),
        "application/x-ole-storage",
    ),
    "P136-avif": (samples.iso_media(b"avif", b"mif1"), "image/avif"),
    "P136-avif-as-heif": (samples.iso_media(b"mif1", b"mif1", b"avif"), "image/avif"),
    "P136-sound": (samples.iso_media(b"M4A ", b"M4A ", b"isom"), "audio/x-m4a"),
    "P136-3gp": (samples.iso_media(b"3gp4", b"isom"), "video/3gpp"),
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
    "P131-gif-javascript": (b"GIF89a=1;alert(1)//", "image/gif"),
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
    "P136-pdf-after-junk": (samples.pdf(before=b"\x01" * 1000), "application/pdf"),
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


SEEDS = [*GOOD.values(), samples.as_zip64(samples.docx()), *(file for file, _ in REFUSED.values())]


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
