"""What was found in the main app's database, as `adopt` and `doctor` print it."""

from typing import Literal, NamedTuple

# ok: fits · adapt: differs, and the service does as the main app does · data: rows that somebody
# should look at · would: what --apply does · open: not seen yet · refuse: it cannot go on
Mark = Literal["ok", "adapt", "data", "would", "open", "refuse"]


class Finding(NamedTuple):
    """`subject` is a table, a column, a role; `next_step` what a person can do about it, SQL that
    lists the rows included.
    """

    mark: Mark
    subject: str
    text: str
    next_step: str | None = None
