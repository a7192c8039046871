"""Texts of the inbox that are nobody's: those that name an erased student are forgotten.

A message whose `spark_user_id` could not be read has no student in its columns, and may name one
anywhere in its text: under another name, within a list, in what is no JSON. Forgotten is whatever
has the id as a word, in any spelling (`names`). That is too much rather than too little: of a
message that nobody could read only the text is lost, which a replay could not read either.
"""

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

from sqlalchemy import ARRAY, Row, Uuid, any_, bindparam, func, select, update

from app.database import Sessions
from app.models import InboxDelivery

LISTED_ROWS = 500
READ_BYTES = 1024 * 1024  # of texts at once, and at least one text

WINDOW_BYTES = 64 * 1024  # looked through at once: nothing holds the interpreter for long
OVERLAP_BYTES = 16 * 1024  # an id of 255 characters takes 3,060 bytes as pairs of escapes
LAYERS = 3  # JSON within JSON within a form

_IS_NOBODYS = (
    InboxDelivery.spark_user_id.is_(None)
    & InboxDelivery.user_id.is_(None)
    & InboxDelivery.message.is_not(None)
)
_LIST = (
    select(InboxDelivery.id, func.octet_length(InboxDelivery.message).label("size"))
    .where(_IS_NOBODYS, InboxDelivery.id > bindparam("after"))
    .order_by(InboxDelivery.id)
    .limit(LISTED_ROWS)
)
_THESE = InboxDelivery.id == any_(bindparam("delivery_ids", type_=ARRAY(Uuid)))
_READ = select(InboxDelivery.id, InboxDelivery.message, InboxDelivery.webhook_id).where(
    _THESE, _IS_NOBODYS
)
_FORGET = update(InboxDelivery).where(_THESE).values(message=None, webhook_id=None)


async def forget_texts(
    sessions: Sessions, name: str, *, is_theirs: Callable[[bytes, str], bool] | None = None
) -> None:
    """Those that name it, or that `is_theirs` knows. May be repeated. Memory is that of READ_BYTES,
    or of one text.
    """
    after = UUID(int=0)
    while True:
        async with sessions() as session, session.begin():
            listed = (await session.execute(_LIST, {"after": after})).all()
        for delivery_ids in _parts(listed):
            await _forget(sessions, delivery_ids, name, is_theirs or names)
        if len(listed) < LISTED_ROWS:
            return
        after = listed[-1].id


def _parts(listed: Iterable[Row[Any]]) -> Iterator[list[UUID]]:
    part: list[UUID] = []
    size = 0
    for row in listed:
        if part and size + row.size > READ_BYTES:
            yield part
            part, size = [], 0
        part.append(row.id)
        size += row.size
    if part:
        yield part


async def _forget(
    sessions: Sessions,
    delivery_ids: list[UUID],
    name: str,
    is_theirs: Callable[[bytes, str], bool],
) -> None:
    async with sessions() as session, session.begin():
        read = (await session.execute(_READ, {"delivery_ids": delivery_ids})).all()
    theirs = await asyncio.to_thread(_those_that_name, name, read, is_theirs)
    if theirs:
        async with sessions() as session, session.begin():
            await session.execute(_FORGET, {"delivery_ids": theirs})


def _those_that_name(
    name: str, read: Iterable[Any], is_theirs: Callable[[bytes, str], bool]
) -> list[UUID]:
    return [
        row.id
        for row in read
        if is_theirs(row.message, name)
        or (is_theirs is names and names((row.webhook_id or "").encode(), name))
    ]


def names(text: bytes, spark_user_id: str) -> bool:
    """Whether a text has the id as a word: no letter, digit or underscore stands at its ends.

    Letters are compared without case and form (NFKC), format characters do not count, and escapes
    of JSON and of forms are read, also within each other.
    """
    named = _folded(spark_user_id) or spark_user_id
    edges = [r"\b" if re.match(r"\w", named[place]) else "" for place in (0, -1)]
    word = re.compile(re.escape(named).join(edges))
    return any(
        word.search(reading)
        for start in range(0, max(len(text) - OVERLAP_BYTES, 1), WINDOW_BYTES - OVERLAP_BYTES)
        for reading in _readings(text[start : start + WINDOW_BYTES])
    )


def _readings(window: bytes) -> Iterator[str]:
    """Everything that it may say."""
    encodings = ["utf-8"]
    if not window.isascii():
        encodings.append("latin-1")
    if b"\0" in window:
        encodings += ["utf-16-le", "utf-16-be"]
    for encoding in encodings:
        for layer in _layers(window.decode(encoding, "ignore")):
            yield (folded := _folded(layer))
            if "\0" in folded:
                yield folded.replace("\0", "")


def _layers(text: str) -> Iterator[str]:
    yield text
    for _ in range(LAYERS):
        before = text
        for read in (_read_json, unquote_plus):
            text, last = read(text), text
            if text != last:
                yield text
        if text == before:
            return


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _read_json(text: str) -> str:
    """With the escapes of JSON read, wherever they are."""
    if "\\" not in text:
        return text
    read = _ESCAPE.sub(_character, text)
    # Pairs of surrogates become one character.
    return read.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _CONTROLS.get(escape[2], escape[2])


# Soft hyphen, zero width, direction, byte order.
_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def _folded(text: str) -> str:
    if text.isascii():
        return text.casefold()
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())
