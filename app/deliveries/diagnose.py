"""What a sender did wrong whose signature does not fit: known mistakes, tried with the true secret.

Never accepts anything and never shows an expected value; who does not know a secret learns
nothing. It costs at most MAX_HMACS over the content (SECURITY promise 35, DESIGN R8).
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from pydantic import SecretStr

from app.deliveries.authenticate import SignatureHeaders, check_headers, frame
from app.errors import SignatureMismatchError, SignatureMissingError
from app.text import StrictJsonError, load_json

MAX_HMACS = 8
MAX_REWRITTEN_BYTES = 64 * 1024
# Dense JSON costs 0.4 s per MiB to read and write anew, which is no price for a stranger's body.

_DIGEST_BYTES = hashlib.sha256().digest_size
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_PREFIXES = ("v1,", "v1=", "sha256=")
_MILLISECONDS = re.compile(r"([0-9]{10})[0-9]{3}")


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


def diagnose(
    content: bytes,
    headers: SignatureHeaders,
    *,
    secret: SecretStr,
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
    guesses = _guess_all(content, headers, secret, sso_secret, whole_body)
    for guess in islice(guesses, MAX_HMACS if shown else 0):
        digest = hmac.digest(guess.key, guess.signed, "sha256")
        fits = [one for one in shown if hmac.compare_digest(digest, one.digest)]
        if fits:
            return " ".join(filter(None, [guess.mistake, fits[0].mistake])) or None
    return None


def _read_shown(headers: SignatureHeaders) -> Iterator[_DigestSpelling]:
    """Every digest in the deciding header, however it is written."""
    if headers.is_v1:
        values, right = headers.webhook_signature[0].split(" "), "v1,<base64>"
    else:
        values, right = [headers.spark[0]], "<hexadecimal>"
    for value in values:
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
    raw = _from_base64(text) or b""
    if len(raw) == _DIGEST_BYTES:
        return raw, "base64"
    if _HEX.fullmatch(raw.decode("latin-1")):
        return bytes.fromhex(raw.decode("ascii")), "base64 of hexadecimal"
    return None, ""


def _guess_all(
    content: bytes,
    headers: SignatureHeaders,
    secret: SecretStr,
    sso_secret: SecretStr | None,
    whole_body: bytes | None,
) -> Iterator[_Guess]:
    """The likely and cheap ones first: `diagnose` takes the first MAX_HMACS that apply."""
    text = secret.get_secret_value()
    key, before = text.encode(), _before(headers)
    yield _Guess(key, before + content, "")
    if headers.is_v1:
        yield from _guess_v1(content, headers, text)
    if whole_body is not None:
        yield _Guess(
            key,
            before + whole_body,
            "The whole multipart body is signed: sign the metadata field's value only.",
        )
    for mistake, other in _other_keys(text, sso_secret):
        yield _Guess(other, before + content, mistake)
    for mistake, form in _rewritten(content):
        yield _Guess(key, before + form, mistake)
    yield _Guess(
        key,
        before + b"[object FormData]",
        "The text [object FormData] is signed: sign the metadata field's value.",
    )


def _before(headers: SignatureHeaders) -> bytes:
    return frame(headers.webhook_id[0], headers.webhook_timestamp[0]) if headers.is_v1 else b""


def _guess_v1(content: bytes, headers: SignatureHeaders, text: str) -> Iterator[_Guess]:
    decoded = _from_base64(text.removeprefix("whsec_"))
    if decoded:
        yield _Guess(
            decoded,
            _before(headers) + content,
            "The key is the base64-decoded secret: give a Standard Webhooks library whsec_ and the"
            " base64 of the secret's text.",
        )
    yield _Guess(
        text.encode(),
        content,
        "The body alone is signed: sign {webhook-id}.{webhook-timestamp}.{body}.",
    )
    milliseconds = _MILLISECONDS.fullmatch(headers.webhook_timestamp[0])
    if milliseconds:
        yield _Guess(
            text.encode(),
            frame(headers.webhook_id[0], milliseconds[1]) + content,
            "webhook-timestamp is in milliseconds: send the seconds that are signed.",
        )


def _other_keys(text: str, sso_secret: SecretStr | None) -> Iterator[tuple[str, bytes]]:
    if sso_secret is not None:
        yield (
            "The key is the SSO secret: use the webhook secret.",
            sso_secret.get_secret_value().encode(),
        )
    try:
        decoded = bytes.fromhex(text)
    except ValueError:
        return
    yield "The key is the hex-decoded secret: use its literal text.", decoded


def _rewritten(content: bytes) -> Iterator[tuple[str, bytes]]:
    """What other writers of JSON make of the content, each form once."""
    if len(content) > MAX_REWRITTEN_BYTES:
        return
    try:
        value = load_json(content)
    except StrictJsonError:
        return
    forms = {content}
    for name, form in (
        ("written anew by JSON.stringify", _compact(value)),
        ("written anew by PHP's json_encode", _compact(value, ascii_only=True, slash=rb"\/")),
        ("with sorted keys", _compact(value, sorted_keys=True)),
    ):
        if form not in forms:
            yield f"The JSON is signed {name}: sign the very bytes that are sent.", form
        forms.add(form)


def _compact(
    value: object, *, ascii_only: bool = False, sorted_keys: bool = False, slash: bytes = b"/"
) -> bytes:
    """A lone surrogate stays escaped, as other writers leave it."""
    text = json.dumps(value, ensure_ascii=ascii_only, sort_keys=sorted_keys, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace").replace(b"/", slash)


def _from_base64(text: str) -> bytes | None:
    """Either alphabet, with or without padding."""
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        return None
