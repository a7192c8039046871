"""Which objects evidence names, whoever wrote it (SECURITY D12).

An object is known by the random last part of its key, wherever that stands: a pointer, a canonical
or a signed address of any host, its thumbnail's or a bare key all hold it. So no member of a block
and no form of an address has to be known here.
"""

from collections.abc import Collection

from sqlalchemy import text

from app.database import Sessions

PAGES_PER_STATEMENT = 50  # the table's own, in its order: each ends in time, however many there are
A_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_PLACES = (
    ("evidence_document_blocks", 'lower(content::text collate "C")'),
    ("quest_task_completions", 'lower(evidence_url collate "C")'),
)
_HERE = "ctid >= cast(cast(:first as text) as tid) and ctid < cast(cast(:next as text) as tid)"
# Reading a row keeps the table from being rewritten until the transaction ends.
_COUNT_PAGES = [
    text(
        f"select pg_relation_size('{table}') / current_setting('block_size')::int"  # noqa: S608
        f" from (select count(*) from (select from {table} limit 1) as one) as read"
    )
    for table, _ in _PLACES
]
_OF_MANY = [
    text(
        f"select distinct part[1] from {table}, regexp_matches({told}, '{A_UUID}', 'g') as part"  # noqa: S608
        f" where {_HERE} and part[1] = any(cast(:parts as text[]))"
    )
    for table, told in _PLACES
]
_OF_ONE = [  # a tenth of the time
    text(
        "select part from unnest(cast(:parts as text[])) as part where exists"  # noqa: S608
        f" (select from {table} where {_HERE} and strpos({told}, part) > 0)"
    )
    for table, told in _PLACES
]


async def find_named(sessions: Sessions, object_keys: Collection[str]) -> set[str]:
    """Of these keys `<uuid>/<uuid>.<extension>` those that evidence names at one moment: all of it
    is read under one snapshot, so that a save which moves blocks meanwhile hides none.
    """
    parts = {key: key.rpartition("/")[2].partition(".")[0] for key in object_keys}
    named: set[str] = set()
    async with sessions() as session:
        snapshot = await session.execution_options(isolation_level="REPEATABLE READ")
        async with snapshot.begin():
            searches = _OF_ONE if len(parts) == 1 else _OF_MANY
            for count_pages, search in zip(_COUNT_PAGES, searches, strict=True):
                pages: int = (await snapshot.execute(count_pages)).scalar_one()
                for page in range(0, pages, PAGES_PER_STATEMENT):
                    here = {"first": f"({page},0)", "next": f"({page + PAGES_PER_STATEMENT},0)"}
                    found = await snapshot.execute(search, here | {"parts": [*parts.values()]})
                    named.update(found.scalars())
    return {key for key, part in parts.items() if part in named}
