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
        self._files = None if files is None else list(files)
        self._due = [file.name for file in files or ()]
        self._required = required

    def expect(self, name: str) -> None:
        """Before its bytes, whatever becomes of them.

        Raises FileDigestRequiredError, or FileNotDeclaredError, also for one too many of a name.
        """
        if self._files is None:
            if self._required:
                raise FileDigestRequiredError
        elif name not in self._due:
            raise FileNotDeclaredError
        else:
            self._due.remove(name)

    def take(self, name: str, sha256: bytes, size_bytes: int) -> None:
        """After its bytes. Files of one name may come in any order.

        Raises FileDigestMismatchError.
        """
        if self._files is None:
            return
        named = [file for file in self._files if file.name == name]
        fitting = [file for file in named if (file.digest, file.size) == (sha256, size_bytes)]
        self._files.remove((fitting or named)[0])
        if not fitting:
            raise FileDigestMismatchError

    def missing(self) -> list[str]:
        """Names of the files that were declared and did not come."""
        return self._due
