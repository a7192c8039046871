"""The engine and its sessions, and what a failing database means to those above.

An act takes `Sessions` and opens `session.begin()` itself; helpers take the session and never
begin or commit. Searching for `session.begin` lists every transaction of the service.
"""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import ColumnElement, Dialect, ExceptionContext, Select, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from app import __version__, metrics
from app.errors import DatabaseUnavailableError, OverloadedError, ServiceError
from app.models import Table
from app.settings import Settings
from app.settings.addresses import driver_address

CONNECT_SECONDS = 5
POOL_WAIT_SECONDS = 4
HANG_SECONDS = 10

# A database that cannot answer raises these; a refused connection is no SQLAlchemy error.
OUTAGES: tuple[type[Exception], ...] = (
    DBAPIError,
    ConnectionError,
    TimeoutError,
)
# A best effort passes over these.
FAILURES: tuple[type[Exception], ...] = (ServiceError, *OUTAGES)

# Classes of SQLSTATE that no retry mends: data, integrity and syntax (PostgreSQL appendix A).
OUR_FAULT = ("22", "23", "42")

READ_ONLY = "25006"  # read-only SQL transaction

# After these the same transaction may succeed at once (PostgreSQL appendix A).
WORTH_RETRYING = (
    "40001",  # serialization failure
    "40P01",  # deadlock
    "23503",  # foreign key violation: the main app has just deleted what a row of ours refers to
    "23505",  # unique violation: the main app, who takes no turns with us, was first
    "57P01",  # the server ended the connection, on restart or on purpose
)
TRIES = 3

# When the database last kept this task waiting in vain: its request has no time for that twice.
_hung_at: ContextVar[float] = ContextVar("hung_at", default=-HANG_SECONDS)

# An act runs Core statements on one connection. An ORM session would cost more than the statements
# themselves, and nothing here maps objects.
Session = AsyncConnection
Sessions = Callable[[], AbstractAsyncContextManager[Session]]

P = ParamSpec("P")
T = TypeVar("T")
Shape = TypeVar("Shape", bound=NamedTuple)
Columns = Mapping[Any, Any]  # a row, by the names of its columns


# Of the sessions that serve. A transaction whose client says nothing is ended: a host that is gone
# tells nobody, and its locks would stay for hours. And what was planned while a table was empty
# finds its rows by a key when it has grown: a prepared plan is kept.
SERVING = {"idle_in_transaction_session_timeout": "15s", "enable_seqscan": "off"}


def create_engine(settings: Settings, *, session: Mapping[str, str] | None = None) -> AsyncEngine:
    """Connects at first use. Raises ValueError when DATABASE_URL is not set.

    `session`: what the server is told of each connection; not behind a transaction pooler.
    """
    if settings.database_url is None:
        raise ValueError("DATABASE_URL is not set")
    address, connect_seconds = driver_address(settings.database_url.get_secret_value())
    connect_args: dict[str, Any] = {
        "dsn": address,  # the driver knows what libpq's parameters mean
        "timeout": connect_seconds or CONNECT_SECONDS,
        # asyncpg cancels the statement in the server when this runs out.
        "command_timeout": settings.statement_timeout_seconds,
    }
    if settings.database_transaction_pooler:
        # Prepared statements belong to a server connection that the next transaction may not get.
        # One without a name leaves nothing behind there, so that the pooler need not clean up.
        connect_args |= {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": str,
        }
    else:
        # A pooler would set these anew whenever a connection goes to another instance.
        connect_args["server_settings"] = dict(session or {})
        if "application_name=" not in address.partition("?")[2]:
            connect_args["server_settings"]["application_name"] = name_instance()
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args=connect_args,
        hide_parameters=True,
        pool_size=settings.database_pool_size,
        max_overflow=0,
    )
    event.listen(engine.sync_engine, "do_connect", _connect)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    event.listen(engine.sync_engine, "handle_error", _leave_standby)
    return engine


def name_instance() -> str:
    """Version and process, as `pg_stat_activity` shows it; it keeps 63 bytes."""
    return f"spark {__version__} {os.getpid()} {socket.gethostname()}"[:63]


def _connect(dialect: Dialect, _: object, given: list[Any], named: dict[str, Any]) -> Any:
    """Without a name service or a route, or when none of several addresses answers, asyncpg raises
    a plain OSError, which a full disk would be as well.
    """
    try:
        return dialect.connect(*given, **named)
    except (ConnectionError, TimeoutError):
        raise
    except OSError as unreachable:
        raise ConnectionError from unreachable


def _leave_standby(context: ExceptionContext) -> None:
    if _is_standby(context.original_exception):
        context.is_disconnect = True


def _is_standby(failure: BaseException) -> bool:
    """After a failover a connection may lead to what is now one: the pool lets all of them go."""
    return getattr(failure, "sqlstate", None) == READ_ONLY


def _refuse_closed(connection: Any, *_: object) -> None:
    """Make the pool take another connection. Asking the server (`pool_pre_ping`) costs three round
    trips; asyncpg knows when the server has hung up.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


class Statement:
    """A whole SQL text with `:names`, which the driver gets as places: for acts so frequent that
    what SQLAlchemy does for each statement is felt (DESIGN R26).

    Values are the driver's: JSON is text, both ways.
    """

    def __init__(self, sql: str) -> None:
        self.names: list[str] = []
        self.sql = re.sub(r"(?<![\w:]):([a-z]\w*)", self._place, sql)

    def _place(self, found: re.Match[str]) -> str:
        if found[1] not in self.names:
            self.names.append(found[1])
        return f"${self.names.index(found[1]) + 1}"

    async def send(self, session: Session, values: Mapping[str, Any]) -> Sequence[Columns]:
        """Its rows. Values beyond its names are not looked at.

        Straight to the driver, in SQLAlchemy's transaction, which begins with its first statement.
        """
        assert session.sync_connection  # noqa: S101 - it is open
        connection: Any = session.sync_connection.connection
        adapter, driver = connection.dbapi_connection, connection.driver_connection
        try:
            if not driver.is_in_transaction():
                await adapter._start_transaction()  # noqa: SLF001
            rows: Sequence[Columns] = await driver.fetch(
                self.sql, *[values[name] for name in self.names]
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, adapter.dbapi.Error) as failure:
            if is_standby := _is_standby(failure):
                session.sync_engine.pool._invalidate(connection, _checkin=False)  # noqa: SLF001
            lost = driver.is_closed() or is_standby
            raise DBAPIError(self.sql, None, failure, True, lost) from failure  # noqa: FBT003
        except BaseException as unfinished:  # out of time or cancelled: it may still be running
            await session.invalidate(unfinished)
            raise
        return rows


def matching(table: type[Table], asked: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """That each of these columns has its value, if that is not None."""
    columns = table.__table__.c
    return [columns[name] == value for name, value in asked.items() if value is not None]


def page_of(
    found: Select[*tuple[Any, ...]], key: Any, before: UUID | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """By ids, downwards, below `before`; one more than `limit` tells that there are more."""
    older = found if before is None else found.where(key < before)
    return older.order_by(key.desc()).limit(limit + 1)


def read_as(shape: type[Shape], row: Columns) -> Shape:
    """Those columns of a row that bear the names of this NamedTuple."""
    return shape(*(row[name] for name in shape._fields))


def open_sessions(engine: AsyncEngine, *, at_once: int) -> Sessions:
    """Sessions in the order they are asked for, `at_once` at most.

    By itself the pool wakes waiters in no order. Raises OverloadedError after POOL_WAIT_SECONDS,
    and TimeoutError at once in a task that had one in the last HANG_SECONDS.
    """
    turns = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def open_session() -> AsyncIterator[Session]:
        clock = asyncio.get_running_loop().time
        if clock() - _hung_at.get() < HANG_SECONDS:
            raise TimeoutError
        if turns.locked():
            await _take_turn(turns)
        else:
            await turns.acquire()
        try:
            # By itself it closes in a task of its own, which a session that has ended its
            # transaction does not need: it only goes back to the pool.
            async with aclosing(await engine.connect()) as session:
                yield session
        except TimeoutError:
            _hung_at.set(clock())
            raise
        finally:
            turns.release()

    return open_session


async def _take_turn(turns: asyncio.Semaphore) -> None:
    try:
        with metrics.POOL_WAITING.track_inprogress():
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                await turns.acquire()
    except TimeoutError:
        raise OverloadedError(limit="DATABASE_POOL_SIZE") from None


def retried(act: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Do an act again whose transaction was lost to another or to a cut connection: TRIES in all.

    For acts that may be repeated: a connection cut during COMMIT leaves its outcome unknown.
    """

    @wraps(act)
    async def tried(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(TRIES - 1):
            try:
                return await act(*args, **kwargs)
            except DBAPIError as failure:
                if not (failure.connection_invalidated or sqlstate_of(failure) in WORTH_RETRYING):
                    raise
        return await act(*args, **kwargs)

    return tried


def connections_in_use(engine: AsyncEngine) -> int:
    """Of this process's pool."""
    return cast(QueuePool, engine.pool).checkedout()


def explain_outage(failure: Exception) -> ServiceError | None:
    """The answer for one of OUTAGES, without its text; None if the statement itself was wrong."""
    return None if sqlstate_of(failure)[:2] in OUR_FAULT else DatabaseUnavailableError()


def sqlstate_of(failure: Exception) -> str:
    """The SQLSTATE of the server; empty for an error that it did not send, as a time-out."""
    return str(getattr(getattr(failure, "orig", None), "sqlstate", None) or "")
