"""What an editor saves: the whole document, each block with content that is safe to keep and show.

Text is repaired as everywhere. What only the editor needs (members that begin with `_`, `blob:`
addresses of its own page) is dropped; links into our bucket become the pointers behind them. What
is stored already is not judged as new (DESIGN R36): whether it is, is known under the lock.
"""

import json
import re
import unicodedata
from contextlib import suppress
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
)

from app.deliveries.payload import MomentText, counted_first, read_payload
from app.errors import FieldInvalidError
from app.evidence.editor_document import (
    UPDATED_EXAMPLE,
    VERSION_EXAMPLE,
    EvidenceBlockAnswer,
)
from app.evidence.links import json_objects
from app.fields import MessageModel
from app.storage.bucket import Bucket
from app.text import clean_text

EXAMPLE: dict[str, Any] = {
    "blocks": [{"type": "text", "content": {"text": "Rain fell on four of seven days."}}],
    "status": "draft",
}
MAX_BLOCKS = 500
MAX_CONTENT_BYTES = 64 * 1024  # beside the text
MAX_VALUES = 20_000  # in all: they are walked through while the lock is held
UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

URL_HINT = "A url must be http or https, or a link to a file of this student."


def _block_id(value: object) -> UUID | None:
    """Editors name new blocks `temp-…`, `new-…`, `legacy-…`, `block_…`, or not at all."""
    is_ours = isinstance(value, str) and UUID_TEXT.fullmatch(value)
    return UUID(str(value)) if is_ours else None


def _user_id(value: object) -> UUID | None:
    if value is not None and _block_id(value) is None:
        raise ValueError("it must be a UUID")
    return _block_id(value)


def _as_read(schema: dict[str, Any]) -> None:
    """In the contract: what was read says `block_type`, what editors send `type`."""
    kind = schema["properties"]["type"]
    schema["properties"]["block_type"] = kind | {
        "title": "Block type",
        "description": "In place of `type`, as it was read.",
    }
    schema["required"].remove("type")


class BlockDraft(MessageModel):
    """A block to be saved, as it was read or with `type`. Unknown fields are ignored; so is
    `order`.
    """

    model_config = ConfigDict(title="BlockToSave", json_schema_extra=_as_read)

    id: Annotated[UUID | None, BeforeValidator(_block_id, json_schema_input_type=str | None)] = (
        Field(
            None,
            title="Block id",
            description="The UUID it was read with. Anything else, or nothing, makes a new block.",
            examples=["temp-1", "0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d"],
        )
    )
    type: Literal["text", "image", "video", "link", "document"] = Field(
        validation_alias=AliasChoices("type", "block_type"),
        description="Decides the members of `content`. It or `block_type` is required.",
        examples=["text"],
    )
    content: dict[str, Any] = Field(
        description=(
            "As it was read, and changed: 64 KiB beside `text`. Each `url` in it is http, https, or"
            " a link or pointer to a file of this student."
        ),
        examples=[{"text": "Rain fell on four of seven days."}],
    )
    is_private: bool | None = Field(
        None,
        description="Hidden from portfolio readers. Absent: as it was, and false if it is new.",
        examples=[False],
    )
    uploaded_by_user_id: Annotated[
        UUID | None, BeforeValidator(_user_id, json_schema_input_type=str | None)
    ] = Field(
        None,
        description="Who wrote a new block, told by a service key. Absent: the student.",
        examples=["0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d"],
    )
    uploaded_by_role: Literal["student", "advisor", "parent"] | None = Field(
        None,
        description="In which role, told by a service key. Absent: student.",
        examples=["student"],
    )

    _sent: dict[str, Any] = PrivateAttr(default_factory=dict)
    _fault: FieldInvalidError | None = PrivateAttr(None)
    _is_stored: bool = PrivateAttr(default=False)

    def judge(self, bucket: Bucket, *, name: str, max_text_bytes: int) -> None:
        """Make the content what may be kept of it. Raises FieldInvalidError; a block that may be
        stored already keeps it for `settle`.
        """
        self._sent = self.content
        try:
            self.content = _clean(self.content)
            _check_urls(self.content, bucket, name=f"{name}.url")
            _check_size(self.content, max_text_bytes, name=name)
        except FieldInvalidError as fault:
            if self.id is None:
                raise
            self._fault = fault

    @property
    def is_stored(self) -> bool:
        """Whether `settle` found it so."""
        return self._is_stored

    def settle(
        self,
        stored: EvidenceBlockAnswer | None,
        bucket: Bucket,
        fault: FieldInvalidError | None = None,
    ) -> None:
        """What may not be kept stays if it is the block as it was read (DESIGN R36).

        Raises the fault, or what `judge` found, if it is not.
        """
        fault = fault or self._fault
        if fault is None:
            return
        if not stored or self.type != stored.block_type:
            raise fault
        if not is_as_read(self._sent, stored.content, bucket):
            raise fault
        self.content, self._is_stored = stored.content, True


class EvidenceDraft(MessageModel):
    """The document as it shall be; what was read may be sent back. Unknown fields are ignored."""

    model_config = ConfigDict(title="EvidenceToSave", json_schema_extra={"examples": [EXAMPLE]})

    blocks: Annotated[list[BlockDraft], counted_first(MAX_BLOCKS)] = Field(
        description="All of them; the place in the list is the order.", max_length=MAX_BLOCKS
    )
    status: Literal["draft", "completed"] | None = Field(
        None,
        description=(
            "`completed` completes the task. A completed document stays completed. Absent: as it"
            " was, and a draft if it is new."
        ),
        examples=["draft"],
    )
    version: str | None = Field(
        None,
        description=(
            "The one that was read: saved only if nobody saved meanwhile. Without it neither a"
            " block nor its file may be left out. `If-Match` says the same."
        ),
        examples=[VERSION_EXAMPLE],
    )
    updated_at: MomentText | None = Field(
        None,
        description="In place of `version`, as it was read or cut to milliseconds.",
        examples=[UPDATED_EXAMPLE],
    )


def read_draft(raw: bytes, bucket: Bucket, *, max_text_bytes: int) -> EvidenceDraft:
    """Raises JsonInvalidError, FieldMissingError or FieldInvalidError."""
    draft = read_payload(raw, EvidenceDraft, max_values=MAX_VALUES)
    seen: set[UUID] = set()
    for place, block in enumerate(draft.blocks):
        if block.id in seen:
            raise FieldInvalidError(name=f"blocks.{place}.id", hint="Two blocks have this id.")
        seen |= {block.id} if block.id else set()
        block.judge(bucket, name=f"blocks.{place}.content", max_text_bytes=max_text_bytes)
    return draft


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        members = ((clean_text(name), _clean(item)) for name, item in value.items())
        return {name: item for name, item in members if not name.startswith("_")}
    return value


def _check_urls(content: dict[str, Any], bucket: Bucket, *, name: str) -> None:
    """Each `url` becomes what is kept of it, or goes; of other members, pointers behind links."""
    for part in json_objects(content):
        for member in part.keys() & bucket.pointers.members - {"url"}:
            part[member] = _pointer(part[member], bucket)
        url = part.pop("url", None) or ""
        try:
            if url and not url.startswith("blob:"):
                part["url"] = _checked_url(url, bucket)
        except (ValueError, AttributeError):
            raise FieldInvalidError(name=name, hint=URL_HINT) from None


def is_as_read(sent: Any, stored: Any, bucket: Bucket) -> bool:
    """The same, but for links in place of pointers."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        return sent.keys() == stored.keys() and all(
            is_as_read(value, stored[name], bucket)
            or (
                name in bucket.pointers.members
                and _pointer(value, bucket) == _pointer(stored[name], bucket)
            )
            for name, value in sent.items()
        )
    if isinstance(sent, list) and isinstance(stored, list):
        pairs = zip(sent, stored, strict=False)
        return len(sent) == len(stored) and all(is_as_read(*pair, bucket) for pair in pairs)
    return bool(sent == stored)


def _pointer(url: Any, bucket: Bucket) -> Any:
    """Behind a link into our bucket; anything else as it is."""
    with suppress(ValueError):
        return bucket.pointers.reduce(url) if isinstance(url, str) else url
    return url


def _checked_url(url: str, bucket: Bucket) -> str:
    """Raises ValueError. Whose file a pointer names is not known here."""
    if bucket.pointers.find(url):
        return url
    address = urlsplit(url)
    is_plain = not any(unicodedata.category(character) == "Cc" for character in url)
    if not is_plain or address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError("no address of the web")
    return bucket.pointers.reduce(url)


def _check_size(content: dict[str, Any], max_text_bytes: int, *, name: str) -> None:
    text = content.get("text")
    beside = {key: value for key, value in content.items() if key != "text"}
    if not isinstance(text, str):
        text, beside = "", content
    if len(text.encode()) > max_text_bytes:
        hint = f"It may have {max_text_bytes} bytes of UTF-8."
        raise FieldInvalidError(name=f"{name}.text", hint=hint)
    if len(json.dumps(beside, ensure_ascii=False).encode()) > MAX_CONTENT_BYTES:
        hint = f"Beside `text` it may have {MAX_CONTENT_BYTES} bytes of JSON."
        raise FieldInvalidError(name=name, hint=hint)
