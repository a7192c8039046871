"""The drill of docs/operations.md: the database is restored, and the bucket has lost something."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from app.clock import utc_now
from app.embedded.postgres import BINARIES, INSTEAD, WHEEL
from app.embedded.wheels import find_in_wheel
from app.settings import Settings
from tests.support.adopted import address_of
from tests.support.commands import run_on
from tests.support.databases import empty_database
from tests.support.elsewhere import run_elsewhere
from tests.support.families import Child, Family
from tests.support.problems import assert_problem
from tests.support.programs import run_program
from tests.support.school import open_school, traces_of
from tests.support.spark import SignedIn, submission
from tests.support.stored import eventually
from tests.support.stores import Stores
from tests.support.work import do_jobs

BY_SPARK_ID = ("erase-student", "--spark-user-id")
OF_CHILD = (
    "SELECT id, object_key FROM spark.uploads WHERE user_id = '{}' AND state = 'committed'"
    " ORDER BY object_key"
)


LONG_AGO = "UPDATE spark.erasures SET requested_at = now() - interval '61 s' WHERE id = '{}'"


@pytest.fixture(scope="module")
def family(family_apart: Family) -> Family:
    return family_apart


def libpq(settings: Settings) -> str:
    url = make_url(address_of(settings)).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


async def run_tool(tool: str, *words: str | Path) -> None:
    binary = find_in_wheel(WHEEL, str(BINARIES / tool), instead=INSTEAD)
    done = await run_program(str(binary), *words, env={})
    assert done.code == 0, done.errors


@asynccontextmanager
async def restored(family: Family, backup: Path) -> AsyncIterator[Family]:
    """A service on a database that is made of the backup, and on the bucket as it is."""
    async with empty_database(family.settings) as empty:
        await run_tool("pg_restore", "--no-owner", "--dbname", libpq(empty), backup)
        settings = empty.model_copy(update={"upload_lease_seconds": 1})
        address = {"DATABASE_URL": address_of(empty)}
        stores = Stores(family.stores.variables | address)
        async with run_elsewhere(settings) as elsewhere:
            yield replace(family, elsewhere=elsewhere, settings=settings, stores=stores)


async def files_of(family: Family, child: Child) -> dict[str, str]:
    """Key and upload id."""
    rows = await family.stores.execute(OF_CHILD.format(child.user_id))
    return {row["object_key"]: str(row["id"]) for row in rows}


@pytest.mark.own_database("an adopted one's backup is the main app's")
@pytest.mark.parametrize("row", ["OPERATOR 13"])
async def test_after_a_restore_what_is_lost_is_named_and_who_was_erased_is_erased_again(
    family: Family, tmp_path: Path, row: str
) -> None:
    erased, kept, stranger = *[await family.raise_child() for _ in range(2)], "never_signed_in"
    nobody = submission(SignedIn(stranger, "", "", ""), family.course.assignment)
    assert (await family.spark.submit(nobody)).status_code == 404
    erased_files, kept_files = await files_of(family, erased), await files_of(family, kept)
    backup = tmp_path / "backup"
    await run_tool("pg_dump", "-Fc", "--file", backup, "--dbname", libpq(family.settings))
    await family.erased(erased)
    assert (await run_on(family.settings)(*BY_SPARK_ID, stranger)).exit_code == 0
    later = await family.raise_child()  # of whom the backup knows nothing
    click = family.spark.launch_token(sub=later.spark_user_id)
    await family.erased(later)
    assert await family.hand_in(kept, 0, files=1) == 200
    lost = next(iter(kept_files))
    await family.resources.bucket.delete(lost)

    async with restored(family, backup) as again:
        run = run_on(again.settings)
        told = await run("reconcile")
        missing = {*erased_files.values(), kept_files[lost]}
        assert told.exit_code == 1
        assert _named(told.stdout, "missing") == missing
        assert await again.traces([erased]) != []

        done = await run("erase-again")
        assert done.exit_code == 0, done.output
        assert done.stdout.splitlines()[-1] == "erased again: 2"
        assert await again.traces([erased, Child(erased.student, {}, {stranger})]) == []
        old = submission(erased.student, family.course.assignment)
        assert (await again.spark.submit(old)).status_code == 404
        assert_problem(await again.spark.launch(click), 403, "account_inactive")
        assert (await run("erase-again")).stdout == "erased again: 0\n"

        async def finds_one_orphan() -> bool:
            """What was handed in since the backup, once it is older than a lease."""
            told = await run("reconcile")
            assert _named(told.stdout, "missing") == {kept_files[lost]}
            assert lost not in _named(told.stdout, "orphan")
            return len(_named(told.stdout, "orphan")) == 1

        await eventually(finds_one_orphan)
        assert await bucket_keys(family) >= {*await files_of(family, kept)} - {lost}


async def bucket_keys(family: Family) -> set[str]:
    return {key async for page in family.resources.bucket.objects() for key, _ in page}


def _named(output: str, kind: str) -> set[str]:
    lines = [line.split() for line in output.splitlines()]
    return {line[1] for line in lines if len(line) == 2 and line[0] == kind}


@pytest.mark.own_database("an adopted one's backup is the main app's")
@pytest.mark.parametrize("row", ["OPERATOR 13"])
async def test_a_student_who_came_back_after_the_erasure_is_left_alone(
    family: Family, tmp_path: Path, row: str
) -> None:
    """The backup is younger than the erasure, which it knows."""
    child = await family.raise_child()
    tombstone = (await family.erased(child))["id"]
    await family.stores.execute(LONG_AGO.format(tombstone))
    soon = utc_now() + timedelta(seconds=1)  # a token tells whole seconds
    back = await family.spark.sign_in(sub=child.spark_user_id, iat=int(soon.timestamp()))
    backup = tmp_path / "backup"
    await run_tool("pg_dump", "-Fc", "--file", backup, "--dbname", libpq(family.settings))
    async with restored(family, backup) as again:
        done = await run_on(again.settings)("erase-again")
        assert (done.exit_code, done.stdout) == (0, "erased again: 0\n"), done.output
        work = submission(back, family.course.assignment)
        assert (await again.spark.submit(work)).status_code == 200


@pytest.mark.own_database("an adopted one's backup is the main app's")
async def test_a_school_that_left_after_the_backup_leaves_again(
    family: Family, tmp_path: Path
) -> None:
    """Accounts that stayed stay."""
    school, other = await open_school(family), await open_school(family)
    made, older, shared = [await school.raise_child() for _ in range(3)]
    await school.make_older(older)
    await other.hand_in(shared)
    backup = tmp_path / "backup"
    await run_tool("pg_dump", "-Fc", "--file", backup, "--dbname", libpq(family.settings))
    certificate = await school.erased()
    async with restored(family, backup) as again:
        back = replace(school, family=replace(again, course=school.course))
        assert await traces_of(back) != []
        done = await run_on(again.settings)("erase-again")
        assert done.exit_code == 0, done.output
        await do_jobs(back.family.resources)
        assert await traces_of(back) == []
        assert await again.traces([made]) == []
        ids = f"('{older.user_id}', '{shared.user_id}')"
        assert len(await again.stores.execute(f"SELECT id FROM users WHERE id IN {ids}")) == 2  # noqa: S608
        assert (await back.certificate(certificate["id"]))["completed_at"]
        assert (await run_on(again.settings)("erase-again")).stdout == "erased again: 0\n"
