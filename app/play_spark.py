"""Plays Spark: a course, launch tokens, and signed submissions.

For the demo, the *Try it* block and whoever wants to see what a sender has to do.
"""

import json
import secrets
import shlex
import struct
import sys
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from app.learning.sample_course import ASSIGNMENT_ID, COURSE_ID
from app.settings import Settings
from app.signing import frame, sign, sign_token, sign_v1, token_key

STUDENT = "demo_student"
MAKE_KEY = "python -m app keys create Ada --scope read --scope write"
PICTURE_SIDE = 1100  # pixels of noise: about 3.5 MB of PNG
COURSE = {
    "spark_course_id": "demo_course",
    "course_title": "Weather",
    "course_description": "A course that is synced by the demo.",
    "assignments": [
        {"spark_assignment_id": "rain", "title": "Measure a week of rain"},
        {"spark_assignment_id": "wind", "title": "Draw a wind rose"},
    ],
}


def launch_token(
    secret: SecretStr, student: str, *, now: datetime, courses: Sequence[str] = ()
) -> str:
    claims = {
        "sub": student,
        "email": f"{student}@example.com",
        "given_name": "Ada",
        "family_name": "Example",
        "role": "student",
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(minutes=10)).timestamp()),
        "courses": list(courses),
    }
    return sign_token(claims, key=token_key(secret))


def deep_link_token(
    secret: SecretStr, assignment_id: str, return_url: str, *, now: datetime
) -> str:
    """Asks a teacher to choose work for an assignment of COURSE."""
    issued_at = int(now.timestamp())
    claims = {
        "message_type": "deep_linking_request",
        "iss": "spark",
        "sub": "demo_teacher",
        "role": "teacher",
        "iat": issued_at,
        "exp": issued_at + 600,
        "jti": secrets.token_hex(16),
        "spark_course_id": COURSE["spark_course_id"],
        "spark_assignment_id": assignment_id,
        "return_url": return_url,
    }
    return sign_token(claims, key=token_key(secret))


def submission(student: str, text: str, *, now: datetime, **more: object) -> bytes:
    """The exact bytes to send. For the sample course, unless `more` of the message says another."""
    content: dict[str, object] = {
        "spark_user_id": student,
        "spark_assignment_id": ASSIGNMENT_ID,
        "spark_course_id": COURSE_ID,
        "submission_text": text,
        "submitted_at": now.isoformat(timespec="milliseconds"),
    } | more
    return json.dumps(content).encode()


def sample_files() -> dict[str, bytes]:
    """A picture of some mebibytes, a PDF and a text, made anew each time."""
    return {
        "rain-gauge.png": _png(PICTURE_SIDE),
        "report.pdf": _pdf("A week of rain"),
        "notes.txt": "Regen: 4 von 7 Tagen, ça suffit.\n".encode() * 100,
    }


def _png(side: int) -> bytes:
    """Noise, so that it does not compress (PNG specification, sections 5 and 11)."""
    rows = b"".join(b"\0" + secrets.token_bytes(side * 3) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _pdf(title: str) -> bytes:
    """The smallest document a reader opens: catalogue, page tree, one page."""
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Title ({title}) >>",
    )
    body = "%PDF-1.4\n" + "".join(
        f"{number} 0 obj {content} endobj\n" for number, content in enumerate(objects, start=1)
    )
    trailer = f"trailer << /Root 1 0 R /Size {len(objects) + 1} >>\n%%EOF\n"
    return (body + trailer).encode()


def try_it(settings: Settings, base_url: str, *, now: datetime, exports: Sequence[str] = ()) -> str:
    """What to open and paste first; empty when there are no secrets to sign with. `exports` are
    lines for a shell.
    """
    if settings.spark_sso_secret is None or settings.spark_webhook_secret is None:
        return ""
    token = launch_token(settings.spark_sso_secret, STUDENT, now=now)
    text = submission(STUDENT, "Rain fell on four of seven days.", now=now)
    webhook_id, time = f"msg_{secrets.token_hex(12)}", str(int(now.timestamp()))
    signature = sign_v1(settings.spark_webhook_secret, frame(webhook_id, time) + text)
    form = submission(STUDENT, "My report is attached.", now=now)
    form_signature = sign(settings.spark_webhook_secret, form)
    webhook = f"{base_url}/spark/webhook/submission"
    heading = ["", "  For the guide's examples, in a shell:"]
    shell = "\n".join([*heading, *exports, ""]) if exports else ""
    return f"""
Try it   (signed now: the link works for 10 minutes, the submissions for 5;
          fresh ones: {_command(base_url)})

  Docs     {base_url}/docs
  Sign in  {base_url}/spark/sso?token={token}
  Console  {base_url}/console   (a key for it: {MAKE_KEY})
{shell}
  Then hand in, as JSON (Standard Webhooks):
curl -sS {webhook} -H 'Content-Type: application/json' \\
  -H 'webhook-id: {webhook_id}' -H 'webhook-timestamp: {time}' \\
  -H 'webhook-signature: {signature}' \\
  --data-binary '{text.decode()}'

  or with a file (X-Spark-Signature):
echo 'Rain fell on four of seven days.' | curl -sS {webhook} \\
  -H 'X-Spark-Signature: {form_signature}' \\
  --form-string 'metadata={form.decode()}' \\
  -F 'file=@-;filename=report.txt'

  To check either and keep nothing, put '?dry_run=true' (quoted) behind the address.
"""


def _command(base_url: str) -> str:
    """As a shell in this folder takes it, by the interpreter that has what it needs."""
    here, program = Path.cwd(), Path(sys.executable)
    shown = program.relative_to(here) if program.is_relative_to(here) else program
    return shlex.join([str(shown), "-m", "app", "try-it", "--base-url", base_url])
