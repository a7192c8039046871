"""Each known mistake is named to who made it; none is accepted, and nobody else learns anything."""

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook

from app.deliveries.authenticate import SignatureHeaders, authenticate
from app.deliveries.diagnose import MAX_HASHED_BYTES, MAX_REWRITTEN_BYTES, diagnose
from app.errors import SignatureMismatchError
from tests.support.webhooks import (
    NOW,
    PREVIOUS,
    SECRET,
    SSO_SECRET,
    WEBHOOK_ID,
    encoded,
    key,
    mac,
    v0,
    v1,
    v1_showing,
)

# As Python, Node and PHP write the same thing, the latter two copied from their output; PHP's with
# line breaks, and Python's with sorted keys, are copied, too.
SENT = json.dumps({"text": "Caf\xe9 http://a/b \U0001f600", "a": [1.5, None]}).encode()
NODE = '{"text":"Caf\xe9 http://a/b \U0001f600","a":[1.5,null]}'.encode()
PHP = rb'{"text":"Caf\u00e9 http:\/\/a\/b \ud83d\ude00","a":[1.5,null]}'
SORTED = '{"a":[1.5,null],"text":"Caf\xe9 http://a/b \U0001f600"}'.encode()
PYTHON_SORTED = rb'{"a": [1.5, null], "text": "Caf\u00e9 http://a/b \ud83d\ude00"}'
PYTHON_COMPACT = rb'{"text":"Caf\u00e9 http://a/b \ud83d\ude00","a":[1.5,null]}'
PHP_UNICODE = '{"text":"Caf\xe9 http:\\/\\/a\\/b \U0001f600","a":[1.5,null]}'.encode()
PHP_PRETTY = rb"""{
    "text": "Caf\u00e9 http:\/\/a\/b \ud83d\ude00",
    "a": [
        1.5,
        null
    ]
}"""
NODE_PRETTY = """{
  "text": "Caf\xe9 http://a/b \U0001f600",
  "a": [
    1.5,
    null
  ]
}""".encode()
FORM = b'--x\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n' + SENT + b"\r\n--x--\r\n"

SECONDS = str(int(NOW.timestamp()))
FRAME = f"{WEBHOOK_ID}.{SECONDS}.".encode()
HEX_KEY = bytes.fromhex(SECRET.get_secret_value())
BASE64_KEY = base64.b64decode(SECRET.get_secret_value())


@dataclass(frozen=True)
class Mistake:
    headers: SignatureHeaders
    hint: str
    content: bytes = SENT


def shown(signature: str) -> SignatureHeaders:
    return SignatureHeaders(spark=(signature,))


def v0_under(form: bytes) -> SignatureHeaders:
    """Signed with what somebody made of the secret."""
    return shown(mac(SENT, under=form % key(SECRET)).hex())


def shown_v1(digest: bytes) -> SignatureHeaders:
    return v1_showing(f"v1,{encoded(digest)}")


MISTAKES = {
    "re-serialised by Node": Mistake(v0(NODE), "JSON.stringify"),
    "Node's sent, PHP's signed": Mistake(v0(PHP), "json_encode", NODE),
    "PHP's sent, Node's signed": Mistake(v0(NODE), "JSON.stringify", PHP),
    "C29 sorted keys": Mistake(v0(SORTED), "sorted keys", NODE),
    "whole multipart body": Mistake(v0(FORM), "whole multipart body"),
    "hex-decoded key": Mistake(shown(mac(SENT, under=HEX_KEY).hex()), "hex-decoded secret"),
    "SSO secret": Mistake(v0(SENT, secret=SSO_SECRET), "SSO secret"),
    "[object FormData]": Mistake(v0(b"[object FormData]"), "[object FormData]"),
    "P058 base64": Mistake(shown(encoded(mac(SENT))), "not <base64>."),
    "P058 prefix": Mistake(shown(f"sha256={mac(SENT).hex()}"), "not sha256=<hexadecimal>."),
    "URL's base64": Mistake(
        shown(base64.urlsafe_b64encode(mac(SENT)).decode().rstrip("=")), "not <base64>."
    ),
    "base64 of PHP's hexadecimal": Mistake(
        shown(encoded(mac(SENT).hex().encode())), "not <base64 of hexadecimal>."
    ),
    "v1 in the old header": Mistake(shown(f"v1,{encoded(mac(SENT))}"), "not v1,<base64>."),
    "Node's sent, Python's signed": Mistake(v0(SENT), "json.dumps", NODE),
    "Node's sent, sorted by Python": Mistake(v0(PYTHON_SORTED), "sorted keys", NODE),
    "Node's sent, Python's without blanks": Mistake(v0(PYTHON_COMPACT), "without white", NODE),
    "Node's sent, PHP's with Unicode signed": Mistake(v0(PHP_UNICODE), "json_encode", NODE),
    "PHP's with line breaks": Mistake(v0(PHP_PRETTY), "with line breaks", PHP),
    "Node's with line breaks": Mistake(v0(NODE_PRETTY), "with line breaks", NODE),
    "a line break more": Mistake(v0(SENT), "another line break", SENT + b"\n"),
    "a line break less": Mistake(v0(SENT + b"\n"), "another line break"),
    "another line break": Mistake(v0(SENT + b"\r\n"), "another line break", SENT + b"\n"),
    "secret with a line break": Mistake(v0_under(b"%s\n"), "ends with a line break"),
    "secret with Windows' line break": Mistake(v0_under(b"%s\r\n"), "ends with a line break"),
    "secret in quotes": Mistake(v0_under(b'"%s"'), "in quotes"),
    "secret in single quotes": Mistake(v0_under(b"'%s'"), "in quotes"),
    "whsec_ before the text": Mistake(v0_under(b"whsec_%s"), "begins with whsec_"),
    "Stripe's header": Mistake(
        shown(f"t={SECONDS},v1={mac(f'{SECONDS}.'.encode() + SENT).hex()},v0=00"),
        "A time is signed",
    ),
    "Stripe's header around our signature": Mistake(
        shown(f"t={SECONDS},v1={mac(SENT).hex()}"), "without t= and v1="
    ),
    "SHA-1": Mistake(shown("0" * 40), "HMAC-SHA-1"),
    "SHA-512 in base64": Mistake(shown("sha512=" + encoded(bytes(64))), "HMAC-SHA-512"),
    "MD5": Mistake(shown("f" * 32), "HMAC-MD5"),
    "previous secret, SHA-256 in base64": Mistake(
        shown(encoded(mac(SENT, under=key(PREVIOUS)))), "not <base64>."
    ),
    "previous secret, PHP's signed": Mistake(v0(PHP, secret=PREVIOUS), "json_encode"),
    "previous secret in quotes": Mistake(
        shown(mac(SENT, under=b'"%s"' % key(PREVIOUS)).hex()), "in quotes"
    ),
    "two mistakes": Mistake(shown(f"sha256={mac(PHP).hex()}"), "json_encode"),
}
MISTAKES_V1 = {
    "library given the bare secret": Mistake(
        v1_showing(Webhook(SECRET.get_secret_value()).sign(WEBHOOK_ID, NOW, SENT.decode())),
        "base64-decoded secret",
    ),
    "library given whsec_ and the bare secret": Mistake(
        v1_showing(
            Webhook("whsec_" + SECRET.get_secret_value()).sign(WEBHOOK_ID, NOW, SENT.decode())
        ),
        "base64-decoded secret",
    ),
    "no version": Mistake(v1_showing(encoded(mac(FRAME + SENT))), "not <base64>."),
    "Stripe's version": Mistake(
        v1_showing("v1=" + mac(FRAME + SENT).hex()), "not v1=<hexadecimal>."
    ),
    "hexadecimal": Mistake(v1_showing("v1," + mac(FRAME + SENT).hex()), "not v1,<hexadecimal>."),
    "body alone": Mistake(shown_v1(mac(SENT)), "body alone"),
    "body alone, as v0": Mistake(v1_showing(mac(SENT).hex()), "body alone"),
    "milliseconds sent, seconds signed": Mistake(
        replace(v1(SENT), webhook_timestamp=(f"{SECONDS}123",)), "milliseconds"
    ),
    "whole multipart body": Mistake(v1(FORM), "whole multipart body"),
    "SSO secret": Mistake(v1(SENT, secret=SSO_SECRET), "SSO secret"),
    "hex-decoded key": Mistake(shown_v1(mac(FRAME + SENT, under=HEX_KEY)), "hex-decoded secret"),
    "re-serialised by Node": Mistake(v1(NODE), "JSON.stringify"),
    "PHP's signed": Mistake(v1(PHP), "json_encode", NODE),
    "sorted keys": Mistake(v1(SORTED), "sorted keys", NODE),
    "Stripe's text": Mistake(shown_v1(mac(f"{SECONDS}.".encode() + SENT)), "id is not signed"),
    "no full stop": Mistake(shown_v1(mac(FRAME[:-1] + SENT)), "full stop"),
    "secret with a line break": Mistake(
        shown_v1(mac(FRAME + SENT, under=key(SECRET) + b"\n")), "ends with a line break"
    ),
    "whsec_ as text": Mistake(
        shown_v1(mac(FRAME + SENT, under=b"whsec_" + key(SECRET))), "begins with whsec_"
    ),
    "SHA-512": Mistake(v1_showing("v1," + encoded(bytes(64))), "HMAC-SHA-512"),
    "previous secret, body alone": Mistake(shown_v1(mac(SENT, under=key(PREVIOUS))), "body alone"),
    "second in the list": Mistake(
        v1_showing(f"v1,{encoded(bytes(32))} {encoded(mac(FRAME + SENT))}"), "not <base64>."
    ),
}
ALL = [
    pytest.param(mistake, id=f"{form} {name}")
    for form, mistakes in (("v0", MISTAKES), ("v1", MISTAKES_V1))
    for name, mistake in mistakes.items()
]


def diagnosed(
    content: bytes,
    headers: SignatureHeaders,
    *,
    secret: SecretStr = SECRET,
    whole_body: bytes | None = FORM,
) -> str | None:
    return diagnose(
        content,
        headers,
        secrets=[secret, PREVIOUS],
        sso_secret=SSO_SECRET,
        whole_body=whole_body,
    )


@pytest.mark.parametrize("mistake", ALL)
def test_a_known_mistake_is_named(mistake: Mistake) -> None:
    assert mistake.hint in (diagnosed(mistake.content, mistake.headers) or "")


@pytest.mark.parametrize("mistake", ALL)
def test_no_mistake_is_accepted(mistake: Mistake) -> None:
    with pytest.raises(SignatureMismatchError):
        authenticate(
            mistake.content,
            mistake.headers,
            secrets=[SECRET, PREVIOUS],
            require_v1=False,
        )


@pytest.mark.parametrize("mistake", ALL)
def test_who_has_no_secret_learns_nothing(mistake: Mistake) -> None:
    """But which hash the length is of: that is no secret."""
    hint = diagnose(
        mistake.content,
        mistake.headers,
        secrets=[SecretStr("f" * 64)],
        sso_secret=None,
        whole_body=FORM,
    )
    assert hint is None or "as long as" in hint


@pytest.mark.parametrize("mistake", ALL)
def test_no_hint_shows_a_secret_or_a_signature(mistake: Mistake) -> None:
    hint = diagnosed(mistake.content, mistake.headers) or ""
    digests = [mac(before + content) for before in (b"", FRAME) for content in (SENT, NODE, PHP)]
    for hidden in (*digests, HEX_KEY, BASE64_KEY, key(SSO_SECRET), key(SECRET)):
        assert hidden.hex() not in hint
        assert encoded(hidden) not in hint
        assert hidden.decode("latin-1") not in hint


def test_two_mistakes_are_both_named() -> None:
    hint = diagnosed(SENT, MISTAKES["two mistakes"].headers) or ""
    assert hint.endswith("not sha256=<hexadecimal>.")


def test_a_wrong_v0_beside_a_right_v1_is_left_to_its_own_hint() -> None:
    assert diagnosed(SENT, replace(v1(SENT), spark=("0" * 64,))) is None


@pytest.mark.parametrize(
    "headers",
    [
        SignatureHeaders(),
        replace(v1(SENT), webhook_signature=()),
        SignatureHeaders(spark=v0(NODE).spark * 2),
        v1_showing(f"v1,{encoded(mac(NODE))}", timestamp="soon"),
    ],
)
def test_headers_that_can_never_fit_are_not_diagnosed(headers: SignatureHeaders) -> None:
    assert diagnosed(SENT, headers) is None


def test_a_secret_need_not_be_hexadecimal() -> None:
    secret = SecretStr("whsec_" + encoded(HEX_KEY))
    decoded = v1_showing(Webhook(secret.get_secret_value()).sign(WEBHOOK_ID, NOW, SENT.decode()))
    assert "base64-decoded secret" in (diagnosed(SENT, decoded, secret=secret) or "")
    assert diagnosed(SENT, shown("0" * 64), secret=secret) is None


def test_the_whole_body_is_tried_only_if_it_is_given() -> None:
    assert diagnosed(SENT, v0(FORM), whole_body=None) is None


@pytest.mark.parametrize("content", [b"", b"no json", b'{"a": 1, "a": 2}', b"\xff", b"[" * 99])
def test_content_that_is_no_json_has_no_other_forms(content: bytes) -> None:
    assert diagnosed(content, v0(NODE)) is None


def test_a_lone_surrogate_stays_escaped_as_node_leaves_it() -> None:
    content = rb'{"text": "\ud800"}'
    assert "JSON.stringify" in (diagnosed(content, v0(content.replace(b" ", b""))) or "")


def test_only_small_json_is_written_anew() -> None:
    def spaced(size: int) -> bytes:
        return b'{"a": "' + b"a" * (size - 9) + b'"}'

    for size, named in ((MAX_REWRITTEN_BYTES, True), (MAX_REWRITTEN_BYTES + 1, False)):
        hint = diagnosed(spaced(size), v0(spaced(size).replace(b" ", b"")))
        assert (hint is not None) is named


# ---------------------------------------------------------------------------- what it costs


def count_hmacs(act: Callable[[], object]) -> int:
    """How often OpenSSL is asked for an HMAC; whoever finishes one has asked for it once."""
    asked = []

    def note(_frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ in {"hmac_new", "hmac_digest"}:
            asked.append(called)

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return len(asked)


WITH_ALL = replace(v1_showing("v1," + encoded(bytes(32))), webhook_timestamp=(SECONDS + "000",))


@pytest.mark.parametrize("row", ["DESIGN R34"])
@pytest.mark.parametrize("headers", [shown("0" * 64), WITH_ALL], ids=["v0", "v1"])
@pytest.mark.parametrize("size", [2**10, 2**20, 2**22])
def test_a_diagnosis_hashes_no_more_than_a_dozen_times_a_mebibyte(
    row: str, headers: SignatureHeaders, size: int
) -> None:
    content = b"x" * size
    hmacs = count_hmacs(lambda: diagnosed(content, headers, whole_body=None))
    assert 2 <= hmacs * size <= MAX_HASHED_BYTES == 12 * 2**20


@pytest.mark.parametrize("headers", [shown("0" * 64), WITH_ALL], ids=["v0", "v1"])
def test_a_diagnosis_of_a_message_tries_few_forms(headers: SignatureHeaders) -> None:
    assert count_hmacs(lambda: diagnosed(SENT, headers)) <= 64


@pytest.mark.parametrize("signature", ["", "0" * 63, "v1,", encoded(bytes(31)), "\xe9" * 64])
def test_what_is_no_digest_costs_nothing(signature: str) -> None:
    assert count_hmacs(lambda: diagnosed(SENT, shown(signature))) == 0


VALUES = st.text(max_size=80) | st.binary(min_size=32, max_size=32).map(encoded)


@given(st.binary() | st.sampled_from([SENT, NODE, PHP]), VALUES, st.sampled_from(["", *"vs"]))
def test_random_signatures_get_no_hint(content: bytes, signature: str, kind: str) -> None:
    prefix = {"": "", "v": "v1,", "s": "sha256="}[kind]
    for headers in (shown(prefix + signature), v1_showing(prefix + signature)):
        assert "as long as" in (diagnosed(content, headers) or "as long as")
