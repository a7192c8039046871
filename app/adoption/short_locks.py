"""Locks on tables that the main app is using, so briefly that nobody of its users notices.

Whoever waits for a lock keeps all others waiting who come after. So all locks are taken by one
statement that gives up after LOCK_SECONDS; then the transaction is rolled back and tried again.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.database import Session, Sessions, sqlstate_of
from app.migrate import LOCKED, PAUSES_SECONDS, STATEMENT_SECONDS, TAKE_TURN, Tell

# PostgreSQL looks for deadlocks after 1 s. Who gives up before that never has an act of the main
# app ended in its place, nor an autovacuum.
LOCK_SECONDS = 0.9
# Whatever else the transaction may still wait for while it holds those locks.
OTHER_LOCKS_SECONDS = 3
NOT_NOW = (*LOCKED, "57014")  # statement timeout

Mode = Literal["row exclusive", "share row exclusive", "access exclusive"]
Answer = TypeVar("Answer")

_LIMIT = text(
    "select set_config('lock_timeout', :others, true), set_config('statement_timeout', :all, true)"
)
_HOLDERS = text(
    """
    select a.pid, coalesce(nullif(a.usename, ''), a.backend_type, '?') as role,
        coalesce(nullif(a.application_name, ''), '-') as application,
        coalesce(extract(epoch from now() - a.xact_start), 0)::int as seconds,
        string_agg(distinct c.relname, ', ' order by c.relname) as tables
    from pg_locks l
    join pg_class c on c.oid = l.relation
    left join pg_stat_activity a on a.pid = l.pid
    where l.database = (select oid from pg_database where datname = current_database())
        and l.granted and l.pid <> pg_backend_pid()
        and c.relnamespace = 'public'::regnamespace and c.relname = any(:tables)
        and (l.mode not in ('AccessShareLock', 'RowShareLock') or :all_modes)
    group by a.pid, a.usename, a.backend_type, a.application_name, a.xact_start
    order by seconds desc
    """
)


class TablesInUseError(Exception):
    """Somebody held them at each try. Nothing of that transaction was done."""


async def in_short_locks(
    sessions: Sessions,
    act: Callable[[Connection], Answer],
    tables: Sequence[str],
    mode: Mode,
    tell: Tell,
) -> Answer:
    """Do it in a transaction of its own, which has those locks and the turn of `migrate`.

    Raises TablesInUseError when the tables were in use at five tries.
    """
    tries = len(PAUSES_SECONDS) + 1
    for number, pause in enumerate((*PAUSES_SECONDS, None), start=1):
        try:
            async with sessions() as session, session.begin():
                await session.execute(TAKE_TURN)
                await _take(session, tables, mode)
                return await session.run_sync(act)
        except DBAPIError as failure:
            if sqlstate_of(failure) not in NOT_NOW:
                raise
        holders = await _find_holders(sessions, tables, mode)
        if pause is not None:
            tell(f"{holders} Trying again in {pause} s ({number + 1} of {tries}).")
            await asyncio.sleep(pause)
    raise TablesInUseError(
        f"{holders}\nNothing of this step was done. Run it again when that has ended."
    )


async def _take(session: Session, tables: Sequence[str], mode: Mode) -> None:
    others = f"{OTHER_LOCKS_SECONDS}s"
    names = ", ".join(f"public.{name}" for name in tables)
    await session.execute(_LIMIT, {"others": others, "all": f"{LOCK_SECONDS}s"})
    await session.execute(text(f"lock table {names} in {mode} mode"))
    await session.execute(_LIMIT, {"others": others, "all": f"{STATEMENT_SECONDS}s"})


async def _find_holders(sessions: Sessions, tables: Sequence[str], mode: Mode) -> str:
    """In words. They may have gone meanwhile."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            _HOLDERS, {"tables": list(tables), "all_modes": mode == "access exclusive"}
        )
    said = [
        f"{row.tables}: process {row.pid} of {row.role} ({row.application}),"
        f" in a transaction for {row.seconds} s"
        for row in found
    ]
    return f"In use are {'; '.join(said) or ', '.join(tables)}."
