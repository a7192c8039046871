"""Names of files and people, addresses and ids."""

from contextlib import suppress

from app.accounts.personal import MAX_NAME_CHARACTERS, usable_email, usable_name
from app.files.file_name import MAX_NAME_BYTES, display_name
from app.files.file_types import TYPES
from app.storage.content_disposition import content_disposition
from app.text import identifier_text, is_clean, trimmed_id

REFUSALS = ()
_TYPES = tuple(TYPES.values())
_TEXTS = (
    "\0essay.pdf",
    "\1../../\u202efdp.exe",
    "\2C:\\homework\\con.txt::$DATA",
    "\3 Ada@Example.com \u00a0",
    "\4\ufeff\u200bstudent_42\u200e",
    "\5" + "\U0001f469\u200d\U0001f680" * 100,
)
SEEDS = tuple(text.encode() for text in _TEXTS)


def run(data: bytes) -> None:
    file_type = _TYPES[(data or b"\0")[0] % len(_TYPES)]
    text = data[1:].decode("utf-8", "surrogateescape")
    name = display_name(text, file_type)
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert not set("/\\\0\r\n") & set(name)
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert len(usable_name(text)) <= MAX_NAME_CHARACTERS
    assert usable_email(text) is None or is_clean(text)
    assert trimmed_id(trimmed_id(text)) == trimmed_id(text)
    with suppress(ValueError):
        assert is_clean(str(identifier_text(text)))
