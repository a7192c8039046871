"""Folders for the data of embedded servers, in TMPDIR, so that a run may keep them in memory."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded.place import _outside


@contextmanager
def open_project() -> Iterator[Path]:
    """A folder for a `.local`: both are gone afterwards, and what root's Postgres keeps outside.

    Every user can reach it, unlike pytest's own temporary folders: that Postgres runs as nobody.
    """
    folder = Path(tempfile.mkdtemp(prefix="spark-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(_outside(folder / ".local"), ignore_errors=True)
