"""`python -m app import-roster`: what it says, and that it changes nothing unless it is told to."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.support.commands import run_on
from tests.support.stores import Stores, own_stores


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


async def test_a_folder_is_compared_and_then_applied_by_its_id(
    settings: Settings, stores: Stores, tmp_path: Path
) -> None:
    run = run_on(stores.given_to(settings))
    (tmp_path / "users.csv").write_text(
        "sourcedId,role,givenName,familyName,email\n"
        "ada,student,Ada,Example,ada@example.com\n"
        "eve,administrator,Eve,Example,eve@example.com\n"
    )
    (tmp_path / "enrollments.csv").write_text(
        "sourcedId,classSourcedId,schoolSourcedId,userSourcedId,role\n1,no_course,24,ada,student\n"
    )
    done = await run("import-roster", str(tmp_path))
    assert (done.exit_code, done.stderr) == (0, ""), done.stderr  # no progress bar in a pipe
    said = re.fullmatch(
        r"enrollments:2 ada course_not_found\n"
        r"users:3 eve skipped\n"
        r"rows: 3\n"
        r"users: create: 1, skipped: 1\n"
        r"enrollments: error: 1\n"
        r"import (\S+) is checked\n"
        r"`python -m app import-roster --confirm (\S+)` applies it\n",
        done.stdout,
    )
    assert said, done.stdout
    assert said[1] == said[2]
    assert await stores.execute("SELECT 1 FROM users") == []

    done = await run("import-roster", "--confirm", said[1])
    assert f"import {said[1]} is applied\n" in done.stdout, done.stderr
    assert await stores.execute("SELECT email, role FROM users") == [
        {"email": "ada@example.com", "role": "student"}
    ]


async def test_a_file_is_applied_at_once_when_told_to(
    settings: Settings, stores: Stores, tmp_path: Path
) -> None:
    file = tmp_path / "roster.csv"
    file.write_text("sourcedId,role\nbob,student\n")
    done = await run_on(stores.given_to(settings))("import-roster", str(file), "--apply")
    assert done.stdout.startswith("rows: 1\nusers: create: 1\n"), done.stderr
    assert await stores.execute("SELECT 1 FROM lms_integrations WHERE lms_user_id = 'bob'")


async def test_what_it_cannot_do_is_said_in_a_sentence(settings: Settings, tmp_path: Path) -> None:
    run = run_on(settings)
    done = await run("import-roster")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Give either a file or --confirm with the id of an import.\n"
    done = await run("import-roster", str(tmp_path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("roster_file_invalid: ")


@pytest.mark.parametrize("row", ["L3"])
async def test_what_is_printed_of_a_file_rules_no_terminal(
    settings: Settings, tmp_path: Path, row: str
) -> None:
    """A line separator is a letter that an id may have, and a terminal must not see."""
    file = tmp_path / "users.csv"
    file.write_text("sourcedId,role,givenName,familyName,email\na\u2028b,teacher,Ada,Example,\n")
    done = await run_on(settings)("import-roster", str(file))
    assert done.stdout.splitlines()[0] == "users:2 a\\u2028b skipped"
