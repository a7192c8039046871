"""The acts that are hot are few whole statements, which fit both kinds of database (DESIGN R26)."""

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from app.database import Sessions, Statement
from app.submissions.admit import ADMIT
from app.submissions.record import CLOSE
from app.submissions.revisions import STAND
from app.submissions.write import WRITE
from tests.support.spark import Assignment, SignedIn, Spark, submission


@contextmanager
def round_trips() -> Iterator[list[str]]:
    """What this process asks of databases meanwhile, through SQLAlchemy or straight."""
    sent: list[str] = []
    drivers: list[Any] = []

    def through(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    def straight(said: Any) -> None:
        if not said.query.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            sent.append(said.query)

    def follow(connection: Any, *_: object) -> None:
        connection.driver_connection.add_query_logger(straight)
        drivers.append(connection.driver_connection)

    event.listen(Engine, "before_cursor_execute", through)
    event.listen(Pool, "checkout", follow)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", through)
        event.remove(Pool, "checkout", follow)
        for driver in drivers:
            driver.remove_query_logger(straight)


async def _fewest(act: Callable[[], Awaitable[Any]]) -> list[str]:
    """Of three times: a worker's sweep may come between."""
    tries = []
    for _ in range(3):
        with round_trips() as sent:
            await act()
        tries.append(sent)
    return min(tries, key=len)


async def test_homework_is_three_statements_each_time(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """The first and what replaces it; the same again under another key lists its files, too."""
    texts = iter(range(10))
    said = submission(student, assignment)

    async def hand_in(**changes: object) -> None:
        answer = await spark.submit(said | changes)
        assert answer.status_code == 200

    first = await _fewest(lambda: hand_in(submission_text=f"Text {next(texts)}."))
    assert sorted(first) == sorted((ADMIT.sql, STAND.sql, WRITE.sql))
    notes = iter(range(10))
    same = await _fewest(lambda: hand_in(submission_text="Text 2.", unknown=next(notes)))
    assert {ADMIT.sql, STAND.sql, CLOSE.sql} <= set(same)
    assert len(same) == 4


async def test_a_replay_is_three_statements(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    said = submission(student, assignment)
    await spark.submit(said)
    assert len(await _fewest(lambda: spark.submit(said))) == 3


async def test_each_whole_statement_fits_the_database(sessions: Sessions) -> None:
    """Its tables, columns and types are there, in whichever kind this run has."""
    statements = [one for one in gc.get_objects() if isinstance(one, Statement)]
    assert {ADMIT, STAND, WRITE, CLOSE} <= set(statements)
    async with sessions() as session, session.begin():
        connection = await session.get_raw_connection()
        for statement in statements:
            assert connection.driver_connection
            await connection.driver_connection.prepare(statement.sql)
