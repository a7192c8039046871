"""Each known mistake in signing a launch token is named, and none is accepted."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.errors import LaunchTokenInvalidError
from app.signing import token_key
from app.sso.diagnose_launch import diagnose_launch
from app.sso.launch_token import verify_launch_token
from tests.support.webhooks import PREVIOUS, SECRET, SSO_SECRET

TEXT = SSO_SECRET.get_secret_value()
NOW = datetime.now(UTC)


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def made(
    *,
    key: bytes = TEXT.encode(),
    header: object = None,
    write: Callable[[bytes], str] = segment,
    digest: str = "sha256",
) -> str:
    head = json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode()
    at = int(NOW.timestamp())
    claims = {"sub": "42", "email": "", "iat": at, "exp": at + 60}
    signed = f"{segment(head)}.{segment(json.dumps(claims).encode())}"
    return f"{signed}.{write(hmac.digest(key, signed.encode(), digest))}"


MISTAKES = {
    "webhook secret": (made(key=SECRET.get_secret_value().encode()), "webhook secret"),
    "previous webhook secret": (made(key=PREVIOUS.get_secret_value().encode()), "webhook secret"),
    "hex-decoded": (made(key=bytes.fromhex(TEXT)), "hex-decoded"),
    "base64-decoded": (made(key=base64.b64decode(TEXT)), "base64-decoded"),
    "line break": (made(key=f"{TEXT}\n".encode()), "line break"),
    "quotes round the key": (made(key=f'"{TEXT}"'.encode()), "key is in quotes"),
    "hexadecimal": (made(write=bytes.hex), "base64url"),
    "base64 with padding": (made(write=lambda raw: base64.b64encode(raw).decode()), "base64url"),
    "HS512": (made(header={"alg": "HS512"}, digest="sha512"), "by HS512: sign with HS256"),
    "RS256": (made(header={"alg": "RS256"}), "by RS256"),
    "none": (made(header={"alg": "none"}, write=lambda _: ""), "by none"),
    "an algorithm of its own": (made(header={"alg": "canary"}), "by another algorithm"),
    "a list of algorithms": (made(header={"alg": []}), "by another algorithm"),
    "an object of them": (made(header={"alg": {}}), "by another algorithm"),
    "no algorithm": (made(header={"typ": "JWT"}), "by another algorithm"),
    "other members": (made(header={"alg": "HS256", "crit": ["x"]}), "other members"),
    "cut off": (made()[:-9], "its signature has 43 characters"),
    "cut off before the signature": (made().rpartition(".")[0], "three segments"),
    "no token": ("canary", "three segments"),
    "in quotes": (f'"{made()}"', "quotes or white space"),
    "with a line break": (f"{made()}\n", "quotes or white space"),
    "Bearer": (f"Bearer {made()}", "without the word Bearer"),
    "no JSON": ("canary.e30.sig", "no JSON object"),
}


def diagnosed(token: str) -> str | None:
    return diagnose_launch(token, secrets=[SSO_SECRET], webhook_secrets=[SECRET, PREVIOUS])


@pytest.mark.parametrize(("token", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_known_mistake_is_named(token: str, hint: str) -> None:
    said = diagnosed(token) or ""
    assert hint in said
    assert "canary" not in said


@pytest.mark.parametrize(("token", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_no_mistake_is_accepted(token: str, hint: str) -> None:
    with pytest.raises(LaunchTokenInvalidError):
        verify_launch_token(token, keys=[token_key(SSO_SECRET)], now=NOW)


def test_a_token_of_somebody_else_gets_no_hint() -> None:
    assert diagnosed(made(key=hashlib.sha256(b"x").digest())) is None


@given(st.text(), st.text(alphabet="eyJhbGci.-_=", max_size=80))
def test_any_text_is_looked_at_without_a_fault(anything: str, alike: str) -> None:
    for token in (anything, alike):
        diagnose_launch(token, secrets=[SecretStr("s" * 32)], webhook_secrets=[])
