"""The secrets of a checkout: made once, private, the same for everyone who asks."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.embedded.folder import EmbeddedError
from app.embedded.secrets import NAMES, local_secrets


def test_secrets_are_made_once(folder: Path) -> None:
    assert local_secrets(folder) == local_secrets(folder)


def test_every_secret_is_long_and_different(folder: Path) -> None:
    made = local_secrets(folder)
    assert tuple(made) == NAMES
    assert len(set(made.values())) == len(NAMES)
    assert all(len(value) >= 64 and int(value, 16) for value in made.values())


def test_only_its_user_reads_the_file(folder: Path) -> None:
    local_secrets(folder)
    assert stat.S_IMODE((folder / "secrets.env").stat().st_mode) == 0o600


def test_a_file_opened_to_others_is_closed_again(folder: Path) -> None:
    local_secrets(folder)
    (folder / "secrets.env").chmod(0o644)
    local_secrets(folder)
    assert stat.S_IMODE((folder / "secrets.env").stat().st_mode) == 0o600


def test_missing_names_are_added_and_what_was_written_stays(folder: Path) -> None:
    folder.mkdir()
    written = "# mine\nJWT_SECRET_KEY='kept'\nOTHER=1\nAWS_ACCESS_KEY_ID="
    (folder / "secrets.env").write_text(written)
    made = local_secrets(folder)
    assert made["JWT_SECRET_KEY"] == "kept"
    assert len(made["AWS_ACCESS_KEY_ID"]) == 64
    assert (folder / "secrets.env").read_text().startswith(written)
    assert local_secrets(folder) == made


def test_callers_at_the_same_moment_agree(folder: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: local_secrets(folder), range(16)))
    assert all(each == made[0] for each in made)


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "secrets.env").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match=r"secrets\.env"):
        local_secrets(folder)
