"""Which webhooks are Spark's: both forms of signature, with the standardwebhooks package as oracle.

The rows are those of the fault list that no route is needed for.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.deliveries.authenticate import SignatureHeaders, authenticate, check_headers
from app.errors import (
    SignatureMismatchError,
    SignatureMissingError,
    TimestampInFutureError,
    TimestampTooOldError,
)
from tests.support.webhooks import (
    NOW,
    PREVIOUS,
    SECRET,
    WEBHOOK_ID,
    encoded,
    library,
    mac,
    v0,
    v1,
    v1_showing,
)

BODY = b'{"spark_user_id": "student_1", "submission_text": "Caf\xc3\xa9"}'
V0, V1 = v0(BODY), v1(BODY)
RANDOM_V1 = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
AUTHENTIC_V0, AUTHENTIC_V1 = None, WEBHOOK_ID


def authenticated(
    headers: SignatureHeaders,
    content: bytes = BODY,
    *,
    secrets: Sequence[SecretStr] = (SECRET,),
    require_v1: bool = False,
    now: datetime = NOW,
) -> str | None:
    authentic = authenticate(content, headers, secrets=secrets, require_v1=require_v1)
    authentic.check_fresh(now=now)
    return authentic.webhook_id


def refused(headers: SignatureHeaders, content: bytes = BODY) -> str | None:
    """The hint of the refusal."""
    with pytest.raises(SignatureMismatchError) as raised:
        authenticated(headers, content)
    return raised.value.hint_text


# ---------------------------------------------------------------------------- either form


def test_the_published_vector_of_v0_is_authentic() -> None:
    secret = SecretStr("example-webhook-secret-of-the-docs-0001")
    signature = "c0838f8f4d701de8ccdf01c3e84af6172577c9b148cc93e97404f2430e269ded"
    headers = SignatureHeaders(spark=(signature,))
    assert authenticated(headers, b'{"a":"b"}', secrets=[secret]) == AUTHENTIC_V0


def test_the_published_vector_of_v1_is_authentic() -> None:
    secret = SecretStr("example-webhook-secret-of-the-docs-0001")
    headers = v1_showing(
        "v1,ZYKkLIFD54DHschWykUeCyhLeuGjH4uBESwVz7W317o=",
        webhook_id="msg_0001",
        timestamp="1795444200",
    )
    assert authenticated(headers, b'{"a":"b"}', secrets=[secret]) == "msg_0001"


@pytest.mark.parametrize(
    ("headers", "authentic"),
    [
        pytest.param(V0, AUTHENTIC_V0, id="v0"),
        pytest.param(
            SignatureHeaders(spark=(V0.spark[0].upper(),)), AUTHENTIC_V0, id="P059 upper case"
        ),
        pytest.param(V1, AUTHENTIC_V1, id="P067 v1"),
        pytest.param(replace(V1, spark=V0.spark), AUTHENTIC_V1, id="both"),
    ],
)
def test_a_right_signature_is_authentic(headers: SignatureHeaders, authentic: str | None) -> None:
    assert authenticated(headers) == authentic


RIGHT_V0, RIGHT_V1 = V0.spark[0], V1.webhook_signature[0]
WRONG = {
    "P057 wrong": RIGHT_V0[::-1],
    "P058 63 digits": RIGHT_V0[:-1],
    "P058 65 digits": RIGHT_V0 + "0",
    "P058 base64": encoded(mac(BODY)),
    "P058 prefix": f"sha256={RIGHT_V0}",
    "P058 empty": "",
    "P060 not ASCII": RIGHT_V0[:-1] + "\xe9",
    "P060 no character": RIGHT_V0[:-1] + "\udce9",
}
WRONG_V1 = {
    "random": RANDOM_V1,
    "P068 only unknown versions": f"v1a,{RIGHT_V1[3:]} v2,{RIGHT_V1[3:]}",
    "without version": RIGHT_V1[3:],
    "upper-case version": RIGHT_V1.replace("v1", "V1"),
    "hexadecimal": "v1," + mac(f"{WEBHOOK_ID}.{V1.webhook_timestamp[0]}.".encode() + BODY).hex(),
    "without padding": RIGHT_V1.rstrip("="),
    "divided by a comma": f"{RANDOM_V1},{RIGHT_V1}",
    "divided by no-break space": f"{RANDOM_V1}\xa0{RIGHT_V1}",
    "not ASCII": RIGHT_V1 + "\xe9",
    "empty": "",
    "commas": ",,,",
    "spaces": "   ",
}


@pytest.mark.parametrize("row", WRONG)
def test_any_other_value_is_refused(row: str) -> None:
    assert refused(SignatureHeaders(spark=(WRONG[row],))) == SignatureMismatchError.hint


@pytest.mark.parametrize("row", WRONG_V1)
def test_any_other_v1_value_is_refused_with_the_hint_for_v1(row: str) -> None:
    hint = refused(v1_showing(WRONG_V1[row]))
    assert hint is not None
    assert "whsec_" in hint


@pytest.mark.parametrize("headers", [V0, V1], ids=["v0", "v1"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(json.dumps(json.loads(BODY), separators=(",", ":")).encode(), id="P062"),
        pytest.param(BODY[:-3] + bytes([BODY[-3] ^ 1]) + BODY[-2:], id="P063"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_other_content_is_refused(headers: SignatureHeaders, content: bytes) -> None:
    refused(headers, content)


@pytest.mark.parametrize("form", [v0, v1])
@pytest.mark.parametrize("row", ["P065"])
def test_the_previous_secret_counts_while_it_is_configured(row: str, form: type) -> None:
    headers = form(BODY, secret=PREVIOUS)
    authenticated(headers, secrets=[SECRET, PREVIOUS])
    with pytest.raises(SignatureMismatchError):
        authenticated(headers, secrets=[SECRET])


# ---------------------------------------------------------------------------- which headers


@pytest.mark.parametrize("row", ["P056"])
def test_no_header_is_a_missing_signature(row: str) -> None:
    with pytest.raises(SignatureMissingError) as raised:
        authenticated(SignatureHeaders())
    assert raised.value.hint_text == SignatureMissingError.hint


@pytest.mark.parametrize("name", ["webhook_id", "webhook_timestamp", "webhook_signature"])
@pytest.mark.parametrize("spark", [(), V0.spark], ids=["alone", "with v0"])
def test_v1_is_not_left_by_leaving_a_header_away(name: str, spark: tuple[str, ...]) -> None:
    with pytest.raises(SignatureMissingError) as raised:
        authenticated(replace(V1, spark=spark, **{name: ()}))
    hint = raised.value.hint_text or ""
    assert hint.startswith(f"Send {name.replace('_', '-')}, too.")


@pytest.mark.parametrize("name", ["webhook_id", "webhook_timestamp", "webhook_signature"])
@pytest.mark.parametrize("spark", [(), V0.spark], ids=["alone", "with v0"])
def test_a_single_header_of_v1_is_no_way_back_to_v0(name: str, spark: tuple[str, ...]) -> None:
    only = SignatureHeaders(spark=spark, **{name: getattr(V1, name)})
    with pytest.raises(SignatureMissingError) as raised:
        authenticated(only)
    hint = raised.value.hint_text or ""
    assert " and " in hint.partition(", too.")[0]
    assert name.replace("_", "-") not in hint.partition(", too.")[0]


@pytest.mark.parametrize("name", ["spark", "webhook_id", "webhook_timestamp", "webhook_signature"])
@pytest.mark.parametrize("row", ["P061"])
def test_a_repeated_header_is_refused_even_if_both_are_right(row: str, name: str) -> None:
    both = replace(V1, spark=V0.spark)
    hint = refused(replace(both, **{name: getattr(both, name) * 2}))
    assert hint is not None
    assert "once" in hint


@pytest.mark.parametrize("row", ["P069"])
def test_neither_form_makes_up_for_the_other(row: str) -> None:
    hint = refused(replace(V1, spark=(RIGHT_V0[::-1],)))
    assert hint is not None
    assert "X-Spark-Signature is not" in hint
    refused(replace(V1, spark=V0.spark, webhook_signature=(RANDOM_V1,)))


def test_v1_can_be_required() -> None:
    assert authenticated(V1, require_v1=True) == AUTHENTIC_V1
    assert authenticated(replace(V1, spark=V0.spark), require_v1=True) == AUTHENTIC_V1
    with pytest.raises(SignatureMissingError) as raised:
        authenticated(V0, require_v1=True)
    assert "X-Spark-Signature is not enough" in (raised.value.hint_text or "")


@pytest.mark.parametrize("webhook_id", ["", "a" * 256, "a\n", "a\tb", "\xe9", "a\x7f", "a.1", "."])
def test_an_id_that_is_no_id_is_refused_though_it_is_signed(webhook_id: str) -> None:
    hint = refused(v1(BODY, webhook_id=webhook_id))
    assert hint is not None
    assert hint.startswith("webhook-id")


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        "soon",
        "1795444200.0",
        "+1795444200",
        "-1",
        " 1795444200",
        "1_795_444_200",
        "2026-11-23T14:30:00Z",
        "\u0661\u0667\u0669",
        "1" * 5000,
    ],
)
def test_a_timestamp_is_digits_though_anything_may_be_signed(timestamp: str) -> None:
    digest = mac(f"{WEBHOOK_ID}.{timestamp}.".encode() + BODY)
    hint = refused(v1_showing(f"v1,{encoded(digest)}", timestamp=timestamp))
    assert hint is not None
    assert hint.startswith("webhook-timestamp")


@pytest.mark.parametrize(
    "headers", [replace(V1, webhook_id=("",)), replace(V1, spark=("", "")), SignatureHeaders()]
)
def test_headers_that_can_never_fit_are_told_without_the_content(headers: SignatureHeaders) -> None:
    with pytest.raises((SignatureMismatchError, SignatureMissingError)):
        check_headers(headers, require_v1=False)


def test_an_id_cannot_be_shifted_into_the_content() -> None:
    """Full stops divide what is signed: without one in the id its bytes have one reading."""
    signed = v1(BODY, webhook_id="a.1795444200")
    assert "full stop" in (refused(signed) or "")


# ---------------------------------------------------------------------------- freshness of v1


SECOND, WINDOW = timedelta(seconds=1), timedelta(seconds=300)


@pytest.mark.parametrize("age", [-WINDOW, timedelta(), WINDOW])
def test_five_minutes_to_either_side_are_fresh(age: timedelta) -> None:
    assert authenticated(v1(BODY, at=NOW - age)) == AUTHENTIC_V1


@pytest.mark.parametrize("row", ["P067"])
def test_a_second_more_is_too_old_or_in_the_future(row: str) -> None:
    with pytest.raises(TimestampTooOldError) as old:
        authenticated(v1(BODY, at=NOW - WINDOW - SECOND))
    with pytest.raises(TimestampInFutureError) as early:
        authenticated(v1(BODY, at=NOW + WINDOW + SECOND))
    for raised in (old, early):
        assert (raised.value.hint_text or "").startswith("webhook-timestamp")


def test_a_part_of_a_second_counts() -> None:
    with pytest.raises(TimestampTooOldError):
        authenticated(v1(BODY, at=NOW - WINDOW), now=NOW + timedelta(milliseconds=1))


@pytest.mark.parametrize("timestamp", ["0", "1795444200000", "9" * 18])
def test_a_timestamp_without_a_date_is_told_as_stale(timestamp: str) -> None:
    digest = mac(f"{WEBHOOK_ID}.{timestamp}.".encode() + BODY)
    with pytest.raises((TimestampTooOldError, TimestampInFutureError)):
        authenticated(v1_showing(f"v1,{encoded(digest)}", timestamp=timestamp))


def test_a_stale_timestamp_is_told_only_to_whom_the_signature_is_known() -> None:
    stale = v1(BODY, at=NOW - timedelta(days=1))
    refused(replace(stale, webhook_signature=(RANDOM_V1,)))
    refused(replace(stale, spark=(RIGHT_V0[::-1],)))


def test_v0_says_nothing_about_time() -> None:
    assert authenticated(V0, now=NOW + timedelta(days=9)) == AUTHENTIC_V0


@pytest.mark.parametrize(("headers", "has_one"), [(V0, False), (V1, True)], ids=["v0", "v1"])
def test_an_attempt_has_a_time_of_its_own_under_v1(
    headers: SignatureHeaders, *, has_one: bool
) -> None:
    attempt = authenticate(BODY, headers, secrets=[SECRET], require_v1=False)
    assert attempt.has_own_time == has_one


# ---------------------------------------------------------------------------- the oracle


IDS = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="."),
    min_size=1,
    max_size=255,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
OFFSETS = st.integers(-300, 300)


@given(IDS, OFFSETS, TEXTS)
def test_what_the_library_signs_is_authentic(webhook_id: str, offset: int, text: str) -> None:
    at = NOW + timedelta(seconds=offset)
    signature = library().sign(webhook_id, at, text)
    headers = v1_showing(signature, webhook_id=webhook_id, timestamp=str(int(at.timestamp())))
    assert authenticated(headers, text.encode()) == webhook_id


def accepted_by_the_library(headers: SignatureHeaders, text: str) -> None:
    library().verify(
        text,
        {
            "webhook-id": headers.webhook_id[0],
            "webhook-timestamp": headers.webhook_timestamp[0],
            "webhook-signature": headers.webhook_signature[0],
        },
        json_parse=False,
    )


@given(IDS, st.integers(-290, 290), TEXTS)
def test_what_is_authentic_the_library_accepts(webhook_id: str, offset: int, text: str) -> None:
    now = datetime.now(tz=UTC)  # the library has no other clock
    headers = v1(text.encode(), webhook_id=webhook_id, at=now + timedelta(seconds=offset))
    assert authenticated(headers, text.encode(), now=now) == webhook_id
    accepted_by_the_library(headers, text)


@given(IDS, st.binary())
def test_content_is_bytes(webhook_id: str, content: bytes) -> None:
    assert authenticated(v1(content, webhook_id=webhook_id), content) == webhook_id


VALUES = st.lists(st.text(max_size=20) | st.just(RIGHT_V0) | st.just(RANDOM_V1), max_size=2)


@given(VALUES, VALUES, VALUES, VALUES)
def test_any_headers_are_refused_by_name(
    spark: list[str], webhook_id: list[str], timestamp: list[str], signature: list[str]
) -> None:
    headers = SignatureHeaders(tuple(spark), tuple(webhook_id), tuple(timestamp), tuple(signature))
    with pytest.raises((SignatureMismatchError, SignatureMissingError)):
        authenticated(headers, b"other content")


@pytest.mark.parametrize(
    "signatures",
    [
        pytest.param([RANDOM_V1, "v2,AAAA", RIGHT_V1, RANDOM_V1], id="the library's own list"),
        pytest.param(["v1a,AAAA", RIGHT_V1], id="P068"),
        pytest.param([RIGHT_V1, ""], id="a space at the end"),
    ],
)
def test_one_right_signature_in_the_list_is_enough(signatures: list[str]) -> None:
    assert authenticated(v1_showing(" ".join(signatures))) == AUTHENTIC_V1
