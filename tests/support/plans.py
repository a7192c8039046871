"""How Postgres would read a large table, asked of a small one."""

from typing import Any

from sqlalchemy import Executable, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement

from app.database import Session


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement


@compiles(_Explain)
def _explain(element: _Explain, compiler: Any, **options: Any) -> str:
    return "EXPLAIN " + str(compiler.process(element.statement, **options))


async def plan(session: Session, statement: ClauseElement | str, params: Any = None) -> str:
    """Its plan where reading a whole table and sorting are the last resort: what still says
    `Seq Scan` or `Sort` has no index that carries it.
    """
    for setting in ("enable_seqscan", "enable_sort"):
        await session.execute(text(f"SET LOCAL {setting} = off"))
    if isinstance(statement, str):  # the driver's own SQL
        found = await session.exec_driver_sql(f"EXPLAIN {statement}", params)
    else:
        found = await session.execute(_Explain(statement), params or {})
    return "\n".join(found.scalars())
