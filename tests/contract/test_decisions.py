"""Every reference can be followed inside the repository: to a clause, and to a file."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DECISIONS = PROJECT / "docs/decisions.md"
FOLDERS = ("app", "bench", "docs", "migrations", "tests")
FILES = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile", "Makefile", "README.md"),
    *(".ci/run", "alembic.ini", "docker-compose.yml", "pyproject.toml"),
)
WRITTEN = {".css", ".html", ".mako", ".md", ".mjs", ".php", ".py", ".txt"}

PAGES = (
    "ADOPTION|CONTRACT|DEFECTS|DESIGN|EMBEDDED|FAULTS|HOUSE|INTEGRATOR|LIBRARIES|OPERATOR|OUTBOUND"
    "|REPORTED|SECURITY-FINDINGS|SECURITY|STYLE"
)
OWN_NAME = r"(?:C\d\d|[DR]\d{1,2}a?|P\d{3})\b"  # such a clause is cited without its page, too
KIND, NAME = r"(?:decision|invariant|promise|section)", r"(?:[A-Z]?\d+(?:\.\d+)?a?|[A-Z])\b"
CLAUSE = re.compile(rf"( to |-)?(?:({KIND})s? )?({NAME})")
CITATION = re.compile(
    rf"(?:\b({PAGES}) |(?<![\w%])(?={OWN_NAME}))"
    rf"((?:{KIND}s? )?{NAME}(?:(?:, | and |; | to |-)(?:{KIND}s? )?{NAME})*)"
)
ENTRY = re.compile(r"^(?:### |\| <a id=\S+></a>)([^|\n]+)", re.MULTILINE)
LINE_END = re.compile(r"\n\s*(?:#|//)?\s*")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)}|openapi)/[\w./-]*\w")


def test_every_clause_that_is_cited_has_an_entry() -> None:
    assert _all_cited() | set(_cited(DECISIONS.read_text())) <= set(_entries())


def test_every_entry_is_cited_and_stands_once() -> None:
    entries = _entries()
    assert set(entries) <= _all_cited()
    assert len(entries) == len(set(entries))


def test_every_path_that_is_named_exists() -> None:
    named = {path for text in _texts() for path in PATH.findall(text)}
    named |= set(PATH.findall(DECISIONS.read_text()))
    assert named <= {path for path in named if (PROJECT / path).exists()}


def _texts() -> Iterator[str]:
    """All that people write, but the page of decisions and this file."""
    for place in (PROJECT / name for name in (*FILES, *FOLDERS)):
        for file in {place, *place.rglob("*")} - {DECISIONS, Path(__file__)}:
            is_text = file.is_file() and (file == place or file.suffix in WRITTEN)
            if is_text and "node_modules" not in file.parts:
                yield file.read_text()


def _all_cited() -> set[str]:
    return {clause for text in _texts() for clause in _cited(text)}


def _cited(text: str) -> Iterator[str]:
    """Each clause under its one name, as CONTRACT 7.2, SECURITY promise 27 or R4; of ranges all."""
    for page, clauses in CITATION.findall(LINE_END.sub(" ", text)):
        kind = last = ""
        for joint, word, name in CLAUSE.findall(clauses):
            kind = word or kind
            for each in _series(last, name) if joint else [name]:
                if re.fullmatch(OWN_NAME, each):
                    yield each
                elif page:
                    yield " ".join(filter(None, (page, kind, each)))
            last = name


def _series(first: str, last: str) -> Iterable[str]:
    """62 to 67, R1-R5, P001 to P038; but the number in a test's id, as P014-661, is no clause."""
    letter = first[: -len(first.lstrip("CDPR"))]
    start, end = first.removeprefix(letter), last.removeprefix(letter)
    if not (last.startswith(letter) and end.isdecimal()):
        return [last]
    return (f"{letter}{n:0{len(start)}}" for n in range(int(start), int(end) + 1))


def _entries() -> list[str]:
    return [clause for head in ENTRY.findall(DECISIONS.read_text()) for clause in _cited(head)]
