"""What the database says of itself, for people: cheap, whatever is in it."""

from typing import Any

from app.database import Sessions, Statement

_DESCRIBE = Statement(
    """
    select current_setting('server_version') as server,
      pg_size_pretty(pg_database_size(current_database())) as size,
      (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
      current_setting('max_connections')::int as most_connections,
      (select array_agg(version_num order by version_num) from spark.alembic_version) as revisions
    """
)
# As its statistics have it: to count 10 million rows takes seconds.
_ROWS = Statement(
    """
    select nspname || '.' || relname as name, nullif(reltuples, -1)::bigint as rows
    from pg_class join pg_namespace n on n.oid = relnamespace
    where relkind = 'r' and nspname in ('public', 'spark')
    """
)


async def describe_database(sessions: Sessions) -> dict[str, Any]:
    """Its server, size, connections and migrations; in `rows` about how many each table has."""
    async with sessions() as session, session.begin():
        [found] = await _DESCRIBE.send(session, {})
        rows = await _ROWS.send(session, {})
    return {**found, "rows": {row["name"]: row["rows"] for row in rows}}
