"""Rows P003 to P025 and P036 of the fault list, as far as the token alone decides.

Tokens are put together here byte by byte (RFC 7515), so that any header and any payload can be
signed. PyJWT and joserfc give a second opinion on everything we refuse; LAXER names what they let
through and we do not.
"""

import base64
import hashlib
import hmac
import json
import tracemalloc
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr

from app.errors import (
    LaunchClaimsInvalidError,
    LaunchTokenExpiredError,
    LaunchTokenInvalidError,
    RoleNotAllowedError,
)
from app.signing import token_key
from app.sso.launch_token import LaunchClaims, verify_launch_token

SECRET = hashlib.sha256(b"this year's").hexdigest()
OTHER_SECRET = hashlib.sha256(b"last year's").hexdigest()
KEY = token_key(SecretStr(SECRET))
OTHER_KEY = token_key(SecretStr(OTHER_SECRET))
HEADER = {"alg": "HS256", "typ": "JWT"}


@dataclass(frozen=True)
class Ahead:
    """A claim that many seconds after now."""

    seconds: int


def claims(now: datetime, **changes: Any) -> dict[str, Any]:
    """A student's claims. A change to `...` leaves the claim out."""
    moment = int(now.timestamp())
    student = {
        "sub": "student_42",
        "email": "ada@example.com",
        "given_name": "Ada",
        "family_name": "Example",
        "role": "student",
        "iat": Ahead(0),
        "exp": Ahead(600),
    } | changes
    return {
        name: moment + value.seconds if isinstance(value, Ahead) else value
        for name, value in student.items()
        if value is not ...
    }


def forge(header: object, payload: object, *, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token with a right signature over anything: values become JSON, bytes stay as they are."""
    signing_input = b".".join(
        encode(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, payload)
    )
    signature = hmac.digest(secret.encode(), signing_input, digest)
    return (signing_input + b"." + encode(signature)).decode()


def encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def verify(token: str, now: datetime | None = None) -> LaunchClaims:
    return verify_launch_token(token, keys=[KEY], now=now or datetime.now(tz=UTC))


def verify_claims(**changes: Any) -> LaunchClaims:
    now = datetime.now(tz=UTC)
    return verify(forge(HEADER, claims(now, **changes)), now)


def pyjwt_accepts(token: str) -> bool:
    try:
        jwt.decode(token, SECRET, ["HS256"], options={"require": ["exp", "iat", "sub", "email"]})
    except Exception:  # noqa: BLE001 - any way to refuse is one
        return False
    return True


def joserfc_accepts(token: str) -> bool:
    needed = {name: {"essential": True} for name in ("exp", "iat", "sub", "email")}
    try:
        decoded = joserfc_jwt.decode(token, OctKey.import_key(SECRET), ["HS256"])
        joserfc_jwt.JWTClaimsRegistry(**needed).validate(decoded.claims)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - any way to refuse is one
        return False
    return True


def libraries_that_accept(token: str) -> set[str]:
    opinions = {"pyjwt": pyjwt_accepts(token), "joserfc": joserfc_accepts(token)}
    return {library for library, accepts in opinions.items() if accepts}


VALID = claims(datetime.now(tz=UTC) - timedelta(seconds=5), exp=4_000_000_000)
GOOD = forge(HEADER, VALID)


def unsigned(header: object) -> str:
    return forge(header, VALID).rpartition(".")[0] + "."


def respelt(token: str) -> str:
    """The last character's two spare bits set: it decodes to the same signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


FORGED = {
    "P003-none": unsigned({"alg": "none"}),
    "P003-None": unsigned({"alg": "None"}),
    "P003-NONE": unsigned({"alg": "NONE"}),
    "P003-nOnE": unsigned({"alg": "nOnE"}),
    "P003-none-but-signed": forge({"alg": "none"}, VALID),
    "P004-other-secret": forge(HEADER, VALID, secret=OTHER_SECRET),
    "P004-empty-secret": forge(HEADER, VALID, secret=""),
    "P005-hs384": forge({"alg": "HS384"}, VALID, digest="sha384"),
    "P005-hs512": forge({"alg": "HS512"}, VALID, digest="sha512"),
    "P005-hs512-named-hs256": forge(HEADER, VALID, digest="sha512"),
    "P006-rs256": forge({"alg": "RS256"}, VALID),
    "P006-es256": forge({"alg": "ES256"}, VALID),
    "P006-ps256": forge({"alg": "PS256"}, VALID),
    "P006-no-alg": forge({"typ": "JWT"}, VALID),
    "P006-alg-list": forge({"alg": ["HS256"]}, VALID),
    "P006-alg-twice": forge(b'{"alg":"none","alg":"HS256"}', VALID),
    "P008-crit": forge({**HEADER, "crit": ["x"]}, VALID),
    "P008-b64": forge({**HEADER, "crit": ["b64"], "b64": True}, VALID),
    "P009-jku": forge({**HEADER, "jku": "https://evil.example/keys"}, VALID),
    "P009-x5u": forge({**HEADER, "x5u": "https://evil.example/cert"}, VALID),
    "P009-jwk": forge({**HEADER, "jwk": {"kty": "oct", "k": "AAAA"}}, VALID),
    "P009-kid-object": forge({**HEADER, "kid": {"a": 1}}, VALID),
    "P010-access-token": forge({"alg": "HS256", "typ": "at+jwt"}, VALID),
    "P010-typ-other": forge({"alg": "HS256", "typ": "JWS"}, VALID),
    "P010-typ-empty-list": forge({"alg": "HS256", "typ": []}, VALID),
    "P010-typ-zero": forge({"alg": "HS256", "typ": 0}, VALID),
    "P010-typ-false": forge({"alg": "HS256", "typ": False}, VALID),
    "P010-typ-list": forge({"alg": "HS256", "typ": ["JWT"]}, VALID),
    "P023-nested-header": encode(b'{"alg":' + b"[" * 1400 + b"]" * 1400 + b"}").decode() + ".e30.",
    "P023-header-no-object": forge([HEADER], VALID),
    "P023-header-no-json": forge(b"HS256", VALID),
    "P023-header-utf-16": forge(json.dumps(HEADER).encode("utf-16"), VALID),
    "P025-padded": GOOD + "==",
    "P025-respelt": respelt(GOOD),
    "P025-space-after": GOOD + " ",
    "P025-newline-inside": GOOD[:20] + "\n" + GOOD[20:],
    "P025-no-segment": "token",
    "P025-two-segments": GOOD.rpartition(".")[0],
    "P025-four-segments": GOOD + ".AAAA",
    "P025-dots": "..",
    "P025-not-ascii": GOOD[:-1] + "é",
    "P025-surrogate": GOOD[:-1] + "\ud83d",
}

WRONG_CLAIMS: dict[str, tuple[str, dict[str, Any]]] = {
    "P011-no-exp": ("exp", {"exp": ...}),
    "P011-no-iat": ("iat", {"iat": ...}),
    "P011-no-sub": ("sub", {"sub": ...}),
    "P011-no-email": ("email", {"email": ...}),
    "P014-lives-661-s": ("exp", {"exp": Ahead(661)}),
    "P014-lives-10-years": ("exp", {"exp": Ahead(315_360_000)}),
    "P015-iat-61-s-ahead": ("iat", {"iat": Ahead(61)}),
    "P016-exp-null": ("exp", {"exp": None}),
    "P016-exp-list": ("exp", {"exp": [4_000_000_000]}),
    "P016-exp-object": ("exp", {"exp": {}}),
    "P016-exp-true": ("exp", {"exp": True}),
    "P016-exp-abc": ("exp", {"exp": "abc"}),
    "P016-exp-text": ("exp", {"exp": "4000000000"}),
    "P016-exp-infinite": ("payload", {"exp": float("inf")}),
    "P016-exp-nan": ("payload", {"exp": float("nan")}),
    "P016-exp-of-300-digits": ("exp", {"exp": 10**300}),
    "P016-exp-negative": ("exp", {"exp": -1}),
    "P016-iat-null": ("iat", {"iat": None}),
    "P016-iat-true": ("iat", {"iat": True}),
    "P017-nbf-ahead": ("nbf", {"nbf": Ahead(61)}),
    "P017-nbf-text": ("nbf", {"nbf": "1000000000"}),
    "P018-sub-empty": ("sub", {"sub": ""}),
    "P018-sub-300-characters": ("sub", {"sub": "s" * 300}),
    "P018-sub-1.5": ("sub", {"sub": 1.5}),
    "P018-sub-true": ("sub", {"sub": True}),
    "P018-sub-object": ("sub", {"sub": {}}),
    "P018-sub-null": ("sub", {"sub": None}),
    "P020-role-list": ("role", {"role": ["student"]}),
    "P021-sub-nul": ("sub", {"sub": "student\0"}),
    "P021-sub-surrogate": ("sub", {"sub": "student\ud83d"}),
    "R46-sub-escape": ("sub", {"sub": "student\x1b[2J"}),
    "R46-sub-override": ("sub", {"sub": "\u202estudent\u202e1"}),
    "R35-sub-blank": ("sub", {"sub": " \u200b"}),
}


def nested(depth: int, student: dict[str, Any] = VALID) -> bytes:
    """A student's claims with one that is as deep, counted from the payload's own bracket."""
    inner = depth - 1
    return b'{"x":' + b"[" * inner + b"]" * inner + b"," + json.dumps(student).encode()[1:]


WRONG_PAYLOADS = {
    "P016-exp-1e400": b'{"sub":"a","email":"a@example.com","iat":1,"exp":1e400}',
    "P022-sub-twice": b'{"sub":"a",' + json.dumps(VALID).encode()[1:],
    "P022-list": b"[]",
    "P022-text": b'"student"',
    "P022-empty": b"",
    "P022-no-json": b"student",
    "P022-nested-33-deep": nested(33),
    "P022-utf-16": json.dumps(VALID).encode("utf-16"),
}

BOTH = {"pyjwt", "joserfc"}
LAXER = {
    # RFC 7515 lets unknown header members pass; ours may hold nothing that asks to be followed.
    "P009-jku": BOTH,
    "P009-x5u": BOTH,
    "P009-jwk": BOTH,
    "P008-b64": BOTH,  # known to them, and needed by nobody
    # RFC 8725 section 3.11: another type of token is not taken for a launch token.
    "P010-access-token": BOTH,
    "P010-typ-other": BOTH,
    "P010-typ-list": {"pyjwt"},
    **{f"P010-typ-{odd}": {"pyjwt"} for odd in ("empty-list", "zero", "false")},
    # Of two equal keys the last counts, any encoding and any depth is read.
    "P006-alg-twice": BOTH,
    "P022-sub-twice": BOTH,
    "P022-nested-33-deep": BOTH,
    "P022-utf-16": BOTH,
    "P023-header-utf-16": BOTH,
    # They know no longest life and no longest identifier, and convert before they compare.
    "P014-lives-661-s": BOTH,
    "P014-lives-10-years": BOTH,
    "P016-exp-of-300-digits": BOTH,
    "P016-exp-text": {"pyjwt"},
    "P016-iat-true": {"pyjwt"},
    "P017-nbf-text": {"pyjwt"},
    "P018-sub-empty": {"pyjwt"},
    "P018-sub-300-characters": BOTH,
    "P021-sub-nul": BOTH,
    "P021-sub-surrogate": BOTH,
    "R46-sub-escape": BOTH,
    "R46-sub-override": BOTH,
    "R35-sub-blank": BOTH,
    # Claims whose meaning is ours.
    "P020-role-list": BOTH,
}


def test_both_libraries_accept_what_the_forged_tokens_are_made_from() -> None:
    assert libraries_that_accept(GOOD) == BOTH


@pytest.mark.parametrize("row", FORGED)
def test_a_token_that_spark_did_not_write_is_refused(row: str) -> None:
    with pytest.raises(LaunchTokenInvalidError):
        verify(FORGED[row])
    assert libraries_that_accept(FORGED[row]) == LAXER.get(row, set())


@pytest.mark.parametrize("row", WRONG_CLAIMS)
def test_a_wrong_claim_is_refused_by_name(row: str) -> None:
    claim, changes = WRONG_CLAIMS[row]
    now = datetime.now(tz=UTC)
    token = forge(HEADER, claims(now, **changes))
    with pytest.raises(LaunchClaimsInvalidError) as refusal:
        verify(token, now)
    assert refusal.value.error_text == f"Invalid token: {claim}"
    assert libraries_that_accept(token) == LAXER.get(row, set())


@pytest.mark.parametrize("row", WRONG_PAYLOADS)
def test_a_payload_that_is_no_strict_json_object_is_refused(row: str) -> None:
    token = forge(HEADER, WRONG_PAYLOADS[row])
    with pytest.raises(LaunchClaimsInvalidError) as refusal:
        verify(token)
    assert refusal.value.error_text == "Invalid token: payload"
    assert libraries_that_accept(token) == LAXER.get(row, set())


def test_claims_may_be_32_deep() -> None:
    now = datetime.now(tz=UTC)
    token = forge(HEADER, nested(32, claims(now)))
    assert verify(token, now).spark_user_id == "student_42"


@pytest.mark.parametrize("age", [1, 0, 0.5], ids=["P012", "P013", "P013-half-a-second"])
def test_a_token_is_expired_from_the_very_moment_of_exp(age: float) -> None:
    exp = datetime.now(tz=UTC).replace(microsecond=0)
    token = forge(HEADER, claims(exp - timedelta(minutes=10)))
    with pytest.raises(LaunchTokenExpiredError):
        verify(token, exp + timedelta(seconds=age))
    assert not libraries_that_accept(token)


def test_a_token_lives_until_a_moment_before_exp() -> None:
    exp = datetime.now(tz=UTC).replace(microsecond=0)
    token = forge(HEADER, claims(exp - timedelta(minutes=10)))
    assert verify(token, exp - timedelta(microseconds=1)).expires_at == exp


@pytest.mark.parametrize("seconds", [600, 601, 660], ids="P014-{}".format)
def test_a_sender_that_reads_its_clock_twice_is_let_in(seconds: int) -> None:
    claimed = verify_claims(exp=Ahead(seconds))
    assert claimed.expires_at - claimed.issued_at == timedelta(seconds=seconds)


@pytest.mark.parametrize("claim", ["iat", "nbf"], ids="P015-{}".format)
def test_a_clock_may_be_60_seconds_ahead_to_the_second(claim: str) -> None:
    now = datetime.now(tz=UTC).replace(microsecond=0)
    verify(forge(HEADER, claims(now, **{claim: Ahead(60)})), now)
    with pytest.raises(LaunchClaimsInvalidError):
        verify(forge(HEADER, claims(now, **{claim: Ahead(61)})), now)


def test_moments_may_have_a_fraction() -> None:
    now = datetime.now(tz=UTC)
    moment = now.timestamp()
    assert verify(forge(HEADER, claims(now, iat=moment, nbf=moment)), now).issued_at == now


def test_a_token_of_the_first_second_of_1970_is_only_old() -> None:
    with pytest.raises(LaunchTokenExpiredError):
        verify_claims(iat=1, exp=1)


@pytest.mark.parametrize(
    "role",
    ["admin", "teacher", "superadmin", "students", "student,teacher", "student teacher"],
    ids="P020-{}".format,
)
def test_only_students_sign_in(role: str) -> None:
    with pytest.raises(RoleNotAllowedError):
        verify_claims(role=role)


@pytest.mark.parametrize(
    "role",
    [..., None, "student", "Student", "STUDENT", " student ", "student\n", "", " "],
    ids="P020-R31-{!a}".format,
)
def test_a_role_need_not_be_named(role: object) -> None:
    assert verify_claims(role=role).spark_user_id == "student_42"


@pytest.mark.parametrize("typ", ["jwt", "Jwt", "JWT", None, "", ...], ids="F18-{!a}".format)
def test_the_type_is_compared_without_case_and_may_be_nothing(typ: object) -> None:
    header = {"alg": "HS256"} | ({} if typ is ... else {"typ": typ})
    token = forge(header, claims(datetime.now(tz=UTC)))
    assert verify(token).spark_user_id == "student_42"


@pytest.mark.parametrize("jti", [7, 0, "a" * 255, "msg-1"], ids="F18-{!a:.8}".format)
def test_an_id_of_a_token_may_be_a_number(jti: object) -> None:
    """One id of one student is one key, however it is spelt; another student's is another."""
    keys = [
        {verify_claims(jti=spelt, sub=sub).replay_key for spelt in (jti, str(jti), f" {jti}")}
        for sub in ("one", "two")
    ]
    assert [len(of_student) for of_student in keys] == [1, 1]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "jti",
    ["", " ", None, ..., 1.5, True, [], {"id": 1}, "a" * 256, "\ud83d"],
    ids="R31-{!a:.8}".format,
)
def test_an_id_that_is_none_leaves_each_token_its_own_key(jti: object) -> None:
    keys = {verify_claims(jti=jti, sub=sub).replay_key for sub in ("one", "two")}
    assert len(keys) == 2


@pytest.mark.parametrize(
    "email",
    [None, " ", 7, True, [], ["ada@example.com"], {"address": "ada@example.com"}],
    ids="F20-P019-{!a:.20}".format,
)
def test_an_address_of_any_type_keeps_no_student_out(email: object) -> None:
    assert verify_claims(email=email).email is None


@pytest.mark.parametrize("name", [None, "", 7, [], ["Ada"], {}], ids="R31-{!a}".format)
def test_a_name_that_is_none_keeps_no_student_out(name: object) -> None:
    claimed = verify_claims(given_name=name, family_name=name)
    assert (claimed.given_name, claimed.family_name) == ("", "")


def test_a_number_is_the_same_student_as_its_decimal_text() -> None:
    """P018: PHP senders emit integers."""
    assert verify_claims(sub=12345).spark_user_id == verify_claims(sub="12345").spark_user_id
    assert verify_claims(sub=7).spark_user_id == "7"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "a" * 300 + "@example.com",
        "ada@example.com\r\nBcc: all@example.com",
        "ada@example.com, bob@example.com",
        "ada\0@example.com",
        "ada\ud83d@example.com",
        "ada\u200b@example.com",
        "\ua7cb@example.com",
        "spark-0123@students.invalid",
    ],
    ids="P019-{!a:.40}".format,
)
def test_an_address_that_cannot_be_used_is_left_out(address: str) -> None:
    assert verify_claims(email=address).email is None


def test_an_address_is_kept_in_lower_case() -> None:
    assert verify_claims(email=" Ada.Example@Example.COM ").email == "ada.example@example.com"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("A\0da", "Ada"),
        ("Ada \ud83d", "Ada \ufffd"),
        ("  Ada ", "Ada"),
        ("é" * 101, "é" * 100),
        (None, ""),
        (..., ""),
    ],
    ids=["P021-nul", "P021-surrogate", "spaces", "long", "null", "absent"],
)
def test_names_are_repaired(written: object, kept: str) -> None:
    cleaned = verify_claims(given_name=written, family_name=written)
    assert (cleaned.given_name, cleaned.family_name) == (kept, kept)


@pytest.mark.parametrize(
    ("courses", "kept"),
    [
        (..., None),
        (None, None),
        ("x", ()),
        ({}, ()),
        ([], ()),
        (["a", 7, True, None, 1.5, "", "b\0", "c" * 256, ["d"], "e"], ("a", "7", "e")),
    ],
    ids=["P036-absent", "P036-null", "P036-text", "P036-object", "P036-empty", "P036-odd-items"],
)
def test_odd_courses_keep_no_student_out(courses: object, kept: object) -> None:
    assert verify_claims(courses=courses).courses == kept


@pytest.mark.parametrize(
    ("courses", "unreadable"),
    [(..., 0), ([], 0), ("x", 1), (["a", 7, True, None, "b\0"], 3)],
    ids=["absent", "empty", "text", "odd-items"],
)
def test_courses_that_cannot_be_read_are_counted(courses: object, unreadable: int) -> None:
    assert verify_claims(courses=courses).unreadable_courses == unreadable


@pytest.mark.parametrize("moment", [32_503_680_000, 1_795_444_200_000], ids=["3000", "2026"])
def test_a_moment_after_the_year_2999_is_told_to_be_in_milliseconds(moment: int) -> None:
    with pytest.raises(LaunchClaimsInvalidError) as refusal:
        verify_claims(exp=moment)
    assert "milliseconds" in str(refusal.value.hint_text)


def test_a_token_of_the_previous_secret_is_accepted_while_that_is_a_key() -> None:
    """P029"""
    now = datetime.now(tz=UTC)
    token = forge(HEADER, claims(now), secret=OTHER_SECRET)
    verify_launch_token(token, keys=[KEY, OTHER_KEY], now=now)
    with pytest.raises(LaunchTokenInvalidError):
        verify_launch_token(token, keys=[KEY], now=now)


def test_nothing_is_accepted_without_a_key() -> None:
    now = datetime.now(tz=UTC)
    with pytest.raises(LaunchTokenInvalidError):
        verify_launch_token(forge(HEADER, claims(now)), keys=[], now=now)


def test_a_key_id_is_no_obstacle() -> None:
    now = datetime.now(tz=UTC)
    accepted = verify(forge({**HEADER, "kid": "2026-11"}, claims(now)), now)
    assert accepted.spark_user_id == "student_42"


def test_a_type_need_not_be_named() -> None:
    now = datetime.now(tz=UTC)
    assert verify(forge({"alg": "HS256"}, claims(now)), now).spark_user_id == "student_42"


def test_a_bomb_of_five_segments_is_refused_without_being_unpacked() -> None:
    """P007"""
    key = OctKey.import_key(SECRET[:32])
    header = {"alg": "dir", "enc": "A128CBC-HS256", "zip": "DEF"}
    bomb = jwe.encrypt_compact(header, bytes(10_000_000), key)
    tracemalloc.start()
    with pytest.raises(LaunchTokenInvalidError):
        verify(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_one_jti_is_one_use_and_another_jti_another() -> None:
    first, again = verify_claims(jti="a"), verify_claims(jti="a", given_name="Grace")
    assert first.replay_key == again.replay_key
    assert first.replay_key != verify_claims(jti="b").replay_key


@pytest.mark.parametrize("jti", [..., None, ""], ids=["absent", "null", "empty"])
def test_without_a_jti_the_signed_bytes_are_the_use(jti: object) -> None:
    """An empty one that counted would end every other student's sign-in."""
    now = datetime.now(tz=UTC)
    token = forge(HEADER, claims(now, jti=jti))
    expected = hashlib.sha256(b"input:" + token.rpartition(".")[0].encode()).digest()
    assert verify(token, now).replay_key == expected


@given(st.text())
@example("\ud800.\ud800.\ud800")
@example("e30.e30.")
def test_arbitrary_text_is_refused(text: str) -> None:
    with pytest.raises(LaunchTokenInvalidError):
        verify(text)


@given(st.text(alphabet=st.sampled_from([*"AQgw-_=+/.{}é\n\0\ud800"]), max_size=3), st.data())
def test_no_other_spelling_of_a_valid_token_is_accepted(written: str, data: st.DataObject) -> None:
    now = datetime.now(tz=UTC)
    token = forge(HEADER, claims(now))
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(start + 3, len(token))))
    mutated = token[:start] + written + token[end:]
    assume(mutated != token)
    with pytest.raises(LaunchTokenInvalidError):
        verify(mutated, now)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CLAIM_NAMES = [*VALID, "nbf", "jti", "courses"]


@given(st.dictionaries(st.sampled_from(CLAIM_NAMES), JSON_VALUES, min_size=1))
def test_any_signed_claims_are_read_or_refused_by_name(changes: dict[str, Any]) -> None:
    with suppress(LaunchClaimsInvalidError, LaunchTokenExpiredError, RoleNotAllowedError):
        assert len(verify_claims(**changes).replay_key) == 32


@given(st.binary(), st.binary())
def test_any_signed_bytes_are_refused_by_name(header: bytes, payload: bytes) -> None:
    with pytest.raises(LaunchTokenInvalidError):
        verify(forge(header, payload))
    with pytest.raises(LaunchClaimsInvalidError):
        verify(forge(HEADER, payload))
