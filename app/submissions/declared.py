"""The files a sender signed for (DEFECTS 54): each that is sent must be one of them."""

from collections.abc import Sequence

from app.errors import (
    FileDigestMismatchError,
    FileDigestRequiredError,
    FileNotDeclaredError,
)
from app.submissions.message import DeclaredFile


class DeclaredFiles:
    """What is declared and did not come yet. Without a declaration, `required` forbids any file."""

    def __init__(self, files: Sequence[DeclaredFile] | None, *, required: bool) -> None:
        self._missing = None if files is None else list(files)
        self._required = required

    def expect(self, name: str) -> None:
        """Before its bytes. Raises FileDigestRequiredError or FileNotDeclaredError."""
        if self._missing is None:
            if self._required:
                raise FileDigestRequiredError
        elif all(file.name != name for file in self._missing):
            raise FileNotDeclaredError

    def take(self, name: str, sha256: bytes, size_bytes: int) -> None:
        """After its bytes. Files of one name may come in any order.

        Raises FileDigestMismatchError, or FileNotDeclaredError for one too many.
        """
        named = [file for file in self._missing or () if file.name == name]
        fitting = [file for file in named if (file.digest, file.size) == (sha256, size_bytes)]
        if self._missing is None:
            return
        if not named:
            raise FileNotDeclaredError
        self._missing.remove((fitting or named)[0])
        if not fitting:
            raise FileDigestMismatchError

    def missing(self) -> list[str]:
        """Names of the files that were declared and did not come."""
        return [file.name for file in self._missing or ()]
