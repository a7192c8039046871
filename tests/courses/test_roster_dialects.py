"""Roster files as spreadsheets and school systems really write them (DESIGN R35, R46)."""

import zipfile
from io import BytesIO

import pytest

from app.database import Sessions
from tests.support.problems import assert_problem
from tests.support.roster import Course, new_student, send, sync_course
from tests.support.roster import entry as listed
from tests.support.roster import roster as list_of
from tests.support.roster_files import (
    ENROLLMENTS,
    USERS,
    Importer,
    active_in,
    bundle,
    codes,
    counted,
    linked,
    table,
    takes_part,
    user,
)
from tests.support.spark import Spark

HEADER = "sourcedId,email,givenName,familyName,role"


def written(*rows: str, separator: str = ",", end: str = "\r\n") -> str:
    return "".join(row.replace(",", separator) + end for row in (HEADER, *rows))


@pytest.mark.parametrize("row", ["F29"])
@pytest.mark.parametrize(
    ("separator", "before", "encoding", "end"),
    [
        pytest.param(";", "", "utf-8-sig", "\r\n", id="Excel, CSV UTF-8, Russian or German"),
        pytest.param("\t", "", "utf-16", "\r\n", id="Excel, Unicode text"),
        pytest.param(",", "", "utf-8", "\r", id="Excel, CSV Macintosh"),
        pytest.param(",", "", "utf-8-sig", "\r\n", id="Excel, CSV UTF-8, English"),
        pytest.param(";", "sep=;\r\n", "utf-8", "\r\n", id="a line for Excel"),
        pytest.param(",", "SEP=,\n", "utf-8-sig", "\n", id="a line for Excel behind a mark"),
        pytest.param("\t", "sep=\t\r\n", "utf-16", "\r\n", id="a line for Excel in UTF-16"),
        pytest.param(",", '"sep=,",,,,\r\n', "utf-8", "\r\n", id="that line saved as a cell"),
        pytest.param("\t", "", "utf-8", "\r\n", id="PowerSchool, tab"),
        pytest.param(";", "", "utf-8", "\n", id="LibreOffice, semicolon"),
        pytest.param(",", "\r\n\r\n", "utf-8", "\r\n", id="blank lines first"),
    ],
)
async def test_a_file_is_read_as_spreadsheets_write_it(
    importer: Importer,
    separator: str,
    before: str,
    encoding: str,
    end: str,
    row: str,
) -> None:
    one, two = new_student(), new_student()
    text = before + written(
        f"{one},{one}@example.com,Zoë,Ünal,student",
        f'"{two}",,"Ada","Example",student',
        separator=separator,
        end=end,
    )
    assert counted(await importer.check(text.encode(encoding))) == {"create": 2}


async def test_utf_16_is_read_in_either_order_of_bytes(importer: Importer) -> None:
    text = "\ufeff" + written(f"{new_student()},,Ada,Example,student")
    for encoding in ("utf-16-le", "utf-16-be"):
        assert counted(await importer.check(text.encode(encoding))) == {"create": 1}


async def test_half_a_character_costs_its_row_alone_in_utf_16_too(importer: Importer) -> None:
    text = "\ufeff" + written(
        f"{new_student()},,A\ud800da,Example,student", f"{new_student()},,Ada,Example,student"
    )
    report = await importer.check(text.encode("utf-16-le", "surrogatepass"))
    assert (counted(report), codes(report)) == ({"create": 1, "error": 1}, ["encoding_invalid"])


@pytest.mark.parametrize("row", ["F29 L6"])
@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param("{} ", id="a blank behind"),
        pytest.param(" {}", id="a blank after the comma"),
        pytest.param("{}\u00a0", id="a blank that does not break, from Excel"),
        pytest.param("{}\u3000", id="an ideographic blank"),
        pytest.param("\ufeff{}", id="a mark from files put together"),
        pytest.param("\u200b{}\u200b", id="zero width, copied from a page"),
        pytest.param("\u200e{}\u200f", id="direction marks"),
        pytest.param("\t{}", id="a tab that keeps it text"),
        pytest.param("\x1f{}", id="a unit separator that keeps it text"),
        pytest.param('="{}"', id="quotes that keep it text"),
        pytest.param('"=""{}"""', id="quotes that keep it text, quoted"),
        pytest.param(' "{}"', id="quotes after a blank"),
    ],
)
async def test_what_surrounds_an_id_makes_no_twin(
    importer: Importer, spark: Spark, sessions: Sessions, spelling: str, row: str
) -> None:
    course = await sync_course(spark)
    student = new_student()
    await send(spark, list_of(course, listed(student)))
    text = written(f"{spelling.format(student)},,Ada,Example,student")
    assert counted(await importer.apply(text.encode())) == {"unchanged": 1}
    enrolled = await importer.apply(
        bundle(
            users=table(USERS, user(student)),
            enrollments=(
                ",".join(ENROLLMENTS)
                + "\n"
                + ",".join(
                    ("1", "", *(spelling.format(x) for x in _ids(course, student)), "student")
                )
            ).encode(),
        )
    )
    assert counted(enrolled, "enrollments") == {"unchanged": 1}
    assert await active_in(sessions, course) == {student}


def _ids(course: Course, student: str) -> tuple[str, str, str]:
    return course.spark_course_id, course.spark_org_id, student


@pytest.mark.parametrize("row", ["R46"])
@pytest.mark.parametrize("inside", ["\x1b[2J", "\u202e", "\u200f", "\x7f", "\x85"])
async def test_an_id_with_a_control_or_bidirectional_character_costs_its_row_alone(
    importer: Importer, sessions: Sessions, inside: str, row: str
) -> None:
    good, bad = new_student(), f"a{inside}b"
    text = written(f"{bad},,Eve,Example,student", f"{good},,Ada,Example,student")
    report = await importer.apply(text.encode())
    assert (counted(report), codes(report)) == ({"create": 1, "error": 1}, ["id_invalid"])
    assert set(await linked(sessions, good, bad)) == {good}


async def test_headers_are_read_whatever_surrounds_them(importer: Importer) -> None:
    text = '\u00a0SourcedID ,="email",givenName\u200b,"family\r\nname",Role,,\r\n'
    text += f"{new_student()},,Ada,x,student,,\r\n"
    assert counted(await importer.check(text.encode())) == {"create": 1}


async def test_rows_that_were_emptied_in_a_spreadsheet_are_none(importer: Importer) -> None:
    text = written(f"{new_student()},,Ada,Example,student", *[",,,,"] * 3000)
    report = await importer.check(text.encode())
    assert (report["rows"], counted(report)) == (1, {"create": 1})


async def test_each_file_of_a_bundle_has_its_own_dialect(
    importer: Importer, spark: Spark, sessions: Sessions
) -> None:
    course = await sync_course(spark)
    students = [new_student() for _ in range(5)]
    await send(spark, list_of(course, *map(listed, students)))
    enrollments = table(ENROLLMENTS, takes_part(course, students[0], status="tobedeleted"))
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (
            (r"export\users.csv", table(USERS, user(students[0])).replace(b",", b";")),
            (r"export\enrollments.csv", enrollments.decode().replace(",", "\t").encode("utf-16")),
            (r"export\manifest.csv", b"sep=;\r\npropertyName;value\r\nfile.enrollments;delta\r\n"),
        ):
            archive.writestr(name, text)
    report = await importer.apply(packed.getvalue().replace(b"export/", b"export\\"))
    assert counted(report, "enrollments") == {"drop": 1}
    assert await active_in(sessions, course) == set(students[1:])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            written("1,,Ada,Example,student", separator="|").encode(), "comma", id="another"
        ),
        pytest.param(b"sep=|\r\na|b", "separator is not read", id="another, named"),
        pytest.param(written("1,,A,B,student").encode("utf-16-le"), "UTF-16", id="UTF-16 unmarked"),
        pytest.param(written("1,,A,B,student").encode("utf-32"), "UTF-16", id="UTF-32"),
        pytest.param(
            b"num\xe9ro;r\xf4le\r\n1;student\r\n", "separated by semicolon", id="other columns"
        ),
        pytest.param(
            written(*["1,,Zo\xeb,B,student"] * 1000).encode("cp1252"), "Windows-1252", id="cp1252"
        ),
        pytest.param(b"\xff\xfe" + HEADER.encode("utf-16-le") + b"\n", "cut off", id="cut off"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_separator_and_encoding(
    importer: Importer, content: bytes, said: str
) -> None:
    problem = assert_problem(await importer.post(content), 400, "roster_file_invalid")
    hint = str(problem["hint"])
    assert said in hint
    for word in ("comma", "semicolon", "tab", "UTF-8", "Windows-1252", "byte order mark"):
        assert word in hint
