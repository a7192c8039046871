"""Signature headers, and the diagnosis of those that do not fit."""

from app.deliveries.authenticate import SignatureHeaders, authenticate, check_headers
from app.deliveries.diagnose import diagnose
from app.errors import SignatureMismatchError, SignatureMissingError
from tests.support.webhooks import SECRET, SSO_SECRET, WEBHOOK_ID, mac, v1

REFUSALS = ()
BODY = '{"b": "Caf\u00e9", "a": 1}'.encode()
V1 = v1(BODY).webhook_signature[0].encode()
SEEDS = (
    b"\n\n\n\n" + BODY,
    mac(BODY).hex().encode() + b"\n\n\n\n" + BODY,
    b"sha256=" + mac(BODY).hex().upper().encode() + b"\n\n\n\n" + BODY,
    b"\n" + WEBHOOK_ID.encode() + b"\n1795444200\n" + V1 + b" v1a,AAAA\n" + BODY,
)


def run(data: bytes) -> None:
    *values, content = [*data.split(b"\n", 4), *[b""] * 4][:5]
    headers = SignatureHeaders(*((value.decode("latin-1"),) if value else () for value in values))
    try:
        check_headers(headers, require_v1=False)
        authenticate(content, headers, secrets=[SECRET], require_v1=False)
    except (SignatureMismatchError, SignatureMissingError):
        hint = diagnose(
            content, headers, secrets=[SECRET], sso_secret=SSO_SECRET, whole_body=b"a" + content
        )
        assert hint is None or SECRET.get_secret_value() not in hint
