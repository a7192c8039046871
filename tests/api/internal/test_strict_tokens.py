"""App tokens are read as strictly as launch tokens (DESIGN R46, finding L1), at each door."""

import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from app.clock import utc_now
from app.settings import Settings
from tests.support.canaries import CANARIES
from tests.support.evidence import EVIDENCE
from tests.support.spark import SignedIn

HEADER = {"alg": "HS256", "typ": "JWT"}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
Claims = dict[str, Any]
IsGood = Callable[[str], Awaitable[bool]]


def spelt(raw: bytes | dict[str, Any]) -> str:
    content = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.fixture
def sign(settings: Settings) -> Callable[[str], str]:
    """With the main app's key, whatever the header says."""
    secret: SecretStr | None = settings.jwt_secret_key
    assert secret
    key = secret.get_secret_value().encode()

    def signed(content: str) -> str:
        digest = hmac.new(key, content.encode(), hashlib.sha256).digest()
        token = f"{content}.{spelt(digest)}"
        CANARIES.release(token)
        return token

    return signed


KINDS = ("access", "refresh", "bearer", "main-app", "masquerade", "acting_as_dependent")


@pytest.fixture(params=KINDS, ids="L1-{}".format)
def kind(request: pytest.FixtureRequest) -> str:
    """`access` and `refresh` are introspected; the others open evidence."""
    name: str = request.param
    return name


@pytest.fixture
def claims(kind: str, student: SignedIn) -> Claims:
    """As a token of this kind says them."""
    now = int(utc_now().timestamp())
    said: Claims = {"sub": student.user_id, "user_id": student.user_id, "type": "access"}
    said |= {"version": "v1", "iat": now, "exp": now + 300}
    if kind in ("masquerade", "acting_as_dependent"):
        said |= {"type": kind, "user_id": str(uuid4()), "acting_as": student.user_id}
    elif kind != "main-app":
        own = student.refresh_token if kind == "refresh" else student.access_token
        said = json.loads(base64.urlsafe_b64decode(own.split(".")[1] + "=="))
    return said


@pytest.fixture
def is_good(kind: str, browser: httpx.AsyncClient, main_app: dict[str, str]) -> IsGood:
    async def introspect(token: str) -> bool:
        asked = {"token": token, "token_type_hint": "refresh_token"}
        path = "/internal/v1/sessions/introspect"
        answer = await browser.post(path, json=asked, headers=main_app)
        assert answer.status_code == 200, answer.text
        active: bool = answer.json()["active"]
        return active

    async def read(token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await browser.get(f"{EVIDENCE}/documents/{uuid4()}", headers=headers)
        assert answer.status_code in (401, 404), answer.text
        return answer.status_code == 404

    return introspect if kind in ("access", "refresh") else read


WRONG_HEADERS: dict[str, bytes | dict[str, Any]] = {
    "crit": HEADER | {"crit": ["exp"]},
    "b64-false": HEADER | {"b64": False},
    "jku": HEADER | {"jku": "https://evil.example/keys"},
    "zip": HEADER | {"zip": "DEF"},
    "none": HEADER | {"alg": "none"},
    "lower-case": HEADER | {"alg": "hs256"},
    "HS512": HEADER | {"alg": "HS512"},
    "at+jwt": HEADER | {"typ": "at+jwt"},
    "repeated": b'{"alg":"HS256","alg":"HS256","typ":"JWT"}',
    "nested": b'{"alg":"HS256","kid":[[]]}',
    "no-json": b"HS256",
}
RIGHT_HEADERS = {
    "plain": HEADER,
    "without-typ": {"alg": "HS256"},
    "kid": HEADER | {"kid": "2026-11"},
}


@pytest.mark.parametrize("header", WRONG_HEADERS.values(), ids=WRONG_HEADERS)
async def test_a_header_that_asks_for_more_makes_no_token(
    sign: Callable[[str], str], claims: Claims, is_good: IsGood, header: bytes | dict[str, Any]
) -> None:
    assert not await is_good(sign(f"{spelt(header)}.{spelt(claims)}"))


@pytest.mark.parametrize("header", RIGHT_HEADERS.values(), ids=RIGHT_HEADERS)
async def test_a_plain_header_is_read(
    sign: Callable[[str], str], claims: Claims, is_good: IsGood, header: dict[str, Any]
) -> None:
    assert await is_good(sign(f"{spelt(header)}.{spelt(claims)}"))


def _stray_bits(token: str) -> str:
    """The last character of 43 carries two bits that nobody reads."""
    last = ALPHABET.index(token[-1])
    return token[:-1] + ALPHABET[last ^ 1]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "other-last-character": _stray_bits,
    "one-sign-of-padding": lambda token: f"{token}=",
    "two-signs-of-padding": lambda token: f"{token}==",
    "four-segments": lambda token: f"{token}.",
    "foreign-character": lambda token: f"{token[:-9]}!{token[-9:]}",
    "no-signature": lambda token: token.rpartition(".")[0] + ".",
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
async def test_a_token_has_one_spelling(
    sign: Callable[[str], str], claims: Claims, is_good: IsGood, spell: Callable[[str], str]
) -> None:
    token = sign(f"{spelt(HEADER)}.{spelt(claims)}")
    other = spell(token)
    CANARIES.release(other)
    assert not await is_good(other)
    assert await is_good(token)


@pytest.mark.parametrize("place", [0, 1], ids=["header", "payload"])
async def test_no_segment_that_is_signed_is_padded(
    sign: Callable[[str], str], claims: Claims, is_good: IsGood, place: int
) -> None:
    segments = [spelt(HEADER), spelt(claims)]
    segments[place] += "="
    assert not await is_good(sign(".".join(segments)))


def _now(seconds: int) -> int:
    return int(utc_now().timestamp()) + seconds


WRONG_TIMES: dict[str, Callable[[], Claims]] = {
    "iat-ahead": lambda: {"iat": _now(70)},
    "nbf-ahead": lambda: {"nbf": _now(70)},
    "exp-now": lambda: {"exp": _now(0)},
    "exp-text": lambda: {"exp": str(_now(300))},
    "iat-text": lambda: {"iat": str(_now(0))},
    "nbf-text": lambda: {"nbf": str(_now(0))},
    "exp-true": lambda: {"exp": True},
    "exp-null": lambda: {"exp": None},
    "exp-list": lambda: {"exp": [_now(300)]},
    "exp-in-milliseconds": lambda: {"exp": _now(300) * 1000},
}
RIGHT_TIMES: dict[str, Callable[[], Claims]] = {
    "iat-of-a-clock-ahead": lambda: {"iat": _now(50)},
    "nbf-of-a-clock-ahead": lambda: {"nbf": _now(50)},
    "nbf-null": lambda: {"nbf": None},
}


@pytest.mark.parametrize("times", WRONG_TIMES.values(), ids=WRONG_TIMES)
async def test_times_are_numbers_and_a_token_is_not_of_tomorrow(
    sign: Callable[[str], str], claims: Claims, is_good: IsGood, times: Callable[[], Claims]
) -> None:
    assert not await is_good(sign(f"{spelt(HEADER)}.{spelt(claims | times())}"))


@pytest.mark.parametrize("times", RIGHT_TIMES.values(), ids=RIGHT_TIMES)
async def test_clocks_may_differ_by_a_minute(
    sign: Callable[[str], str], claims: Claims, is_good: IsGood, times: Callable[[], Claims]
) -> None:
    assert await is_good(sign(f"{spelt(HEADER)}.{spelt(claims | times())}"))
