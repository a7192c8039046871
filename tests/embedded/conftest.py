"""Folders for embedded servers, and processes that hold them; both are gone after each test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.embedded.place import _outside
from tests.embedded.holders import Holder, Holders


@pytest.fixture
def project() -> Iterator[Path]:
    """A project that every user can reach, unlike pytest's own temporary folders."""
    root = Path(tempfile.mkdtemp(prefix="spark-test-"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root)
    shutil.rmtree(_outside(root / ".local"), ignore_errors=True)


@pytest.fixture
def folder(project: Path) -> Path:
    return project / ".local"


@pytest.fixture
def holders(project: Path) -> Iterator[Holders]:  # asks for the folder to end before it goes
    """Starts processes that hold servers, and ends what a test leaves of them."""
    with Holders() as started:
        yield started


@pytest.fixture
def held(holders: Holders, folder: Path) -> Holder:
    """Both servers, running."""
    return holders.start(folder)


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
