"""What an act sends to the database."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

# What frames a transaction, and what the driver asks of each connection that sees an array first.
NOT_THE_ACTS = ("BEGIN", "COMMIT", "ROLLBACK", "typeinfo_tree", "'jit'")


@contextmanager
def round_trips() -> Iterator[list[str]]:
    """What this process asks of databases meanwhile, through SQLAlchemy or straight."""
    sent: list[str] = []
    drivers: list[Any] = []

    def through(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    def straight(said: Any) -> None:
        if not any(words in said.query for words in NOT_THE_ACTS):
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


async def fewest(act: Callable[[], Awaitable[Any]]) -> list[str]:
    """Of three times: a worker's sweep may come between."""
    tries = []
    for _ in range(3):
        with round_trips() as sent:
            await act()
        tries.append(sent)
    return min(tries, key=len)
