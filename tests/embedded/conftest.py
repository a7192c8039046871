"""Folders for embedded servers, and processes that hold them; both are gone after each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded.holders import Holder, Holders
from tests.support.folders import open_project


@pytest.fixture
def project() -> Iterator[Path]:
    with open_project() as folder:
        yield folder


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
