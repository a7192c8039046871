"""What another system says of a person, as an account may hold it."""

import re
import string
import unicodedata
from typing import Annotated

from pydantic import BeforeValidator

from app.text import clean_line

MAX_NAME_CHARACTERS = 100
MAX_EMAIL_CHARACTERS = 254  # RFC 5321 section 4.5.3.1.3, less the brackets

# Looser than RFC 5321 and tight enough to store, compare and show.
EMAIL = re.compile(
    r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,180}\.[^@\s.\x00-\x1f\x7f]{2,}"
)
ASCII_SPACE = " \t\n\r\f\v"
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
NOWHERE = ".invalid"  # RFC 2606: addresses we make ourselves, so nobody may name one


def usable_name(name: str) -> str:
    """Cleaned and cut, perhaps to nothing."""
    return clean_line(name)[:MAX_NAME_CHARACTERS].strip()


def _name(value: object) -> object:
    return usable_name(value) if isinstance(value, str) else value


Name = Annotated[str, BeforeValidator(_name)]


def agreeing_name(name: str) -> str:
    """What two spellings of a name have in common: without case, accents and further spaces."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    return " ".join("".join(each for each in letters if not unicodedata.combining(each)).split())


def usable_email(address: str) -> str | None:
    """As it was sent, but for ASCII white space around it and the case of ASCII letters; None if it
    cannot be used.
    """
    # Printable: neither an invisible twin of an address nor a letter newer than this Python,
    # which Postgres would lower once more and refuse (`users.email` is lower-case by constraint).
    lower = folded_email(address)
    usable = (
        len(lower) <= MAX_EMAIL_CHARACTERS
        and lower.isprintable()
        and EMAIL.fullmatch(lower)
        and not lower.endswith(NOWHERE)
    )
    return address.strip(ASCII_SPACE).translate(_ASCII_LOWER) if usable else None


def folded_email(address: str) -> str:
    """The address that it may be taken for. A letter that only looks like an ASCII one becomes that
    (U+212A is lowered to k): good for finding whom it resembles, never for saying whose it is.
    """
    return address.strip().lower()
