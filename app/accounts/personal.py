"""What another system says of a person, as an account may hold it."""

import re

from app.text import clean_line

MAX_NAME_CHARACTERS = 100

# Looser than RFC 5321 and tight enough to store, compare and show.
EMAIL = re.compile(
    r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,180}\.[^@\s.\x00-\x1f\x7f]{2,}"
)
NOWHERE = ".invalid"  # RFC 2606: addresses we make ourselves, so nobody may name one


def usable_name(name: str) -> str:
    """Cleaned and cut, perhaps to nothing."""
    return clean_line(name)[:MAX_NAME_CHARACTERS].strip()


def usable_email(address: str) -> str | None:
    """In lower case, or None if it cannot be used."""
    # Printable: neither an invisible twin of an address nor a letter newer than this Python,
    # which Postgres would lower once more and refuse (`users.email` is lower-case by constraint).
    lower = address.strip().lower()
    usable = lower.isprintable() and EMAIL.fullmatch(lower) and not lower.endswith(NOWHERE)
    return lower if usable else None
