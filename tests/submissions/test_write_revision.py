"""What `app.submissions.write` sends, to be read: its statement has pieces of several rooms.

After a change that is meant: PYTHONPATH=. .venv/bin/python tests/submissions/test_write_revision.py
"""

from pathlib import Path

from sqlalchemy.dialects import postgresql

from app.submissions.write import WRITE

SHOWN = Path(__file__).with_name("write_revision.sql")


def sent() -> str:
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    lines = str(WRITE.compile(dialect=dialect)).splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def test_the_statement_that_writes_a_revision_is_the_one_that_is_shown() -> None:
    assert sent() == SHOWN.read_text()


if __name__ == "__main__":
    SHOWN.write_text(sent())
