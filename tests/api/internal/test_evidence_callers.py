"""Who may see and edit whose evidence (CONTRACT 5; FAULTS P271 to P273)."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from app.clock import utc_now
from app.database import Sessions
from app.settings import Settings
from app.signing import sign_token, token_key
from tests.support import samples
from tests.support.bodies import Part
from tests.support.canaries import CANARIES
from tests.support.evidence import EVIDENCE, Desk, as_read, body_of, desk_of, text, texts
from tests.support.lost_access import lose_access, losses, win_back
from tests.support.problems import assert_problem
from tests.support.running import run_app
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import audited

PICTURE = Part("file", samples.png(), filename="gauge.png")


@pytest.fixture
async def desk(
    browser: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> Desk:
    """Open on a task with a text and a picture of Spark's."""
    parts = (submission(student, assignment, submission_text="mine"), PICTURE)
    return desk_of(browser, student, body_of(await spark.submit_form(*parts))["task_id"])


ACTS: dict[str, Callable[[Desk, dict[str, str]], Awaitable[httpx.Response]]] = {
    "read": lambda desk, ids: desk.ask("GET", f"{EVIDENCE}/documents/{ids['task']}"),
    "read the document": lambda desk, ids: desk.ask(
        "GET", f"{EVIDENCE}/documents/by-id/{ids['document']}"
    ),
    "write": lambda desk, ids: desk.ask(
        "PUT", f"{EVIDENCE}/documents/{ids['task']}", json={"blocks": [], "status": "draft"}
    ),
    "complete": lambda desk, ids: desk.ask("POST", f"{EVIDENCE}/documents/{ids['task']}/complete"),
    "upload": lambda desk, ids: desk.upload(ids["block"], PICTURE),
    "delete": lambda desk, ids: desk.delete_file(ids["block"]),
}
act = pytest.mark.parametrize("act", ACTS.values(), ids=[f"P271-{name}" for name in ACTS])
Ids = dict[str, str]


@pytest.fixture
async def ids(desk: Desk) -> Ids:
    evidence = await desk.read()
    return {
        "task": desk.task_id,
        "document": evidence["document"]["id"],
        "block": evidence["blocks"][1]["id"],
    }


@act
async def test_another_students_evidence_is_answered_as_what_does_not_exist(
    desk: Desk, spark: Spark, student: SignedIn, main_app: dict[str, str], ids: Ids, act: Any
) -> None:
    other = await spark.sign_in()
    before = await desk.read()
    nowhere = {name: str(uuid4()) for name in ids}
    as_other = desk_of(desk.browser, other, desk.task_id)
    service = Desk(desk.browser, main_app, desk.task_id, {"user_id": other.user_id})
    claiming = Desk(desk.browser, as_other.headers, desk.task_id, {"user_id": student.user_id})
    answers = [
        assert_problem(await act(caller, which), 404, "not_found") | {"request_id": ""}
        for caller in (as_other, service, claiming)
        for which in (ids, nowhere)
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["success"] is False
    assert (await desk.read())["document"] == before["document"]


@act
async def test_a_student_who_says_to_be_another_is_not_answered_as_themselves(
    desk: Desk, ids: Ids, act: Any
) -> None:
    claiming = Desk(desk.browser, desk.headers, desk.task_id, {"user_id": str(uuid4())})
    assert_problem(await act(claiming, ids), 404, "not_found")


@act
async def test_a_service_key_says_whose_evidence_it_means(
    desk: Desk, student: SignedIn, main_app: dict[str, str], ids: Ids, act: Any
) -> None:
    nobody = Desk(desk.browser, main_app, desk.task_id, {})
    problem = assert_problem(await act(nobody, ids), 400, "field_missing")
    assert problem["error"] == "Missing required field: user_id"
    somebody = Desk(desk.browser, main_app, desk.task_id, {"user_id": "me"})
    assert_problem(await act(somebody, ids), 400, "field_invalid")
    named = Desk(desk.browser, main_app, desk.task_id, {"user_id": student.user_id})
    assert (await act(named, ids)).status_code in (200, 409)


def token(secret: SecretStr | None, **changes: Any) -> dict[str, str]:
    """The headers of a token as the main app signs one."""
    assert secret
    now = utc_now()
    claims = {
        "type": "access",
        "version": "v1",
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(minutes=5)).timestamp()),
    }
    signed = sign_token(claims | changes, key=token_key(secret))
    CANARIES.release(signed)
    return {"Authorization": f"Bearer {signed}"}


@act
@pytest.mark.parametrize("who", ["sso", "expired", "old key"], ids="P272-{}".format)
async def test_only_a_living_token_of_the_main_app_lets_a_student_in(
    desk: Desk, ids: Ids, refused: dict[str, dict[str, str]], act: Any, who: str
) -> None:
    """Each route by itself."""
    caller = Desk(desk.browser, refused[who], desk.task_id, {})
    assert_problem(await act(caller, ids), 401, "unauthorized")


@act
@losses
async def test_a_student_whose_account_changed_is_let_in_no_more(
    desk: Desk, student: SignedIn, sessions: Sessions, ids: Ids, act: Any, loss: str
) -> None:
    before = (await desk.read())["document"]
    await lose_access(sessions, student.user_id, loss)
    assert_problem(await act(desk, ids), 401, "unauthorized")
    await win_back(sessions, student.user_id)
    if loss != "unlinked":
        assert (await desk.read())["document"] == before


@pytest.fixture
def refused(spark: Spark, student: SignedIn, settings: Settings) -> dict[str, dict[str, str]]:
    mine = {"sub": student.user_id, "user_id": student.user_id}
    launch = spark.launch_token(sub=student.spark_user_id)
    CANARIES.release(launch)
    return {
        "sso": {"Authorization": f"Bearer {launch}"},
        "expired": token(settings.jwt_secret_key, **mine, exp=int(utc_now().timestamp()) - 1),
        "old key": token(SecretStr("f" * 64), **mine),
    }


@pytest.mark.parametrize("row", ["P272-previous key"])
async def test_a_token_of_the_key_before_counts_while_that_is_configured(
    desk: Desk, student: SignedIn, settings: Settings, row: str
) -> None:
    new = settings.model_copy(
        update={
            "jwt_secret_key": SecretStr("e" * 64),
            "jwt_secret_key_previous": settings.jwt_secret_key,
        }
    )
    async with run_app(new) as running, httpx.AsyncClient(base_url=running.url) as browser:
        assert "mine" in texts(await desk_of(browser, student, desk.task_id).read())


@pytest.mark.parametrize(
    ("kind", "as_whom"),
    [
        pytest.param("masquerade", "masquerade_as", id="P273-an admin"),
        pytest.param("acting_as_dependent", "acting_as", id="#30-a parent"),
    ],
)
async def test_who_acts_as_the_student_stands_in_the_audit_log(
    desk: Desk,
    student: SignedIn,
    settings: Settings,
    sessions: Sessions,
    kind: str,
    as_whom: str,
) -> None:
    admin = str(uuid4())
    claims = {"type": kind, "sub": student.user_id, "user_id": admin, as_whom: student.user_id}
    headers = token(settings.jwt_secret_key, **claims)
    masked = Desk(desk.browser, headers, desk.task_id, {})
    evidence = await masked.read()
    await masked.saved(*map(as_read, evidence["blocks"]), text("for them"))
    block = (await desk.read())["blocks"][-1]
    assert (block["uploaded_by_user_id"], block["content"]) == (
        student.user_id,
        {"text": "for them"},
    )
    acts = [(caller, action) for caller, action, _ in await audited(sessions, student.user_id)]
    assert acts == [(f"user:{admin}", "sensitive_read"), (f"user:{admin}", "sensitive_update")]


@pytest.mark.parametrize("row", ["P273"])
async def test_who_reads_a_students_evidence_stands_in_the_audit_log(
    desk: Desk, main_app: dict[str, str], student: SignedIn, sessions: Sessions, row: str
) -> None:
    """The student's own reading does not."""
    service = Desk(desk.browser, main_app, desk.task_id, {"user_id": student.user_id})
    document = (await desk.read())["document"]
    await service.read()
    body_of(await service.ask("GET", f"{EVIDENCE}/documents/by-id/{document['id']}"))
    acts = await audited(sessions, student.user_id)
    ids = {"document_id": document["id"], "task_id": desk.task_id}
    assert acts == [("INTERNAL_API_KEYS[0]", "sensitive_read", ids)] * 2
