"""Hands homework in at Optio, or sends another message, signed alike. Copy it and change what you
need: Python 3.9 or newer, no packages.

    python3 submit.py [--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]
    python3 submit.py [--dry-run] --to ROUTE JSON

ROUTE is course, roster, deliveries, deliveries/replay or ping. OPTIO_URL and OPTIO_WEBHOOK_SECRET
come from the environment. Prints Optio's answer and exits with 0, or says what to change and exits
with 1; an attempt that is repeated is a line.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

OPTIO_URL = os.environ.get("OPTIO_URL", "")
OPTIO_WEBHOOK_SECRET = os.environ.get("OPTIO_WEBHOOK_SECRET", "")
ATTEMPTS = 8  # in some two minutes; your job queue may go on for 7 days
SECONDS = 120  # without a byte, then it gives up
USAGE = """
python3 submit.py [--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]
python3 submit.py [--dry-run] --to ROUTE JSON"""


def say(line):
    print(line, file=sys.stderr, flush=True)


def refuse(why):
    say(why + USAGE)
    sys.exit(2)


def describe(path):
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(65536), b""):
            digest.update(chunk)
            size += len(chunk)
    return {"name": path.name, "sha256": digest.hexdigest(), "size": size}


def write(student, course, assignment, text, paths):
    message = {
        "spark_user_id": student,
        "spark_course_id": course,
        "spark_assignment_id": assignment,
        "submission_text": text,
        "submitted_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": [describe(path) for path in paths],
    }
    return json.dumps(message).encode()


def sign(message_id, content):
    """The key is the secret as literal text. The id stays, the time is that of this attempt."""
    at = str(int(time.time()))
    signed = f"{message_id}.{at}.".encode() + content
    mac = base64.b64encode(hmac.digest(OPTIO_WEBHOOK_SECRET.encode(), signed, "sha256")).decode()
    return {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": f"v1,{mac}"}


def make_form(content, paths):
    """The parts, metadata first: a wrong signature is answered before the files travel."""
    boundary = secrets.token_hex(16)
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    parts = [(head % "metadata").encode(), content]
    for index, path in enumerate(paths):
        name = path.name.replace('"', "%22")
        parts += [("\r\n" + head % f'file{index}"; filename="{name}').encode(), path]
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    size = sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in parts)
    media_type = f"multipart/form-data; boundary={boundary}"
    return parts, {"Content-Type": media_type, "Content-Length": str(size)}


def read(parts):
    """Files are read while they are sent."""
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            with part.open("rb") as file:
                yield from iter(lambda: file.read(65536), b"")


def send(path, message_id, content, files):
    body, headers = content, {"Content-Type": "application/json"}
    if files:
        parts, headers = make_form(content, files)
        body = read(parts)
    host = urlsplit(OPTIO_URL)
    is_https = host.scheme == "https"
    connect = http.client.HTTPSConnection if is_https else http.client.HTTPConnection
    try:
        connection = connect(host.netloc, timeout=SECONDS)
        connection.connect()
        # Refused before all files have travelled: the answer is there all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, body, headers | sign(message_id, content))
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__, 0
    retry_after = answer.headers.get("Retry-After", "")
    return answer.status, text, int(retry_after) if retry_after.isdigit() else 0


def understand(status, text):
    with suppress(ValueError):
        said = json.loads(text)
        if isinstance(said, dict) and (status == 200 or "request_id" in said):
            return said
    return {"code": "no_answer_of_optio", "error": text[:200]}  # a proxy's words, or the network's


def deliver(path, message_id, content, files, attempts):
    """Status 0 is no answer: it may have arrived all the same, so the same id goes again."""
    for attempt in range(1, attempts + 1):
        status, text, retry_after = send(path, message_id, content, files)
        said = understand(status, text)
        code = said.get("code")
        again = status in (0, 408, 429) or status >= 500 or code == "request_in_progress"
        if not again or attempt == attempts:
            break
        seconds = retry_after or 2 ** (attempt - 1) + random.random()  # noqa: S311
        say(f"attempt {attempt}: {status} {code}: {said.get('error')}; again in {seconds:.0f} s")
        time.sleep(seconds)
    return status, text, said


def main(words):
    dry_run = words[:1] == ["--dry-run"]
    words = words[dry_run:]
    if not OPTIO_URL or not OPTIO_WEBHOOK_SECRET:
        refuse("Set OPTIO_URL and OPTIO_WEBHOOK_SECRET.")
    if not OPTIO_URL.startswith(("https://", "http://")):
        refuse("OPTIO_URL begins with https:// or http://.")
    route, files = "submission", []
    if words[:1] == ["--to"] and len(words) == 3:
        route, content = words[1], words[2].encode()
    elif len(words) < 4 or words[0].startswith("--"):
        refuse("These arguments do not fit:")
    else:
        files = [Path(word) for word in words[4:]]
        try:
            content = write(*words[:4], files)
        except OSError as error:
            refuse(f"Cannot read {error.filename}: {error.strerror}.")
    # Keep both with your job, so that a retry is the same message.
    message_id = f"msg_{secrets.token_hex(16)}"
    path = f"{urlsplit(OPTIO_URL).path.rstrip('/')}/spark/webhook/{route}"
    path += "?dry_run=true" if dry_run else ""
    status, text, said = deliver(path, message_id, content, files, 1 if dry_run else ATTEMPTS)
    taken = status == 200 and "code" not in said
    if taken:
        print(text)
    else:
        say(f"{status} {said['code']}: {said.get('error')}\n{said.get('hint') or ''}")
        say(f"webhook-id: {message_id}")
    for problem in said.get("errors") or []:
        say(f"{problem.get('file') or problem.get('spark_user_id')}: {problem['code']}")
    for warning in said.get("warnings") or []:
        say(f"warning: {warning['field']}: {warning['detail']}")
    sys.exit(0 if taken and said.get("would") != "refuse" else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
