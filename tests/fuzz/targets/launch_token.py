"""Tokens of Spark's as they come, and what is in one that was signed rightly."""

import base64
import hmac
import json
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.errors import BadRequestError, ForbiddenError, UnauthorizedError
from app.signing import token_key
from app.sso.deep_link_token import verify_deep_link
from app.sso.launch_token import verify_launch_token

REFUSALS = ()
NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
SECRET = SecretStr("fuzz" * 16)
KEYS = [token_key(SECRET)]
HEADER = b'{"alg":"HS256","typ":"JWT"}'
CLAIMS = {
    "sub": "student_42",
    "email": "ada@example.com",
    "given_name": "Ada",
    "family_name": "Example",
    "role": "student",
    "courses": ["weather", 7],
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 600,
    "jti": "1",
}
RETURN = "https://spark.example/optio"
REQUEST = {
    "message_type": "deep_linking_request",
    "iss": "spark",
    "role": "teacher",
    "spark_course_id": "weather",
    "spark_assignment_id": "rain",
    "return_url": f"{RETURN}/chosen?a=b",
}


def _token(header: bytes, payload: bytes) -> str:
    signed = b".".join(_segment(part) for part in (header, payload))
    mac = hmac.digest(SECRET.get_secret_value().encode(), signed, "sha256")
    return (signed + b"." + _segment(mac)).decode()


def _segment(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


SEEDS = (
    _token(HEADER, json.dumps(CLAIMS).encode()).encode(),
    HEADER + b"\n" + json.dumps(CLAIMS).encode(),
    HEADER + b"\n" + json.dumps(CLAIMS | {"courses": None, "role": " Student "}).encode(),
    HEADER + b"\n" + json.dumps(CLAIMS | REQUEST).encode(),
)


def run(data: bytes) -> None:
    header, _, payload = data.partition(b"\n")
    for token in (data.decode("latin-1"), _token(header, payload)):
        with suppress(BadRequestError, ForbiddenError, UnauthorizedError):
            assert verify_launch_token(token, keys=KEYS, now=NOW).spark_user_id
        with suppress(BadRequestError, ForbiddenError, UnauthorizedError):
            asked = verify_deep_link(token, keys=KEYS, return_urls=[RETURN], now=NOW)
            assert urlsplit(asked.return_url).hostname == "spark.example"
