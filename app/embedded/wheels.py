"""Finds files inside installed wheels without importing their packages.

A wheel that is missing is the person's to replace: the sentence names the variable to set.
"""

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from app.embedded.folder import EmbeddedError


def find_in_wheel(name: str, path: str, *, instead: str) -> Path:
    """Where `path` of the wheel's record lies. Raises EmbeddedError naming `instead`."""
    try:
        found = _recorded(distribution(name), path)
    except PackageNotFoundError:
        found = None
    if found is None or not found.exists():
        raise EmbeddedError(
            f"The wheel {name} is not installed (or does not exist for this platform): "
            f"install it with `make run`, or set {instead}."
        )
    return found


def _recorded(wheel: Distribution, path: str) -> Path | None:
    for file in wheel.files or ():
        if file.as_posix().endswith(path):
            return Path(str(file.locate()))
    return None
