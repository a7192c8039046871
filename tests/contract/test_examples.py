"""What the contract shows can be sent: signed with a fresh time, each published example is taken
(DESIGN R40).

Whatever a contract cannot know is put in for the example: the ids of rows, a launch token, and of a
code that it is a living one. Every operation is called; a new one needs nothing here but its ids.
"""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import insert, update

from app.api.docs import internal_contract, public_contract
from app.cli.newcomer import STUDENT, enrol_guide_student
from app.fields import UUID_EXAMPLE
from app.learning.sample_course import seed_sample_course
from app.models import CourseQuestTask, Download, Job, OrganisationErasure, SparkAuthCode
from app.settings import Settings
from app.sso.authorization_codes import hash_code
from tests.support.bodies import Part, form
from tests.support.databases import ready_database
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.evidence import desk_of, tasks_of
from tests.support.spark import FORM, RETURN_URL, SignedIn

Call = tuple[str, str, dict[str, Any]]  # method, path, operation

BOUND = {"cursor", "after"}  # to one list of one service: no example of it is anybody's
MAKES = {
    "importRoster": "import_id",
    "giveGrade": "grade_id",
    "putLink": "link_id",
    "placeHold": "hold_id",
}
ALONE = {"explainHomework.request_id"}  # not beside the other parameters
FILE_HOST = "files.spark.example"
INTROSPECT = "/internal/v1/sessions/introspect"
REPLAY = "replayOwnDelivery"
ASKS = ("listOwnDeliveries", "ping")  # nothing becomes of them
LAST = ("revokeSession", "revokeSessions", "eraseStudent")  # in this order


@pytest.fixture
async def sample(settings: Settings) -> AsyncIterator[Elsewhere]:
    """A service as it is after its first start, with the sample course and the guide's student."""
    nobody = {"spark_api_url": "http://127.0.0.1:9", "spark_storage_domains": (FILE_HOST,)}
    nobody["spark_return_urls"] = (RETURN_URL,)
    async with ready_database(settings) as own, run_elsewhere(own, **nobody) as elsewhere:
        resources = elsewhere.running.app.state.resources
        await seed_sample_course(resources.sessions)
        await enrol_guide_student(resources)
        yield elsewhere


def _calls(contract: dict[str, Any]) -> list[Call]:
    calls = [
        (method, path, operation)
        for path, methods in contract["paths"].items()
        for method, operation in methods.items()
    ]
    place = {name: number for number, name in enumerate(LAST, start=1)}
    return sorted(calls, key=lambda call: place.get(call[2]["operationId"], 0))


def _examples(operation: dict[str, Any]) -> list[tuple[str, Any]]:
    """Each with its media type; without a body there is one, empty."""
    content = operation.get("requestBody", {}).get("content", {})
    examples = [
        (media, example["value"])
        for media, each in content.items()
        for example in each["examples"].values()
    ]
    return examples or [("", None)]


async def _send(
    at: Elsewhere, call: Call, media: str, value: Any, known: dict[str, Any]
) -> httpx.Response:
    method, path, operation = call
    query = {}
    for name, place, example in _parameters(operation):
        full_name = f"{operation['operationId']}.{name}"
        shown = known.get(full_name, known.get(name, example))
        path = path.replace(f"{{{name}}}", str(shown))
        if place == "query" and name not in BOUND and full_name not in ALONE:
            query[name] = shown
    if isinstance(value, dict):
        named = {name: f"{operation['operationId']}.{name}" for name in value}
        value |= {name: known[full] for name, full in named.items() if full in known}
    body, headers = _encode(at, media, value, known)
    key = at.running.app.state.resources.settings.internal_api_keys[0].get_secret_value()
    if path.startswith("/internal/"):
        headers["Authorization"] = f"Bearer {key}"
    return await at.spark.browser.request(
        method, path, params=query, content=body, headers=headers, follow_redirects=False
    )


def _parameters(operation: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for parameter in operation.get("parameters", []):
        yield parameter["name"], parameter["in"], parameter["schema"]["examples"][0]


def _encode(
    at: Elsewhere, media: str, value: Any, known: dict[str, Any]
) -> tuple[bytes, dict[str, str]]:
    """Body and headers, signed as the predecessor's senders do."""
    if media == "application/octet-stream":
        return value.encode(), {"Content-Type": media}
    if media == "application/x-www-form-urlencoded":
        return str(httpx.QueryParams({"token": known["token"]})).encode(), {"Content-Type": media}
    if media == "multipart/form-data":
        signed = _fresh(value.get("metadata", ""))
        file = value["file"] if isinstance(value["file"], str) else value["file"][0]
        parts = [Part("metadata", signed)] if signed else []
        body = form(*parts, Part("file", file.encode(), filename="notes.txt"))
        return body, {"Content-Type": FORM, "X-Spark-Signature": at.spark.sign(signed)}
    if not media:
        return b"", {}
    signed = _fresh(json.dumps(value))
    return signed, {"Content-Type": media, "X-Spark-Signature": at.spark.sign(signed)}


def _fresh(text: str) -> bytes:
    """The same JSON, handed in or sent now if it says when."""
    value = json.loads(text) if text else {}
    said = value.keys() & {"submitted_at", "sent_at"}
    if said:
        text = json.dumps(value | dict.fromkeys(said, datetime.now(tz=UTC).isoformat()))
    return text.encode()


async def _revive_code(at: Elsewhere, code: str) -> None:
    """The code of a fresh launch is the one that the contract shows."""
    fresh = await at.spark.launch_code(sub=STUDENT.spark_user_id)
    sessions = at.running.app.state.resources.sessions
    async with sessions() as session, session.begin():
        await session.execute(
            update(SparkAuthCode)
            .where(SparkAuthCode.code == hash_code(fresh))
            .values(code=hash_code(code))
        )


async def _handed_in(at: Elsewhere) -> str:
    """The delivery of the JSON among Spark's examples: the first of them."""
    asked = _fresh(json.dumps({"sent_at": ""}))
    headers = {"Content-Type": "application/json", "X-Spark-Signature": at.spark.sign(asked)}
    answer = await at.spark.browser.post(
        "/spark/webhook/deliveries", content=asked, headers=headers
    )
    return str([each["id"] for each in answer.json()["items"] if each["replayable"]][-1])


async def _call_spark(at: Elsewhere) -> None:
    for call in _calls(public_contract(at.running.app)):
        for media, value in _examples(call[2]):
            if call[2]["operationId"] == "exchangeCode":
                await _revive_code(at, value["code"])
            known = {"dry_run": "false", "token": at.spark.launch_token()}
            if call[2]["operationId"] == REPLAY:
                known[f"{REPLAY}.delivery_id"] = await _handed_in(at)
            is_message = "/webhook/" in call[1] and call[2]["operationId"] not in ASKS
            if is_message:
                rehearsed = await _taken(at, call, media, value, known | {"dry_run": "true"})
                assert rehearsed["would"] != "refuse", rehearsed
                assert rehearsed["warnings"] == []
            if call[1] == "/spark/deep-link":
                known["token"] = at.spark.signed(at.spark.deep_link_claims())
            answer = await _taken(at, call, media, value, known)
            assert is_message == (answer.get("warnings") == [])


async def _taken(at: Elsewhere, call: Call, media: str, value: Any, known: dict[str, Any]) -> Any:
    answer = await _send(at, call, media, value, known)
    is_taken = answer.status_code == 302 if call[1] == "/spark/sso" else answer.is_success
    assert is_taken, (*call[:2], media, answer.text)
    is_json = answer.headers.get("content-type") == "application/json"
    return answer.json() if is_json else {}


async def _add_task(at: Elsewhere, quest_id: str) -> None:
    """To the course's quest, the one that the contract shows."""
    sessions = at.running.app.state.resources.sessions
    task = {"id": UUID(UUID_EXAMPLE), "quest_id": UUID(quest_id), "title": "Essay"}
    async with sessions() as session, session.begin():
        of_art = insert(CourseQuestTask).values(**task, pillar="art", xp_value=50, order_index=9)
        await session.execute(of_art)


async def _leave_work(at: Elsewhere, submission: dict[str, Any]) -> dict[str, Any]:
    """A dead job, one that waits, a file that did not come, and the certificate of a school that
    left: the parameters that name them.
    """
    sessions = at.running.app.state.resources.sessions
    names = ("retryJob.job_id", "discardJob.job_id", "download_id", "erasure_id")
    ids = {name: uuid4() for name in names}
    of = {"user_id": submission["user_id"], "submission_id": submission["id"]}
    file = {"position": 0, "place": 9, "host": FILE_HOST, "filename": "rain-gauge.jpg"}
    async with sessions() as session, session.begin():
        for name, state in (("retryJob.job_id", "dead"), ("discardJob.job_id", "waiting")):
            await session.execute(insert(Job).values(id=ids[name], kind=state, key="", state=state))
        lost = {"id": ids["download_id"], "state": "dead"}
        await session.execute(insert(Download).values(**lost, **of, **file))
        moment = datetime.now(tz=UTC)
        left = {"spark_org_id": "7", "requested_at": moment, "completed_at": moment}
        certificate = insert(OrganisationErasure).values(requested_by="operator", **left)
        await session.execute(certificate.values(id=ids["erasure_id"]))
    return {name: str(each) for name, each in ids.items()}


async def _known(at: Elsewhere, student: SignedIn, key: dict[str, str]) -> dict[str, Any]:
    """The ids of what Spark's examples left, by the parameters that name them."""

    async def items(path: str) -> list[dict[str, Any]]:
        answer = await at.spark.browser.get(f"/internal/v1/{path}", headers=key)
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    submission, deliveries = (await items("submissions"))[0], await items("deliveries")
    tasks = await tasks_of(at.running.app.state.resources.sessions, student.user_id)
    put, posted, edited = (task for task in tasks if task != submission["task_id"])
    desk = desk_of(at.spark.browser, student, edited)
    saved = await desk.saved({"type": "document", "content": {"title": "Notes"}})
    [course] = await items("courses")
    [*_, free] = sorted(
        await items(f"courses/{course['id']}/assignments"), key=lambda each: str(each["title"])
    )
    await _add_task(at, course["quest_id"])
    token = {"token": student.access_token}
    asked = await at.spark.browser.post(INTROSPECT, headers=key, json=token)
    return {
        **{name: submission[name] for name in ("completion_id", "user_id", "task_id")},
        "submission_id": submission["id"],
        "placeHold.user_id": submission["user_id"],
        **{f"giveGrade.{name}": submission[name] for name in ("user_id", "task_id")},
        **await _leave_work(at, submission),
        "delivery_id": next(each["id"] for each in deliveries if each["submission_id"]),
        "document_id": saved["document_id"],
        "block_id": saved["blocks"][0]["id"],
        "course_id": course["id"],
        "putLink.quest_id": course["quest_id"],
        "mapAssignment.spark_assignment_id": free["spark_assignment_id"],
        "session_id": asked.json()["sid"],
        "putEvidence.task_id": put,
        "saveEvidence.task_id": posted,
    }


async def test_every_published_example_of_spark_is_taken(sample: Elsewhere) -> None:
    """INTEGRATOR 12: after `make run`, whoever opens /docs/reference need not change it."""
    await _call_spark(sample)


async def test_every_published_example_of_the_main_app_is_taken(
    sample: Elsewhere, main_app: dict[str, str]
) -> None:
    student = await sample.spark.sign_in(sub=STUDENT.spark_user_id)
    await _call_spark(sample)
    known = await _known(sample, student, main_app)
    for call in _calls(internal_contract(sample.running.app)):
        for media, value in _examples(call[2]):
            answer = await _taken(sample, call, media, value, known)
            if made := MAKES.get(call[2]["operationId"]):
                known[made] = answer["id"]
            if call[2]["operationId"] in ("replayDelivery", "restoreRevision"):
                assert answer["warnings"] == []
