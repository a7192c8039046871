"""Signature headers as a sender makes them, v0 by hand and v1 by hand or by its own library."""

import base64
import hmac
import secrets
from datetime import UTC, datetime

from pydantic import SecretStr
from standardwebhooks import Webhook

from app.deliveries.authenticate import SignatureHeaders

SECRET, PREVIOUS, SSO_SECRET = (SecretStr(secrets.token_hex(32)) for _ in range(3))
NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
WEBHOOK_ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"


def library(secret: SecretStr = SECRET) -> Webhook:
    """A Standard Webhooks library, given the secret's text in the form it wants."""
    return Webhook("whsec_" + base64.b64encode(key(secret)).decode())


def key(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode()


def mac(signed: bytes, *, under: bytes | None = None) -> bytes:
    return hmac.digest(key(SECRET) if under is None else under, signed, "sha256")


def v0(signed: bytes, *, secret: SecretStr = SECRET) -> SignatureHeaders:
    return SignatureHeaders(spark=(mac(signed, under=key(secret)).hex(),))


def v1(
    content: bytes, *, secret: SecretStr = SECRET, webhook_id: str = WEBHOOK_ID, at: datetime = NOW
) -> SignatureHeaders:
    timestamp = str(int(at.timestamp()))
    digest = mac(f"{webhook_id}.{timestamp}.".encode() + content, under=key(secret))
    return v1_showing(f"v1,{encoded(digest)}", webhook_id=webhook_id, timestamp=timestamp)


def v1_showing(
    signature: str,
    *,
    webhook_id: str = WEBHOOK_ID,
    timestamp: str = str(int(NOW.timestamp())),
) -> SignatureHeaders:
    return SignatureHeaders(
        webhook_id=(webhook_id,), webhook_timestamp=(timestamp,), webhook_signature=(signature,)
    )


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
