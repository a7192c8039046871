"""Receives grades and receipts from Optio. Copy it and change what you need: Python 3.9 or newer,
no packages.

    PORT=9000 GRADEBOOK=gradebook.json python3 receive.py

OPTIO_API_KEY (what Optio calls you with) and OPTIO_OUTBOUND_SECRET come from the environment. The
file stands for your database: keep the answer and its effect in one transaction.
"""

import base64
import hmac
import json
import os
import sys
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

NEEDED = ("GRADEBOOK", "OPTIO_API_KEY", "OPTIO_OUTBOUND_SECRET")
GRADEBOOK, OPTIO_API_KEY, OPTIO_OUTBOUND_SECRET = (os.environ.get(name, "") for name in NEEDED)
WINDOW_SECONDS = 300
MAX_BYTES = 64 * 1024
ONE_AT_A_TIME = Lock()


def same(sent, expected):
    return hmac.compare_digest(sent.encode(), expected.encode())


def is_genuine(headers, raw):
    """Over the raw bytes. During a rotation there are two signatures, with a space between."""
    at = headers.get("webhook-timestamp", "")
    if not same(headers.get("Authorization", ""), f"Bearer {OPTIO_API_KEY}"):
        return False
    if not at.isdecimal() or abs(time.time() - int(at)) > WINDOW_SECONDS:
        return False
    signed = f"{headers.get('webhook-id')}.{at}.".encode() + raw
    mac = hmac.digest(OPTIO_OUTBOUND_SECRET.encode(), signed, "sha256")
    expected = f"v1,{base64.b64encode(mac).decode()}"
    return any(same(each, expected) for each in headers.get("webhook-signature", "").split(" "))


def age(grade):
    scored_at = datetime.fromisoformat(grade["scored_at"].replace("Z", "+00:00"))
    return scored_at, grade["version"]


def keep_grade(grade, book):
    if "score" not in grade:
        return 200  # handed in, not scored: the gradebook stays as it is
    names = ("spark_user_id", "spark_course_id", "spark_assignment_id")
    place = json.dumps([grade[name] for name in names])
    held = book["grades"].get(place)
    if held and age(grade) < age(held):
        return 409
    book["grades"][place] = grade
    return 200


def keep_receipt(receipt, book):
    book["receipts"].append(receipt)
    return 200


def once(key, act, message):
    """An attempt that is repeated gets the first answer."""
    file = Path(GRADEBOOK)
    with ONE_AT_A_TIME:
        empty = {"grades": {}, "receipts": [], "answered": {}}
        book = json.loads(file.read_text()) if file.exists() else empty
        if key not in book["answered"]:
            book["answered"][key] = act(message, book)
            draft = file.with_suffix(".part")
            draft.write_text(json.dumps(book))
            draft.replace(file)
        return book["answered"][key]


ACTS = {"POST /grades": keep_grade, "POST /receipts": keep_receipt}


class Receiver(BaseHTTPRequestHandler):
    timeout = 30

    def answer(self, raw):
        if not is_genuine(self.headers, raw):
            return 401  # Optio waits until key and secret are right
        asked = f"{self.command} {self.path}"
        if asked in ACTS:
            return once(self.headers["Idempotency-Key"], ACTS[asked], json.loads(raw))
        return 200 if asked == "GET /ping" else 404

    def do_POST(self):
        status = 500  # Optio sends it again
        try:
            size = int(self.headers.get("Content-Length", 0))
            status = 413 if size > MAX_BYTES else self.answer(self.rfile.read(size))
        except (KeyError, OSError, ValueError) as error:
            self.log_error("%r", error)
        body = json.dumps({"status": status}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - the name that http.server calls


if __name__ == "__main__":
    port = os.environ.get("PORT", "9000")
    if not (GRADEBOOK and OPTIO_API_KEY and OPTIO_OUTBOUND_SECRET and port.isdecimal()):
        sys.stderr.write("Set PORT, GRADEBOOK, OPTIO_API_KEY and OPTIO_OUTBOUND_SECRET.\n")
        sys.exit(2)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
    except (OSError, OverflowError) as error:
        sys.exit(f"Cannot listen on {port}: {error}")
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
