"""Makes the link that signs a student in. Copy it and change what you need: Python 3.9 or newer, no
packages.

    python3 launch.py STUDENT EMAIL GIVEN_NAME FAMILY_NAME [COURSE ...]

OPTIO_URL and OPTIO_SHARED_SECRET, that of sign-in, come from the environment. Make a link for each
click and redirect the browser to it: it works once, and for 10 minutes.
"""

import base64
import hmac
import json
import os
import secrets
import sys
import time

LIFE_SECONDS = 600


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def make_token(claims, secret):
    """The key is the secret as literal text."""
    head = {"alg": "HS256", "typ": "JWT"}
    text = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{encode(hmac.digest(secret.encode(), text.encode(), 'sha256'))}"


def main(words):
    address = os.environ.get("OPTIO_URL", "").rstrip("/")
    secret = os.environ.get("OPTIO_SHARED_SECRET", "")
    if not address or not secret or len(words) < 4:
        sys.stderr.write(
            "Set OPTIO_URL and OPTIO_SHARED_SECRET, then:\n"
            "python3 launch.py STUDENT EMAIL GIVEN_NAME FAMILY_NAME [COURSE ...]\n"
        )
        sys.exit(2)
    student, email, given_name, family_name, *courses = words
    now = int(time.time())
    claims = {
        "sub": student,
        "email": email,
        "given_name": given_name,
        "family_name": family_name,
        "role": "student",
        "iat": now,
        "exp": now + LIFE_SECONDS,
        "jti": secrets.token_hex(16),
    }
    if courses:  # those that the student is enrolled in by this click
        claims["courses"] = courses
    print(f"{address}/spark/sso?token={make_token(claims, secret)}")


if __name__ == "__main__":
    main(sys.argv[1:])
