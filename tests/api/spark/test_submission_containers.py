"""Files that say of themselves what is not so, and real ones that few programs write, through the
door (DESIGN R30, FAULTS G).
"""

from collections.abc import Callable

import pytest

from app.database import Sessions
from app.settings import Settings
from tests.support import samples
from tests.support.bodies import Part
from tests.support.containers import (
    Entry,
    Stream,
    compound,
    docx,
    docx_entries,
    relationship,
    types,
    written_zip,
)
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import object_keys, uploads_of

MIB = 1024 * 1024
MACROS = "application/vnd.ms-office.vbaProject"
TAKEN = {
    "F22": (written_zip(Entry(name.replace("/", "\\")) for name in samples.DOCX_PARTS), "a.docx"),
    "F23-film": (samples.iso_media(b"pana", b"isom", b"mp42"), "a.mp4"),
    "F23-picture": (samples.iso_media(b"mif2", b"mif1", b"heic"), "a.heic"),
    "F25": (b"How files begin:\n%PDF-1.7 is one of the marks.\n", "notes.txt"),
    "F34": (b"#!/opt/ash/venv/bin/python\nprint(1)\n", "a.py"),
    "R30-doc": (compound(Stream("WordDocument"), filler=300), "a.doc"),
}


@pytest.mark.parametrize("row", TAKEN)
async def test_homework_is_taken_as_it_is(
    spark: Spark, student: SignedIn, assignment: Assignment, row: str
) -> None:
    content, name = TAKEN[row]
    answer = await spark.submit_form(
        submission(student, assignment), Part("f", content, filename=name)
    )
    assert answer.status_code == 200, answer.text
    assert [file["name"] for file in answer.json()["files"]] == [name]


REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "R30-lying-size": (
        lambda: written_zip(docx_entries(Entry("a.bmp", content=bytes(300 * MIB), listed_size=13))),
        413,
        "file_expands_too_large",
    ),
    "R30-encrypted": (
        lambda: written_zip(docx_entries(Entry("a.xml", flags=1))),
        400,
        "file_type_not_allowed",
    ),
    "R30-escaping": (lambda: docx(**{"..__..__x": b""}), 400, "file_type_not_allowed"),
    "R30-jpeg-mark": (lambda: b"\xff\xd8\xff", 400, "file_type_not_allowed"),
    "R30-png-mark": (lambda: b"\x89PNG\r\n\x1a\n", 400, "file_type_not_allowed"),
    "F27": (
        lambda: compound(Stream("WordDocument"), Stream("EncryptedPackage")),
        400,
        "file_type_not_allowed",
    ),
    "L4-macros": (
        lambda: docx(**{"[Content_Types]_DOT_xml": types(notes=MACROS)}),
        400,
        "file_type_not_allowed",
    ),
    "L4-template": (
        lambda: docx(
            word___rels__settings_DOT_xml_DOT_rels=relationship(
                "attachedTemplate", "https://evil.example/a.dotm"
            )
        ),
        400,
        "file_type_not_allowed",
    ),
}


@pytest.mark.parametrize("row", REFUSED)
async def test_what_only_claims_to_be_homework_is_refused_and_not_kept(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    row: str,
) -> None:
    make, status, code = REFUSED[row]
    answer = await spark.submit_form(
        submission(student, assignment), Part("f", make(), filename="essay.docx")
    )
    assert_problem(answer, status, code)
    assert await uploads_of(sessions, student.user_id) == []
    assert await object_keys(settings, student.user_id) == []


@pytest.mark.parametrize("row", ["R30-repeated"])
async def test_what_was_taken_is_answered_again_without_being_judged_again(
    spark: Spark, student: SignedIn, assignment: Assignment, row: str
) -> None:
    payload = submission(student, assignment)
    part = Part("f", TAKEN["F25"][0], filename="notes.txt")
    first = await spark.submit_form(payload, part)
    again = await spark.submit_form(payload, part)
    assert again.json()["completion_id"] == first.json()["completion_id"]
