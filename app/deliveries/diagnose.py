"""What a sender did wrong whose signature does not fit: known mistakes, tried with our secrets.

Never accepts anything and never shows an expected value; who does not know a secret learns
nothing. It costs at most MAX_HASHED_BYTES, a dozen HMACs over 1 MiB (SECURITY promise 35, DESIGN
R8, R34).
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from app.deliveries.authenticate import SignatureHeaders, check_headers
from app.errors import SignatureMismatchError, SignatureMissingError
from app.signing import frame, from_base64, misread_keys
from app.text import StrictJsonError, load_json

MAX_HASHED_BYTES = 12 * 1024 * 1024
MAX_REWRITTEN_BYTES = 64 * 1024
# Dense JSON costs 0.4 s per MiB to read and write anew, which is no price for a stranger's body;
# with line breaks it is written by Python itself, ten times as slowly.
MAX_INDENTED_BYTES = 8 * 1024

_DIGEST_BYTES = hashlib.sha256().digest_size
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){16,64}")
_PREFIXES = ("v1,", "v1=", "sha256=", "sha1=", "sha512=")
_STRIPE = re.compile(r"t=([0-9]{1,18}),(?:.*,)?v1=([0-9a-fA-F]{64})(?:,.*)?")
_MILLISECONDS = re.compile(r"([0-9]{10})[0-9]{3}")
_OTHER_HASHES = {16: "MD5", 20: "SHA-1", 28: "SHA-224", 48: "SHA-384", 64: "SHA-512"}
_WRITERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("written anew by JSON.stringify", {}),
    ("written anew by PHP's json_encode", {"ensure_ascii": True, "slash": rb"\/"}),
    ("written anew by PHP's json_encode", {"slash": rb"\/"}),
    ("written anew by Python's json.dumps", {"ensure_ascii": True, "separators": (", ", ": ")}),
    ("written anew by Python's json.dumps", {"separators": (", ", ": ")}),
    ("written anew without white space", {"ensure_ascii": True}),
    ("with sorted keys", {"sort_keys": True}),
    ("with sorted keys", {"sort_keys": True, "ensure_ascii": True}),
    (
        "with sorted keys",
        {"sort_keys": True, "ensure_ascii": True, "separators": (", ", ": ")},
    ),
)
_INDENTED: tuple[tuple[str, dict[str, Any]], ...] = tuple(
    ("with line breaks", {"indent": indent, "separators": (",", ": ")} | form)
    for indent in (2, 4)
    for form in ({}, {"ensure_ascii": True}, {"ensure_ascii": True, "slash": rb"\/"})
)


@dataclass(frozen=True)
class _DigestSpelling:
    """A digest that the sender shows, and what is wrong with how it is written ("" if nothing)."""

    digest: bytes
    mistake: str


@dataclass(frozen=True)
class _Guess:
    """Under this key, over these bytes; the first guess of all has no mistake ("")."""

    key: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    mistake: str


def describe_received(content: bytes) -> dict[str, object]:
    """What the sender compares with its own: equal means that the key is wrong, else the bytes."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def diagnose(
    content: bytes,
    headers: SignatureHeaders,
    *,
    secrets: Sequence[SecretStr],
    sso_secret: SecretStr | None,
    whole_body: bytes | None,
) -> str | None:
    """The hint for the first known mistake that fits, or None: then `authenticate` said it all.

    Where v1 decides, only v1 is looked at. `whole_body` is the multipart body around `content`;
    give it only if it is small, and call this in a thread.
    """
    try:
        check_headers(headers, require_v1=False)
    except (SignatureMissingError, SignatureMismatchError):
        return None
    shown = list(_read_shown(headers))
    if not any(len(one.digest) == _DIGEST_BYTES for one in shown):
        return _name_hash(shown)
    left = MAX_HASHED_BYTES
    for guess in _guess_all(content, headers, secrets, sso_secret, whole_body):
        left -= len(guess.signed)
        if left < 0:
            break
        digest = hmac.digest(guess.key, guess.signed, "sha256")
        fits = [one for one in shown if hmac.compare_digest(digest, one.digest)]
        if fits:
            return " ".join(filter(None, [guess.mistake, fits[0].mistake])) or None
    return None


def _name_hash(shown: Sequence[_DigestSpelling]) -> str | None:
    for one in shown:
        if name := _OTHER_HASHES.get(len(one.digest)):
            return f"The signature is as long as one of HMAC-{name}: use HMAC-SHA256."
    return None


def _read_shown(headers: SignatureHeaders) -> Iterator[_DigestSpelling]:
    """Every digest in the deciding header, however it is written."""
    if headers.is_v1:
        values, right = headers.webhook_signature[0].split(" "), "v1,<base64>"
    else:
        values, right = [headers.spark[0]], "<hexadecimal>"
    for value in values:
        if stripe := _STRIPE.fullmatch(value):
            yield _DigestSpelling(
                bytes.fromhex(stripe[2]), f"Send {right} as signature, without t= and v1=."
            )
            continue
        prefix = next((one for one in _PREFIXES if value.startswith(one)), "")
        digest, form = _read_digest(value.removeprefix(prefix))
        written = f"{prefix}<{form}>"
        if digest:
            yield _DigestSpelling(
                digest, "" if written == right else f"Send {right} as signature, not {written}."
            )


def _read_digest(text: str) -> tuple[bytes | None, str]:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text), "hexadecimal"
    raw = from_base64(text) or b""
    if _HEX.fullmatch(raw.decode("latin-1")):
        return bytes.fromhex(raw.decode("ascii")), "base64 of hexadecimal"
    if len(raw) == _DIGEST_BYTES or len(raw) in _OTHER_HASHES:
        return raw, "base64"
    return None, ""


def _guess_all(
    content: bytes,
    headers: SignatureHeaders,
    secrets: Sequence[SecretStr],
    sso_secret: SecretStr | None,
    whole_body: bytes | None,
) -> Iterator[_Guess]:
    """The likely ones first, and with the current secret before the previous one."""
    for secret in secrets:
        key, before = secret.get_secret_value().encode(), _before(headers)
        yield _Guess(key, before + content, "")
        for mistake, signed in _other_frames(content, headers):
            yield _Guess(key, signed, mistake)
        if sso_secret is not None:
            other = sso_secret.get_secret_value().encode()
            mistake = "The key is the SSO secret: use the webhook secret."
            yield _Guess(other, before + content, mistake)
        for mistake, other in misread_keys(secret):
            yield _Guess(other, before + content, mistake)
        for mistake, form in _other_contents(content, whole_body):
            yield _Guess(key, before + form, mistake)


def _before(headers: SignatureHeaders) -> bytes:
    return frame(headers.webhook_id[0], headers.webhook_timestamp[0]) if headers.is_v1 else b""


def _other_frames(content: bytes, headers: SignatureHeaders) -> Iterator[tuple[str, bytes]]:
    if not headers.is_v1:
        if stripe := _STRIPE.fullmatch(headers.spark[0]):
            yield (
                "A time is signed before the body: sign the body alone.",
                (f"{stripe[1]}.".encode() + content),
            )
        return
    whole = "sign {webhook-id}.{webhook-timestamp}.{body}."
    before, seconds = _before(headers), headers.webhook_timestamp[0]
    yield f"The body alone is signed: {whole}", content
    yield f"The id is not signed: {whole}", f"{seconds}.".encode() + content
    yield f"The full stop before the body is missing: {whole}", before[:-1] + content
    if milliseconds := _MILLISECONDS.fullmatch(seconds):
        yield (
            "webhook-timestamp is in milliseconds: send the seconds that are signed.",
            frame(headers.webhook_id[0], milliseconds[1]) + content,
        )


def _other_contents(content: bytes, whole_body: bytes | None) -> Iterator[tuple[str, bytes]]:
    if whole_body is not None:
        yield (
            "The whole multipart body is signed: sign the metadata field's value only.",
            whole_body,
        )
    very = "sign the very bytes that are sent."
    if bare := content.rstrip(b"\r\n"):
        for form in {bare, bare + b"\n", bare + b"\r\n"} - {content}:
            yield f"The text is signed with another line break at its end: {very}", form
    for mistake, form in _rewritten(content):
        yield f"The JSON is signed {mistake}: {very}", form
    yield (
        "The text [object FormData] is signed: sign the metadata field's value.",
        b"[object FormData]",
    )


def _rewritten(content: bytes) -> Iterator[tuple[str, bytes]]:
    """What other writers of JSON make of the content, each form once."""
    if len(content) > MAX_REWRITTEN_BYTES:
        return
    try:
        value = load_json(content)
    except StrictJsonError:
        return
    forms = {content}
    for mistake, style in _WRITERS + (_INDENTED if len(content) <= MAX_INDENTED_BYTES else ()):
        form = _write(value, **style)
        if form not in forms:
            yield mistake, form
        forms.add(form)


def _write(value: object, *, slash: bytes = b"/", **style: Any) -> bytes:
    """A lone surrogate stays escaped, as other writers leave it."""
    compact: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":")}
    text = json.dumps(value, **compact | style)
    return text.encode("utf-8", "backslashreplace").replace(b"/", slash)
