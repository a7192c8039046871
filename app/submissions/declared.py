"""The files a sender signed for (DEFECTS 54): each that is sent must be one of them."""

from collections import Counter
from collections.abc import Sequence

from app.errors import FileDigestMismatchError, FileDigestRequiredError, FileNotDeclaredError
from app.submissions.message import DeclaredFile


class DeclaredFiles:
    """What is declared and did not come yet. Without a declaration, `required` forbids any file."""

    def __init__(self, files: Sequence[DeclaredFile] | None, *, required: bool) -> None:
        self._is_declared = files is not None
        self._required = required
        self._names = Counter(file.name for file in files or ())
        self._contents = Counter((file.name, file.digest, file.size) for file in files or ())

    def expect(self, name: str) -> None:
        """A file begins. Raises FileDigestRequiredError or FileNotDeclaredError."""
        if not self._is_declared:
            if self._required:
                raise FileDigestRequiredError
        elif self._names[name] == 0:
            raise FileNotDeclaredError
        else:
            self._names[name] -= 1

    def check(self, name: str, sha256: bytes, size_bytes: int) -> None:
        """It has come whole. Files of one name may come in any order.

        Raises FileDigestMismatchError.
        """
        content = (name, sha256, size_bytes)
        if self._is_declared and self._contents[content] == 0:
            raise FileDigestMismatchError
        self._contents[content] -= 1

    def missing(self) -> list[str]:
        """Names of the files that were declared and did not come."""
        return list(self._names.elements())
