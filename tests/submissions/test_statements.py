"""The acts that are hot are few whole statements, which fit both kinds of database (DESIGN R26)."""

import gc

from app.database import Sessions, Statement
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


async def test_each_whole_statement_fits_the_database(sessions: Sessions) -> None:
    """Its tables, columns and types are there, in whichever kind this run has."""
    statements = [one for one in gc.get_objects() if isinstance(one, Statement)]
    assert {ADMIT, STAND, WRITE, CLOSE} <= set(statements)
    async with sessions() as session, session.begin():
        connection = await session.get_raw_connection()
        for statement in statements:
            assert connection.driver_connection
            await connection.driver_connection.prepare(statement.sql)
