"""The acts that are hot are few whole statements, which fit both kinds of database (DESIGN R26)."""

import gc
import re
from collections.abc import Sequence
from importlib import import_module
from pkgutil import walk_packages

import app
from app.database import Sessions, Statement
from app.models import Table
from app.submissions.admit import ADMIT
from app.submissions.record import CLOSE
from app.submissions.revisions import STAND
from app.submissions.write import WRITE
from tests.support.round_trips import fewest
from tests.support.spark import Assignment, SignedIn, Spark, submission


async def test_homework_is_three_statements_each_time(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """The first and what replaces it; the same again under another key lists its files, too."""
    texts = iter(range(10))
    said = submission(student, assignment)

    async def hand_in(**changes: object) -> None:
        answer = await spark.submit(said | changes)
        assert answer.status_code == 200

    first = await fewest(lambda: hand_in(submission_text=f"Text {next(texts)}."))
    assert sorted(first) == sorted((ADMIT.sql, STAND.sql, WRITE.sql))
    notes = iter(range(10))
    same = await fewest(lambda: hand_in(submission_text="Text 2.", unknown=next(notes)))
    assert {ADMIT.sql, STAND.sql, CLOSE.sql} <= set(same)
    assert len(same) == 4


async def test_a_replay_is_three_statements(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    said = submission(student, assignment)
    await spark.submit(said)
    assert len(await fewest(lambda: spark.submit(said))) == 3


def whole_statements() -> Sequence[Statement]:
    """All that stand in the application."""
    for module in walk_packages(app.__path__, "app."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    found = [one for one in gc.get_objects() if isinstance(one, Statement)]
    assert {ADMIT, STAND, WRITE, CLOSE} <= set(found)
    return found


async def test_each_whole_statement_fits_the_database(sessions: Sessions) -> None:
    """Its tables, columns and types are there, in whichever kind this run has."""
    async with sessions() as session, session.begin():
        connection = await session.get_raw_connection()
        for statement in whole_statements():
            assert connection.driver_connection
            await connection.driver_connection.prepare(statement.sql)


def test_what_whole_statements_write_are_columns_of_the_models() -> None:
    """Each that is mandatory in what they insert."""
    written = 0
    for statement in whole_statements():
        for name, listed in re.findall(r"insert into ([\w.]+)\s*\(([^)]+)\)", statement.sql):
            named, columns = set(re.split(r",\s*", listed)), Table.metadata.tables[name].columns
            optional = {
                column.name
                for column in columns
                if column.nullable or column.server_default or column.identity
            }
            assert set(columns.keys()) - optional <= named <= set(columns.keys()), statement.sql
            written += 1
    assert written > 20
