"""Spark's side: announces a course and a student, rehearses, hands in homework, and is refused."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from client import AuthenticatedClient
from client.api.courses import change_roster, sync_course
from client.api.submission import submit
from client.models import (
    Course,
    CourseAnswer,
    CourseAssignment,
    DeclaredFile,
    DryRunAnswer,
    Problem,
    Roster,
    RosterAnswer,
    RosterEntry,
    RosterEntryAction,
    Submission,
    SubmissionAnswer,
    SubmissionForm,
)
from client.types import File


def signed(content: bytes) -> dict[str, str]:
    message, now = f"msg_{secrets.token_hex(12)}", str(int(time.time()))
    key = os.environ["OPTIO_WEBHOOK_SECRET"].encode()
    mac = hmac.digest(key, f"{message}.{now}.".encode() + content, "sha256")
    return {
        "webhook-id": message,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def sign(request: httpx.Request) -> None:
    """Each request as it leaves: the whole JSON, or the field `metadata` of a form."""
    is_form = request.headers["Content-Type"].startswith("multipart/")
    request.headers.update(signed(metadata.encode() if is_form else request.read()))


course, student, email, picture = sys.argv[1:]
metadata = ""
optio = AuthenticatedClient(
    base_url=os.environ["OPTIO_URL"],
    token="made by the hook",
    auth_header_name="webhook-signature",
    prefix="",
    httpx_args={"event_hooks": {"request": [sign]}},
)


def homework(who: str) -> Submission:
    return Submission(
        spark_user_id=who,
        spark_course_id=course,
        spark_assignment_id="rain",
        submission_text="Rain fell on four of seven days.",
        submitted_at=datetime.now(tz=UTC).isoformat(),
    )


synced = sync_course.sync(
    client=optio,
    body=Course(
        spark_course_id=course,
        course_title="Weather",
        assignments=[CourseAssignment(spark_assignment_id="rain", title="Rain")],
    ),
)
assert isinstance(synced, CourseAnswer), synced
entry = RosterEntry(spark_user_id=student, action=RosterEntryAction.ENROLL, email=email)
roster = change_roster.sync(client=optio, body=Roster(spark_course_id=course, entries=[entry]))
assert isinstance(roster, RosterAnswer), roster
rehearsed = submit.sync(client=optio, body=homework(student), dry_run=True)
assert isinstance(rehearsed, DryRunAnswer), rehearsed
recorded = submit.sync(client=optio, body=homework(student))
assert isinstance(recorded, SubmissionAnswer), recorded
refused = submit.sync(client=optio, body=homework("nobody"))
assert isinstance(refused, Problem), refused

content = Path(picture).read_bytes()
again = homework(student)
again.files = [
    DeclaredFile(name="gauge.png", sha256=hashlib.sha256(content).hexdigest(), size=len(content))
]
metadata = json.dumps(again.to_dict())
with Path(picture).open("rb") as payload:
    with_file = submit.sync(
        client=optio,
        body=SubmissionForm(metadata=metadata, file=[File(payload, "gauge.png")]),
    )
assert isinstance(with_file, SubmissionAnswer), with_file

answers = {
    "course": synced.task_count,
    "enrolled": roster.enrolled,
    "rehearsed": [rehearsed.status.value, rehearsed.would.value],
    "recorded": [recorded.status.value, recorded.revision],
    "refused": refused.code,
    "files": [file.name for file in with_file.files],
}
sys.stdout.write(json.dumps(answers))
