"""DESIGN R30a: what an operator may allow beside the contract's list, through the door."""

import struct
from collections.abc import AsyncIterator

import httpx
import pytest

from app.database import Sessions
from app.files.file_types import FAMILIES
from app.settings import DEFAULT_FAMILIES, FileFamily, Settings, SettingsError, load_settings
from tests.support import samples
from tests.support.bodies import Part
from tests.support.containers import opendocument, package, types
from tests.support.problems import assert_problem
from tests.support.running import run_app
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import blocks_of

OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
FRAME = b"\xff\xfb\x90\x44"


def mp3(*, tag: int = 0) -> bytes:
    sizes = bytes((tag >> shift) & 0x7F for shift in (21, 14, 7, 0))
    before = b"ID3\4\0\0" + sizes + bytes(tag) if tag else b""
    return before + (FRAME + bytes(413)) * 3


def wav() -> bytes:
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    return samples.riff(b"WAVE", form + b"data" + struct.pack("<I", 8) + bytes(8))


def webm(*codecs: bytes) -> bytes:
    """A head as a browser's recorder writes it: its type, and one track for each codec."""
    tracks = b"".join(b"\xae\x90\xd7\x81\x01\x86" + bytes([0x80 | len(c)]) + c for c in codecs)
    return b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67" + tracks + bytes(100)


def parts(folder: str, main: str) -> bytes:
    names = ("[Content_Types].xml", "_rels/.rels", f"{folder}/{main}.xml")
    return samples.zipped(*names)


TAKEN: dict[str, tuple[bytes, str, FileFamily]] = {
    "R30a-pptx": (parts("ppt", "presentation"), "a.pptx", "presentations"),
    "R30a-pptx-told-by-its-name": (
        samples.zipped(*(f"docProps/{n:0>200}" for n in range(60)), *samples.PPTX_PARTS),
        "a.PPTX",
        "presentations",
    ),
    "R30a-odp": (opendocument(f"{OPEN_DOCUMENT}presentation"), "a.odp", "presentations"),
    "R30a-xlsx": (parts("xl", "workbook"), "a.xlsx", "spreadsheets"),
    "R30a-xlsx-behind-backslashes": (
        samples.zipped("[Content_Types].xml", "_rels\\.rels", "xl\\workbook.xml"),
        "a.xlsx",
        "spreadsheets",
    ),
    "R30a-ods": (opendocument(f"{OPEN_DOCUMENT}spreadsheet"), "a.ods", "spreadsheets"),
    "R30a-odt": (opendocument(f"{OPEN_DOCUMENT}text"), "a.odt", "opendocument"),
    "R30a-odt-with-empty-libraries": (
        opendocument(f"{OPEN_DOCUMENT}text", "Basic/script-lc.xml", "Basic/Standard/script-lb.xml"),
        "a.odt",
        "opendocument",
    ),
    "R30a-m4a": (samples.iso_media(b"M4A ", b"M4A ", b"isom"), "a.m4a", "audio"),
    "R30a-mp3": (mp3(), "a.mp3", "audio"),
    "R30a-mp3-with-picture": (mp3(tag=70_000), "a.mp3", "audio"),
    "R30a-wav": (wav(), "a.wav", "audio"),
    "R30a-wav-of-broadcasters": (b"RF64" + wav()[4:], "a.wav", "audio"),
    "R30a-webm": (webm(b"A_OPUS"), "a.webm", "audio"),
}
MACRO_MAINS = {
    "pptx": (
        "ppt/presentation",
        "application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml",
    ),
    "xlsx": ("xl/workbook", "application/vnd.ms-excel.sheet.macroEnabled.main+xml"),
}


def with_macros(kind: str) -> bytes:
    main, media_type = MACRO_MAINS[kind]
    content = {"[Content_Types].xml": types(a=media_type), "_rels/.rels": b"<x/>"}
    return package(content | {f"{main}.xml": b"<x/>"})


REFUSED = {
    "R30a-pptm": (with_macros("pptx"), "a.pptx", "without macros"),
    "R30a-xlsm": (with_macros("xlsx"), "a.xlsx", "without macros"),
    "R30a-xlsm-with-old-macros": (
        package(
            {
                "[Content_Types].xml": types(a="application/vnd.ms-excel.macrosheet+xml"),
                "xl/workbook.xml": b"<x/>",
            }
        ),
        "a.xlsx",
        "without macros",
    ),
    "R30a-xlsb": (samples.zipped("[Content_Types].xml", "xl/workbook.bin"), "a.xlsx", "Allowed"),
    "R30a-odt-with-basic": (
        opendocument(f"{OPEN_DOCUMENT}text", "Basic/Standard/Module1.xml"),
        "a.odt",
        "without macros",
    ),
    "R30a-odt-with-python": (
        opendocument(f"{OPEN_DOCUMENT}text", "Scripts/python/run.py"),
        "a.odt",
        "without macros",
    ),
    "R30a-ods-with-password": (
        opendocument(
            f"{OPEN_DOCUMENT}spreadsheet",
            manifest=b'<m:manifest xmlns:m="x"><m:encryption-data/></m:manifest>',
        ),
        "a.ods",
        "without a password",
    ),
    "R30a-drawing": (opendocument(f"{OPEN_DOCUMENT}graphics"), "a.odt", "Allowed"),
    "R30a-film": (webm(b"V_VP9", b"A_OPUS"), "a.webm", "Allowed"),
    "R30a-tag-alone": (b"ID3\4\0\0\0\0\0\12" + bytes(40), "a.mp3", "Allowed"),
    "R30a-wave-alone": (samples.riff(b"WAVE", bytes(20)), "a.wav", "Allowed"),
}


@pytest.fixture(scope="module")
async def generous(settings: Settings, spark: Spark) -> AsyncIterator[Spark]:
    """The sender, at a service that takes every family."""
    changes = {"allowed_file_types": tuple(FAMILIES)}
    async with (
        run_app(settings.model_copy(update=changes)) as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as browser,
    ):
        yield Spark(browser, spark.sso_secret, spark.webhook_secret)


@pytest.mark.parametrize("row", TAKEN)
async def test_a_family_that_is_allowed_is_taken_and_shown_as_a_document(
    generous: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, row: str
) -> None:
    content, name, family = TAKEN[row]
    answer = await generous.submit_form(
        submission(student, assignment), Part("f", content, filename=name)
    )
    assert answer.status_code == 200, answer.text
    [file] = answer.json()["files"]
    assert file["name"] == name
    assert file["content_type"] in {known.media_type for known in FAMILIES[family]}
    [_, block] = await blocks_of(sessions, student.user_id)
    assert (block.block_type, block.content["filename"]) == ("document", name)


@pytest.mark.parametrize("row", REFUSED)
async def test_macros_passwords_and_marks_are_refused_in_every_family(
    generous: Spark, student: SignedIn, assignment: Assignment, row: str
) -> None:
    content, name, hint = REFUSED[row]
    answer = await generous.submit_form(
        submission(student, assignment), Part("f", content, filename=name)
    )
    assert_problem(answer, 400, "file_type_not_allowed")
    assert hint in answer.json()["hint"]


@pytest.mark.parametrize("row", TAKEN)
async def test_what_was_not_asked_for_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, row: str
) -> None:
    content, name, _ = TAKEN[row]
    answer = await spark.submit_form(
        submission(student, assignment), Part("f", content, filename=name)
    )
    assert_problem(answer, 400, "file_type_not_allowed")


def test_the_families_of_the_contract_are_the_default() -> None:
    assert DEFAULT_FAMILIES == ("images", "videos", "documents")


@pytest.mark.parametrize("value", ["images,movies", "Images", ",", "*", "pdf,docx"])
def test_an_unknown_family_ends_the_start_with_the_name_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ALLOWED_FILE_TYPES", value)
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    [sentence] = str(refusal.value).splitlines()
    assert sentence.startswith("ALLOWED_FILE_TYPES: ")


def test_families_are_read_from_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_FILE_TYPES", "documents, audio")
    assert load_settings().allowed_file_types == ("documents", "audio")
