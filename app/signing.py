"""What our keys make: HMAC-SHA256 of bytes, and HS256 tokens (RFC 7515).

A secret is its literal text: 64 hexadecimal characters are 64 key bytes, not 32. This is the one
module that knows python-jose; it is given ready keys, so that neither a token's header nor a
secret that looks like JSON can choose how to verify (SECURITY section 2).
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JOSEError
from pydantic import SecretStr

from app.errors import SignatureMismatchError
from app.settings import Settings
from app.text import load_json

ALGORITHM = "HS256"
HEADER_MEMBERS = {"alg", "typ", "kid"}  # of which typ is absent or JWT, and kid is never followed
TokenKey = Key  # verifies and signs HS256 and nothing else


def sign(secret: SecretStr, content: bytes) -> str:
    """Lower-case hexadecimal, as `X-Spark-Signature` carries it."""
    return hmac.new(secret.get_secret_value().encode(), content, hashlib.sha256).hexdigest()


def frame(webhook_id: str, timestamp: str) -> bytes:
    """What a signature of Standard Webhooks covers before the content."""
    return f"{webhook_id}.{timestamp}.".encode()


def sign_v1(secret: SecretStr, signed: bytes) -> str:
    """As `webhook-signature` lists it."""
    return f"v1,{base64.b64encode(bytes.fromhex(sign(secret, signed))).decode()}"


def misread_keys(secret: SecretStr) -> Iterator[tuple[str, bytes]]:
    """The keys that senders make of a secret by mistake, and what each of them is to be told."""
    text = secret.get_secret_value()
    if decoded := from_base64(text.removeprefix("whsec_")):
        yield (
            (
                "The key is the base64-decoded secret: use its literal text (a Standard Webhooks"
                " library wants whsec_ and the base64 of that text)."
            ),
            decoded,
        )
    for end in ("\n", "\r\n"):
        yield "The key ends with a line break: take it off.", f"{text}{end}".encode()
    for mark in "\"'":
        yield "The key is in quotes: take them off.", f"{mark}{text}{mark}".encode()
    yield "The key begins with whsec_: use the secret's text alone.", f"whsec_{text}".encode()
    with suppress(ValueError):
        yield "The key is the hex-decoded secret: use its literal text.", bytes.fromhex(text)


def from_base64(text: str) -> bytes | None:
    """Either alphabet, with or without padding; None for what is no base64."""
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        return None


def own_keys(settings: Settings, purpose: str) -> tuple[SecretStr, ...]:
    """Keys for one purpose alone: sign with the first; the second is of the previous secret. Where
    no secret is set, one key that lives as long as this process.
    """
    pair = (
        (settings.jwt_secret_key, settings.jwt_secret_key_previous)
        if settings.jwt_secret_key
        else (settings.spark_webhook_secret, settings.spark_webhook_secret_previous)
    )
    keys = tuple(SecretStr(sign(secret, purpose.encode())) for secret in pair if secret)
    return keys or (SecretStr(secrets.token_hex(32)),)


def token_key(secret: SecretStr) -> TokenKey:
    """The key of one secret; building it costs, so build it once."""
    return jwk.construct(secret.get_secret_value(), ALGORITHM)


def sign_token(claims: Mapping[str, Any], *, key: TokenKey, kind: str = "JWT") -> str:
    """`kind` is the header's `typ`; we verify no other than JWT."""
    return jws.sign(dict(claims), key, headers={"typ": kind}, algorithm=ALGORITHM)


def verify_token(token: str, *, keys: Sequence[TokenKey]) -> bytes:
    """The payload's bytes, if one of the keys signed them and nothing in the header asks for more
    (SECURITY D1, DESIGN R46). Says nothing about the claims.

    Raises SignatureMismatchError, whatever is wrong with the token.
    """
    try:
        header, payload_segment, signature = token.split(".")
        _check_header(header)
        _canonical_bytes(payload_segment)
        _canonical_bytes(signature)
        payload = jws.verify(token, cast("Any", keys), algorithms=[ALGORITHM])
    except (JOSEError, ValueError, TypeError, RecursionError) as error:
        raise SignatureMismatchError from error
    return bytes(payload)


@lru_cache(maxsize=16)  # those that are right; senders write the same one each time
def _check_header(segment: str) -> None:
    """Raises ValueError."""
    header = load_json(_canonical_bytes(segment), max_depth=1)
    if (
        not isinstance(header, dict)
        or not header.keys() <= HEADER_MEMBERS
        or header.get("alg") != ALGORITHM
        or (header.get("typ") not in (None, "") and str(header["typ"]).upper() != "JWT")
    ):
        raise ValueError("the header is of another kind of token")


def _canonical_bytes(segment: str) -> bytes:
    """Another spelling of a token is another token. Python's decoder skips foreign characters and
    stray bits; writing it again shows them. Raises ValueError.
    """
    decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise ValueError("it is not canonical base64url")
    return decoded
