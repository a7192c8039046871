"""Rows P133 to P136 of the fault list: what only the whole file tells, however it was cut."""

import tracemalloc
from collections.abc import Callable

import pytest

from app.errors import FileExpandsTooLargeError, FileTypeNotAllowedError
from app.files.content_type import HEAD_BYTES, begin_check
from app.files.file_types import DOCX, MACROS_HINT, TEXT, WORD, FileType
from tests.support import samples

MIB = 1024 * 1024


def check(file_type: FileType, content: bytes, *, size: int = 65_536) -> None:
    """Shows all of the content to a check, in pieces of this size after the head."""
    watching = begin_check(file_type, content[:HEAD_BYTES])
    for start in range(HEAD_BYTES, len(content), size):
        watching.feed(content[start : start + size])
    watching.finish()


@pytest.mark.parametrize(
    "later", [b"\0", b"\xfc\x01", b"\x01 \xfc", b"\xfc\x1a "], ids=lambda later: f"P133-{later!r}"
)
@pytest.mark.parametrize("size", [1, 3, 65_536])
def test_text_that_turns_binary_after_the_head_is_refused(later: bytes, size: int) -> None:
    with pytest.raises(FileTypeNotAllowedError):
        check(TEXT, b"a" * (HEAD_BYTES + 10) + later, size=size)


BEGINNING = b"a" * HEAD_BYTES
TEXTS = {
    "another encoding": [b"s\xfc", b"\xdf", b" s\xfc\xdf"],
    "the mark of DOS twice": [b"s\xfc\xdf\x1a", b"\x1a"],
    "nothing behind the mark": [b"s\xfc\xdf\x1a", b""],
    "a control character in UTF-8": [b"\x01 caf\xc3", b"\xa9"],
}
NO_TEXTS = {
    "it ends inside a character": [b"\x01 caf\xc3"],
    "it goes on behind the mark": [b"s\xfc\xdf\x1a", b"", b"s\xfc\xdf"],
}


@pytest.mark.parametrize("pieces", TEXTS.values(), ids=TEXTS)
def test_p133_text_stays_text_to_its_end(pieces: list[bytes]) -> None:
    show(TEXT, pieces)


@pytest.mark.parametrize("pieces", NO_TEXTS.values(), ids=NO_TEXTS)
def test_p133_text_may_end_as_what_is_none(pieces: list[bytes]) -> None:
    with pytest.raises(FileTypeNotAllowedError):
        show(TEXT, pieces)


def show(file_type: FileType, pieces: list[bytes]) -> None:
    """Behind a head that says nothing."""
    watching = begin_check(file_type, BEGINNING)
    for piece in pieces:
        watching.feed(piece)
    watching.finish()


REST_OF_DOCX = len(samples.docx(stored=b"a")) - 1
GOOD = {
    "P133-utf-8": (TEXT, ("a" + "😀" * HEAD_BYTES).encode()),
    "P133-utf-16": (TEXT, ("süß 😀" * HEAD_BYTES).encode("utf-16")),
    "P136-doc": (WORD, samples.doc(directory_last=True)),
    "P136-docx": (DOCX, samples.docx(stored=bytes(5000))),
    "P136-docx-of-2-MiB": (DOCX, samples.docx(stored=bytes(2 * MIB))),
    "P136-docx-of-exactly-1-MiB": (DOCX, samples.docx(stored=bytes(MIB - REST_OF_DOCX))),
    "P136-docx-zip64": (DOCX, samples.as_zip64(samples.docx(stored=bytes(2 * MIB)))),
}
BAD = {
    "P133-utf-16": (TEXT, ("süß" * HEAD_BYTES + "\0").encode("utf-16")),
    "P134-zip": (DOCX, samples.zipped("a.txt")),
    "P134-macros": (DOCX, samples.docx("word/vbaProject.bin")),
    "P136-xls": (WORD, samples.ole2("Workbook", directory_last=True)),
    "P136-doc-macros": (WORD, samples.doc("_VBA_PROJECT", directory_last=True)),
}


@pytest.mark.parametrize("size", [127, 4096, 65_536, 4 * MIB])
@pytest.mark.parametrize("row", GOOD)
def test_good_files_pass_however_they_are_cut(row: str, size: int) -> None:
    file_type, content = GOOD[row]
    check(file_type, content, size=size)


@pytest.mark.parametrize("size", [1, 7, 127, 4096, 65_536])
@pytest.mark.parametrize("row", BAD)
def test_bad_files_are_refused_however_they_are_cut(row: str, size: int) -> None:
    file_type, content = BAD[row]
    with pytest.raises(FileTypeNotAllowedError):
        check(file_type, content, size=size)


def test_a_refusal_says_what_is_wrong_rather_than_what_is_allowed() -> None:
    with pytest.raises(FileTypeNotAllowedError) as refused:
        check(WORD, samples.doc("_VBA_PROJECT", directory_last=True))
    assert refused.value.hint_text == MACROS_HINT


def test_of_text_nothing_is_left_to_do() -> None:
    assert not begin_check(TEXT, BEGINNING).go_on()


EXPANDING: dict[str, Callable[[], bytes]] = {
    "P135-200-MB": lambda: samples.zip_of_zeros(*samples.DOCX_PARTS, size=200_000_000),
    "P135-201-MiB": lambda: samples.zip_of_zeros(
        *samples.DOCX_PARTS, size=201 * MIB, stored=bytes(3 * MIB)
    ),
    "P135-10001-entries": lambda: samples.docx(*map(str, range(9_996))),
    "P135-directory-of-2-MiB": lambda: samples.docx(*(f"{n:0>200}" for n in range(9_000))),
}


@pytest.mark.parametrize("row", EXPANDING)
def test_a_document_that_unpacks_to_too_much_is_refused(row: str) -> None:
    with pytest.raises(FileExpandsTooLargeError):
        check(DOCX, EXPANDING[row]())


def test_a_document_at_the_limits_passes() -> None:
    check(DOCX, samples.docx(*map(str, range(9_995))))
    check(DOCX, samples.zip_of_zeros(*samples.DOCX_PARTS, size=19 * MIB))


def test_memory_stays_flat_while_a_large_document_passes() -> None:
    tracemalloc.start()
    check = begin_check(DOCX, samples.docx())
    for _ in range(500):
        check.feed(bytes(65_536))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * MIB
