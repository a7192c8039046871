"""Lets a teacher choose work at Optio, and reads the answer. Copy it and change what you need:
Python 3.9 or newer, no packages.

    python3 deep_link.py ask TEACHER COURSE ASSIGNMENT RETURN_URL   prints what to open, and state
    python3 deep_link.py read TOKEN STATE                           prints what was chosen

OPTIO_URL and OPTIO_SHARED_SECRET, that of sign-in, come from the environment.
"""

import base64
import hmac
import json
import os
import secrets
import sys
import time

OPTIO_URL = os.environ.get("OPTIO_URL", "").rstrip("/")
OPTIO_SHARED_SECRET = os.environ.get("OPTIO_SHARED_SECRET", "")
LIFE_SECONDS = 600


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def sign(text):
    return encode(hmac.digest(OPTIO_SHARED_SECRET.encode(), text.encode(), "sha256"))


def ask(teacher, course, assignment, return_url):
    """Keep `state` with the teacher's session."""
    now, state = int(time.time()), secrets.token_hex(16)
    head = {"alg": "HS256", "typ": "JWT"}
    claims = {
        "message_type": "deep_linking_request",
        "iss": "spark",
        "sub": teacher,
        "role": "teacher",
        "iat": now,
        "exp": now + LIFE_SECONDS,
        "jti": secrets.token_hex(16),
        "spark_course_id": course,
        "spark_assignment_id": assignment,
        "return_url": return_url,
        "state": state,
    }
    text = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
    return {"url": f"{OPTIO_URL}/spark/deep-link?token={text}.{sign(text)}", "state": state}


def read(token, state):
    """The field `token` that RETURN_URL was posted. Take each `jti` once: keep it until `exp`."""
    text, _, signature = token.rpartition(".")
    if text.count(".") != 1 or not hmac.compare_digest(signature.encode(), sign(text).encode()):
        raise ValueError("the signature does not fit")
    head, claims = map(decode, text.split("."))
    kind = (head["alg"], head["typ"], claims.get("aud"))
    if kind != ("HS256", "optio-deep-link+jwt", "spark"):
        raise ValueError("it is a token of another kind")
    if claims["exp"] <= time.time():
        raise ValueError("it is too old")
    if not hmac.compare_digest(str(claims["state"]).encode(), state.encode()):
        raise ValueError("it is of another request")
    return claims


def main(act="", *words):
    acts = {"ask": (ask, 4), "read": (read, 2)}
    if not OPTIO_URL or not OPTIO_SHARED_SECRET or len(words) != acts.get(act, (None, -1))[1]:
        sys.stderr.write(
            "Set OPTIO_URL and OPTIO_SHARED_SECRET, then:\n"
            "python3 deep_link.py ask TEACHER COURSE ASSIGNMENT RETURN_URL\n"
            "python3 deep_link.py read TOKEN STATE\n"
        )
        sys.exit(2)
    try:
        print(json.dumps(acts[act][0](*words)))
    except ValueError as error:
        sys.exit(f"Refused: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
