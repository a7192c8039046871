"""What the live catalogue says of the tables that matter to us.

Only `pg_catalog` is read, which every role may, and no lock of a table is waited for.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from app.adoption.requirements import Key
from app.database import Session


class FoundColumn(NamedTuple):
    type: str  # as PostgreSQL writes it, with its length
    is_mandatory: bool
    has_default: bool
    is_generated: bool
    labels: Collection[str] | None  # of an enum
    rights: Collection[str]


class FoundTable(NamedTuple):
    columns: Mapping[str, FoundColumn]
    keys: Mapping[Key, str | None]  # with the condition of a partial one
    triggers: Collection[str]  # that are enabled
    rights: Collection[str]
    row_security: bool  # it is on, and the role may not pass it


class Catalogue(NamedTuple):
    """As one role sees it. Tables have their schema's name, `public.users`; `refused` are values of
    ours, by table and column, that a check refuses.
    """

    role: str
    schema: str | None  # in which a name without one is looked for first
    has_auth_rows: bool  # `users.id` refers to `auth.users`
    tables: Mapping[str, FoundTable]
    refused: Mapping[tuple[str, str], Collection[str]]


async def read_catalogue(session: Session, *, role: str | None = None) -> Catalogue:
    """For this role, else the session's own. Raises one of OUTAGES."""
    raise NotImplementedError
