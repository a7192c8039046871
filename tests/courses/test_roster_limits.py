"""One bad roster file stops nobody else (H4): limits refuse it, and nothing of it stays."""

import asyncio
import io
import resource
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, text

from app.api.dependencies import Resources
from app.courses.import_roster import MANY_ROWS
from app.courses.open_roster import MAX_LIST_BYTES, MAX_ROWS, Meter, open_roster
from app.courses.read_roster import MAX_BAD_ROWS, MAX_COLUMNS
from app.database import Sessions
from app.errors import BodyTooLargeError
from app.models import RosterImport, RosterRow
from app.worker import sweep
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.roster import new_student
from tests.support.roster_files import (
    ENROLLMENTS,
    IMPORTS,
    USERS,
    Importer,
    bundle,
    codes,
    counted,
    flat,
    table,
    user,
)
from tests.support.running import Running
from tests.support.stored import eventually
from tests.support.wire import connect

pytestmark = pytest.mark.parametrize("finding", ["H4"])

STALL_SECONDS = 0.25
HEADER = b"sourcedId,role\n"


async def kept(sessions: Sessions) -> tuple[int, int]:
    """Imports and rows."""
    async with sessions() as session, session.begin():
        imports = await session.execute(select(func.count(RosterImport.id)))
        rows = await session.execute(select(func.count(RosterRow.import_id)))
        return imports.scalar_one(), rows.scalar_one()


def list_of_folders(members: int) -> bytes:
    """A zip that is nothing but its list."""
    name = b"folder/"
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", *[0] * 9, len(name), *[0] * 6) + name
    directory = entry * members
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, members % 65536, members % 65536, *[0] * 3)
    return directory + end[:12] + struct.pack("<2IH", len(directory), 0, 0)


async def longest_stall(until: asyncio.Task[object]) -> float:
    """Of the event loop that this test shares with the service."""
    longest, last = 0.0, time.perf_counter()
    while not until.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


async def test_a_zip_of_six_hundred_thousand_members_is_refused_at_once(
    importer: Importer, finding: str
) -> None:
    sent = asyncio.create_task(importer.post(list_of_folders(600_000)))
    stall = await longest_stall(sent)
    problem = assert_problem(await sent, 400, "roster_file_invalid")
    assert f"{MAX_LIST_BYTES:,} bytes" in str(problem["hint"])
    assert stall < patient(STALL_SECONDS)


def with_flipped_bit(method: int) -> bytes:
    """Of what is packed, where checks come last."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name in ("users", "enrollments"):
            archive.writestr(f"{name}.csv", table(USERS, *(user(new_student()) for _ in range(99))))
    content = bytearray(packed.getvalue())
    content[60] ^= 0x10
    return bytes(content)


def changed(place: bytes, offset: int, new: bytes) -> Callable[[], bytes]:
    """A good bundle with other bytes so far behind the last mark `place`."""

    def change() -> bytes:
        content = bundle(users=table(USERS, user("s")), enrollments=table(ENROLLMENTS))
        at = content.rindex(place) + offset
        return content[:at] + new + content[at + len(new) :]

    return change


def with_bad_name() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("users.csv", "enrollments.csv", "\u00e4\u00e4.csv"):
            archive.writestr(name, table(USERS))
    return packed.getvalue().replace("\u00e4".encode(), b"\xff\xff")


LAST, FIRST, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: with_flipped_bit(zipfile.ZIP_DEFLATED), id="deflate, a bit flipped"),
        pytest.param(lambda: with_flipped_bit(zipfile.ZIP_BZIP2), id="bzip2, a bit flipped"),
        pytest.param(lambda: with_flipped_bit(zipfile.ZIP_LZMA), id="LZMA, a bit flipped"),
        pytest.param(with_bad_name, id="a name that is no UTF-8"),
        pytest.param(changed(LAST, 42, b"\xff\xff\xff\x7f"), id="a member beyond the end"),
        pytest.param(changed(LAST, 8, b"\1"), id="encrypted"),
        pytest.param(changed(LAST, 10, b"\x61"), id="an unknown method"),
        pytest.param(changed(LAST, 10, b"\x5d\0"), id="Zstandard"),
        pytest.param(changed(LAST, 6, b"\xff"), id="a version to come"),
        pytest.param(changed(END, 16, b"\xff\xff\xff\xff"), id="a list before the beginning"),
        pytest.param(changed(END, 12, b"\1"), id="a list cut short"),
        pytest.param(changed(FIRST, 26, b"\xff\xff"), id="a name without end"),
    ],
)
async def test_whatever_is_wrong_with_a_zip_is_the_senders_mistake(
    importer: Importer, sessions: Sessions, made: Callable[[], bytes], finding: str
) -> None:
    before = await kept(sessions)
    assert_problem(await importer.post(made()), 400, "roster_file_invalid")
    assert await kept(sessions) == before


async def test_rows_that_cannot_be_read_end_the_reading(
    importer: Importer, sessions: Sessions, finding: str
) -> None:
    """Behind a quote that is never closed every line is one."""
    before = await kept(sessions)
    content = flat(new_student()) + b'"\n' + b"a\n" * 200_000
    problem = assert_problem(await importer.post(content), 400, "roster_file_invalid")
    assert f"{MAX_BAD_ROWS:,} rows" in str(problem["hint"])
    assert await kept(sessions) == before


async def test_a_bad_row_here_and_there_ends_nothing(importer: Importer, finding: str) -> None:
    student = new_student()
    rows = [b"x" * 256 + b",student\n"] * (MAX_BAD_ROWS - 1) + [f"{student},student\n".encode()]
    report = await importer.check(HEADER + b"".join(rows * 2))
    assert counted(report) == {"create": 1, "error": 2 * MAX_BAD_ROWS - 1}  # one is repeated


async def test_a_record_has_an_end(importer: Importer, finding: str) -> None:
    """Over however many lines: the next one starts anew."""
    report = await importer.check(flat(new_student()) + b'"a\n",' * 53_000)
    assert counted(report)["create"] == 1
    assert codes(report)[:2] == ["quotes_invalid", "columns_invalid"]


async def test_a_header_has_so_many_columns(importer: Importer, finding: str) -> None:
    content = b"sourcedId,role" + b",x" * MAX_COLUMNS
    problem = assert_problem(await importer.post(content), 400, "roster_file_invalid")
    assert f"{MAX_COLUMNS:,} columns" in str(problem["hint"])


@pytest.mark.soak
def test_a_file_has_so_many_rows(finding: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(HEADER + b"a,\n" * (MAX_ROWS + 1))
        file.flush()
        with open_roster(Path(file.name)) as opened:
            rows = opened.rows(Meter(100_000_000))
            for _ in range(MAX_ROWS):
                next(rows)
            with pytest.raises(BodyTooLargeError) as refused:
                next(rows)
    assert f"{MAX_ROWS:,} rows" in str(refused.value.hint_text)


@pytest.mark.parametrize("students", [60, 3000], ids="P266-{}".format)
async def test_a_full_disk_is_no_mistake_of_the_sender(
    importer: Importer, finding: str, students: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        answer = await importer.post(flat(*[new_student()] * students))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_problem(answer, 503, "overloaded")


# ---------------------------------------------------------------------------- what was cut off


async def test_a_client_that_leaves_ends_its_import(
    server: Running, sessions: Sessions, main_app: dict[str, str], finding: str
) -> None:
    before = await kept(sessions)
    content = flat(*(f"left_{number}" for number in range(60_000)))
    head = (
        f"POST {IMPORTS}?apply=true HTTP/1.1\r\nHost: spark.test\r\n"
        f"Authorization: {main_app['Authorization']}\r\nContent-Length: {len(content)}\r\n\r\n"
    )

    async def is_being_read() -> bool:
        return (await kept(sessions))[1] > before[1]

    async def is_gone() -> bool:
        return await kept(sessions) == before

    async with connect(server) as wire:
        await wire.send(head.encode() + content)
        await eventually(is_being_read)
    await eventually(is_gone)


async def test_what_a_crash_left_is_swept_after_an_hour_and_not_before(
    server: Running, sessions: Sessions, finding: str
) -> None:
    old, new = uuid4(), uuid4()
    rows = 2500
    async with sessions() as session, session.begin():
        for import_id, minutes in ((old, 61), (new, 59)):
            at = func.now() - func.make_interval(0, 0, 0, 0, 0, minutes)
            await session.execute(insert(RosterImport).values(id=import_id, created_at=at))
            await session.execute(
                insert(RosterRow),
                [{"import_id": import_id, "number": n, "source": "users"} for n in range(rows)],
            )
    resources: Resources = server.app.state.resources
    done = await sweep(resources)
    assert (done["roster_rows"], done["roster_imports_cut_off"]) == (rows, 1)
    async with sessions() as session, session.begin():
        left = await session.execute(
            select(RosterRow.import_id, func.count())
            .where(RosterRow.import_id.in_([old, new]))
            .group_by(RosterRow.import_id)
        )
        assert [tuple(row) for row in left] == [(new, rows)]
        await session.execute(text("delete from spark.roster_imports where state = 'reading'"))


@pytest.mark.parametrize("rows", [1, MANY_ROWS])
async def test_an_import_does_not_wait_for_a_vacuum_of_what_others_left(
    importer: Importer, sessions: Sessions, rows: int, finding: str
) -> None:
    """Which holds this lock while it reads the whole table."""
    content = flat(*[new_student()] * rows)
    async with sessions() as session, session.begin():
        await session.execute(text("lock table spark.roster_rows in share update exclusive mode"))
        assert counted(await importer.check(content))["create"] == 1
