"""What is wrong with a launch token that nobody of ours signed, as far as it can be told.

Never accepts anything, and names no value of the token. Some dozen HMACs over at most 64 KiB.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress

from pydantic import SecretStr

from app.signing import ALGORITHM, HEADER_MEMBERS, from_base64, misread_keys

# RFC 7518 section 3.1: what may be repeated to the sender, because it is no value of its own.
_ALGORITHMS = {
    "none",
    *(f"{kind}{size}" for kind in ("HS", "RS", "ES", "PS") for size in (256, 384, 512)),
}
_SIGNATURE_CHARACTERS = 43
_DIGEST_BYTES = hashlib.sha256().digest_size


def diagnose_launch(
    token: str, *, secrets: Sequence[SecretStr], webhook_secrets: Sequence[SecretStr]
) -> str | None:
    """The hint for the first known mistake that fits, or None."""
    if token != token.strip(" \t\r\n\"'"):
        return "The token has quotes or white space around it: take them off."
    if token.lower().startswith("bearer"):
        return "Send the token alone, without the word Bearer."
    segments = token.split(".")
    if len(segments) != 3 or not all(segments[:2]):  # noqa: PLR2004 - RFC 7515 section 3.1
        return "The token is cut off: it has three segments, with full stops between them."
    return _about_header(segments[0]) or _about_signature(
        f"{segments[0]}.{segments[1]}".encode("utf-8", "replace"),
        segments[2],
        secrets,
        webhook_secrets,
    )


def _about_header(segment: str) -> str | None:
    header: object = None
    with suppress(ValueError, RecursionError):
        header = json.loads(from_base64(segment) or b"")
    if not isinstance(header, dict):
        return "The token's first segment is no JSON object in base64url."
    algorithm = header.get("alg")
    if algorithm != ALGORITHM:
        is_known = isinstance(algorithm, str) and algorithm in _ALGORITHMS
        named = f"by {algorithm}" if is_known else "by another algorithm"
        return f"The token is signed {named}: sign with {ALGORITHM}."
    if header.keys() - HEADER_MEMBERS:
        return "The token's header has other members than alg, typ and kid: leave them out."
    return None


def _about_signature(
    signed: bytes,
    signature: str,
    secrets: Sequence[SecretStr],
    webhook_secrets: Sequence[SecretStr],
) -> str | None:
    shown = from_base64(signature) or b""
    with suppress(ValueError):
        shown = bytes.fromhex(signature) if len(signature) == 2 * _DIGEST_BYTES else shown
    for mistake, key in _guess_keys(secrets, webhook_secrets):
        if hmac.compare_digest(hmac.digest(key, signed, "sha256"), shown):
            return mistake
    if len(signature) < _SIGNATURE_CHARACTERS:
        return f"The token is cut off: its signature has {_SIGNATURE_CHARACTERS} characters."
    return None


def _guess_keys(
    secrets: Sequence[SecretStr], webhook_secrets: Sequence[SecretStr]
) -> Iterator[tuple[str, bytes]]:
    for secret in secrets:
        yield (
            "The signature is right but is not written in base64url without padding.",
            secret.get_secret_value().encode(),
        )
    for secret in webhook_secrets:
        yield (
            "The key is the webhook secret: use the SSO secret.",
            secret.get_secret_value().encode(),
        )
    for secret in secrets:
        yield from misread_keys(secret)
