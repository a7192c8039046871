"""Who gets into the internal API: every route has a caller, and only the right one gets past it.

The matrix is made from the contract, so that a new operation is in it without a line here; where
an id of its path is not in `known`, a random one stands for it.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr
from sqlalchemy import Row, insert, select

from app.accounts.service_keys import SCOPES, Scope, create_key, revoke_key
from app.api.callers import ADMIN, READ, SCRAPE, STUDENT_READ, STUDENT_WRITE, WRITE
from app.api.docs import internal_contract
from app.console import visit
from app.database import Sessions
from app.main import create_app
from app.models import AuditEntry, Download, Job
from app.settings import Settings
from tests.conftest import create_assignment
from tests.support import samples
from tests.support.bodies import Part
from tests.support.canaries import CANARIES
from tests.support.problems import assert_problem
from tests.support.running import Running, run_app
from tests.support.spark import SignedIn, Spark, submission
from tests.support.wire import connect

SERVICES = {caller.dependency for caller in (READ, WRITE, ADMIN, SCRAPE)}
VISITORS = {caller.dependency for caller in (visit.READ, visit.WRITE, visit.ADMIN)}
STUDENTS = {caller.dependency for caller in (STUDENT_READ, STUDENT_WRITE)}
PLATFORMS = "/internal/v1/lms/platforms"

# Deny by default: whoever adds a route that anybody may call has to add it here. Messages are
# signed, and what the others take is a secret itself.
OPEN = {
    *("/spark/sso", "/spark/token", "/spark/deep-link"),
    *("/spark/webhook/submission", "/spark/webhook/course", "/spark/webhook/roster"),
    *("/spark/webhook/deliveries", "/spark/webhook/deliveries/replay", "/spark/webhook/ping"),
    *("/healthz", "/readyz", "/auth/callback"),
    *("/console/sign-in", "/console/sign-out"),
    *("/style/{digest}.css", "/style/{digest}.svg", "/style/{digest}.js"),
    *("/docs", "/docs/reference", "/docs/internal", "/docs/samples"),
    *("/docs/guide", "/docs/receiving", "/docs/deep-linking", "/docs/changes"),
    *(
        "/problems",
        "/problems/{code}",
        "/openapi.json",
        "/openapi-internal.json",
    ),
}


# ---------------------------------------------------------------------------- every route


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(_env_file=None))


def _asked(dependant: Any) -> Iterator[Any]:
    """What a route depends on, and what that depends on."""
    for found in getattr(dependant, "dependencies", ()):
        yield found.call
        yield from _asked(found)


def test_every_route_has_exactly_one_caller_or_is_known_to_be_open(app: FastAPI) -> None:
    callers = {}
    for route in iter_route_contexts(app.routes):
        asked = set(_asked(getattr(route, "dependant", None)))
        callers[route.path, *(route.methods or ())] = asked & (SERVICES | STUDENTS | VISITORS)
    closed = {key: found for key, found in callers.items() if key[0] not in OPEN}
    assert ("/metrics", "GET") in closed
    assert [key for key, found in closed.items() if len(found) != 1] == []


def test_the_contract_names_one_scope_for_every_operation(app: FastAPI) -> None:
    for path, operations in internal_contract(app)["paths"].items():
        for operation in operations.values():
            [scope] = operation["security"][0]["serviceKey"]
            assert scope in SCOPES, path
            assert f"the scope `{scope}`" in operation["description"], path
            assert {"401", "403", "503"} <= operation["responses"].keys(), path


# ---------------------------------------------------------------------------- every operation


@dataclass(frozen=True)
class Operation:
    """One way in, ready to be called with the ids of the owner's objects."""

    method: str
    path: str
    query: dict[str, str]
    body: Mapping[str, Any]
    scope: Scope
    is_for_students: bool


@dataclass(frozen=True)
class Tokens:
    """What may stand in an Authorization header."""

    by_scope: Mapping[Scope, str]
    revoked: str
    owner: SignedIn
    stranger: SignedIn


@pytest.fixture(scope="module")
async def tokens(sessions: Sessions, spark: Spark) -> Tokens:
    by_scope = {scope: await create_key(sessions, scope, [scope]) for scope in SCOPES}
    revoked = await create_key(sessions, "revoked", SCOPES)
    await revoke_key(sessions, revoked.partition(".")[0])
    CANARIES.release(revoked, *by_scope.values())
    return Tokens(
        by_scope=by_scope,
        revoked=revoked,
        owner=await spark.sign_in(),
        stranger=await spark.sign_in(),
    )


@pytest.fixture(scope="module")
async def known(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    sessions: Sessions,
    spark: Spark,
    tokens: Tokens,
) -> dict[str, str]:
    """Parameters that name what the owner has."""

    async def ask(method: str, path: str, **more: Any) -> Any:
        answer = await browser.request(method, f"/internal/v1/{path}", headers=main_app, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    before = await ask("GET", "events?from=now")
    owner, assignment = tokens.owner, await create_assignment(sessions)
    picture = Part("f", samples.png(), filename="gauge.png")
    handed_in = (await spark.submit_form(submission(owner, assignment), picture)).json()
    completion = await ask("GET", f"completions/{handed_in['completion_id']}")
    [delivery] = (await ask("GET", f"deliveries?spark_user_id={owner.spark_user_id}"))["items"]
    session = await ask("POST", "sessions/introspect", json={"token": owner.access_token})
    roster = await ask(
        "POST", "roster/imports", content=b"sourcedId,email,givenName,familyName,role\n"
    )
    grade = {"user_id": owner.user_id, "task_id": handed_in["task_id"], "score": 90}
    given = await browser.post("/internal/v1/grades", json=grade, headers=main_app)
    hold = {"user_id": owner.user_id, "reason": "A lawsuit"}
    held = await browser.post("/internal/v1/holds", json=hold, headers=main_app)
    return {
        **await leave_work(sessions, handed_in["submission_id"], owner.user_id),
        "after": before["next_cursor"],  # events of others may be of nobody
        "grade_id": given.json()["id"],
        "hold_id": held.json()["id"],
        "completion_id": handed_in["completion_id"],
        "submission_id": handed_in["submission_id"],
        "quest_id": handed_in["quest_id"],
        "task_id": handed_in["task_id"],
        "document_id": completion["document"]["id"],
        "block_id": completion["blocks"][-1]["id"],
        "file_id": completion["files"][0]["id"],
        "delivery_id": delivery["id"],
        "session_id": session["sid"],
        "import_id": roster["id"],
        "user_id": owner.user_id,
        "student_id": owner.user_id,
        "spark_user_id": owner.spark_user_id,
        "spark_assignment_id": assignment.spark_assignment_id,
    }


async def leave_work(sessions: Sessions, submission_id: str, user_id: str) -> dict[str, str]:
    """A dead job and a file that did not come: the parameters that name them."""
    ids = {"job_id": uuid4(), "download_id": uuid4()}
    file = {"position": 0, "place": 9, "host": "files.example", "filename": "x", "state": "dead"}
    of = {"submission_id": submission_id, "user_id": user_id}
    job = {"kind": "nobodys", "key": user_id, "user_id": user_id, "state": "dead"}
    async with sessions() as session, session.begin():
        await session.execute(insert(Download).values(id=ids["download_id"], **of, **file))
        await session.execute(insert(Job).values(id=ids["job_id"], **job))
    return {name: str(each) for name, each in ids.items()}


@pytest.fixture(scope="module")
def operations(app: FastAPI, known: dict[str, str]) -> list[Operation]:
    return _operations(app, known)


def _operations(app: FastAPI, known: dict[str, str]) -> list[Operation]:
    return [
        _operation(method, path, facts, known)
        for path, methods in internal_contract(app)["paths"].items()
        for method, facts in methods.items()
    ]


def _operation(method: str, path: str, facts: dict[str, Any], known: dict[str, str]) -> Operation:
    values: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for parameter in facts.get("parameters", []):
        name = parameter["name"]
        if parameter["required"] or name in known:
            values[parameter["in"]][name] = known.get(name) or _invent(parameter)
    return Operation(
        method=method.upper(),
        path=path.format(**values["path"]),
        query=values["query"],
        body=_body(facts.get("requestBody", {}).get("content", {})),
        scope=facts["security"][0]["serviceKey"][0],
        is_for_students={"appToken": []} in facts["security"],
    )


def _invent(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    return str(uuid4()) if schema.get("format") == "uuid" else str(schema["examples"][0])


def _body(content: dict[str, Any]) -> dict[str, Any]:
    """A right one, as the contract has it: it must not help."""
    for media, facts in content.items():
        (example,) = (example["value"] for example in facts["examples"].values())
        if media == "application/json":
            return {"json": example}
        if media == "multipart/form-data":
            return {"files": {name: ("gauge.png", samples.png()) for name in example}}
        return {"content": b"x", "headers": {"content-type": media}}
    return {}


async def _call(browser: httpx.AsyncClient, operation: Operation, token: str, **query: str) -> str:
    """What it answers: status and code."""
    body = dict(operation.body)
    headers = body.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    asked = {name: value for name, value in (operation.query | query).items() if value}
    answer = await browser.request(
        operation.method, operation.path, params=asked, headers=headers, **body
    )
    if answer.is_success:
        return str(answer.status_code)
    return f"{answer.status_code} {assert_problem(answer, *_outcome(answer))['code']}"


def _outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


NOBODY: dict[str, Callable[[Tokens], str]] = {
    "P234 no key": lambda _: "",
    "P234 a key that nobody made": lambda _: f"optio_{secrets.token_hex(8)}.{'a' * 43}",
    "P234 a secret with another key's id": lambda tokens: (
        f"{tokens.by_scope['read'].partition('.')[0]}.{tokens.by_scope['write'].partition('.')[2]}"
    ),
    "P234 a revoked key": lambda tokens: tokens.revoked,
    "P234 the owner's refresh token": lambda tokens: tokens.owner.refresh_token,
}


@pytest.mark.parametrize("who", NOBODY)
async def test_whoever_shows_nothing_valid_is_refused_everywhere(
    browser: httpx.AsyncClient, operations: list[Operation], tokens: Tokens, who: str
) -> None:
    token = NOBODY[who](tokens)
    answers = {(op.method, op.path): await _call(browser, op, token) for op in operations}
    assert answers == dict.fromkeys(answers, "401 unauthorized")


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: f"P234 only {scope}")
async def test_a_key_opens_what_has_its_scope_and_nothing_else(
    app: FastAPI,
    browser: httpx.AsyncClient,
    operations: list[Operation],
    tokens: Tokens,
    scope: Scope,
) -> None:
    token = tokens.by_scope[scope]
    others = [op for op in operations if op.scope != scope]
    answers = {(op.method, op.path): await _call(browser, op, token) for op in others}
    assert answers == dict.fromkeys(answers, "403 forbidden")
    own = [op for op in _operations(app, {}) if op.scope == scope]  # of what is not there
    assert own
    for op in own:
        assert (await _call(browser, op, token))[:3] not in {"401", "403"}, op.path


@pytest.mark.parametrize("who", ["owner", "stranger"], ids=lambda who: f"P234 the {who}'s token")
async def test_a_students_token_opens_evidence_alone(
    browser: httpx.AsyncClient, operations: list[Operation], tokens: Tokens, who: str
) -> None:
    token = (tokens.owner if who == "owner" else tokens.stranger).access_token
    others = [op for op in operations if not op.is_for_students]
    answers = {(op.method, op.path): await _call(browser, op, token) for op in others}
    assert answers == dict.fromkeys(answers, "401 unauthorized")
    for op in operations:
        if op.is_for_students and op.method == "GET" and who == "owner":
            assert await _call(browser, op, token) == "200", op.path


async def test_m7_a_student_changes_only_so_much_a_minute(
    settings: Settings, operations: list[Operation], tokens: Tokens
) -> None:
    """All changes count together; reading, other students and service keys do not."""
    few = settings.model_copy(update={"rate_limit_evidence_write": 2})
    changes = [op for op in operations if op.is_for_students and op.scope == "write"]
    reads = [op for op in operations if op.is_for_students and op.scope == "read"]
    owner = tokens.owner.access_token
    async with (
        run_app(few) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        assert {(await _call(browser, op, owner))[:3] for op in changes[:2]}.isdisjoint({"429"})
        answers = {(op.method, op.path): await _call(browser, op, owner) for op in changes}
        assert answers == dict.fromkeys(answers, "429 rate_limited")
        assert {await _call(browser, op, owner) for op in reads} == {"200"}
        for token in (tokens.stranger.access_token, tokens.by_scope["write"]):
            assert not (await _call(browser, changes[0], token)).startswith("429")


@pytest.mark.parametrize("whose", ["owner", "stranger", "nobody"], ids=lambda w: f"P235 of {w}")
async def test_a_students_evidence_is_not_there_for_another_student(
    browser: httpx.AsyncClient, operations: list[Operation], tokens: Tokens, whose: str
) -> None:
    """Whoever of the two they say they mean, or nobody."""
    user_id = {"owner": tokens.owner.user_id, "stranger": tokens.stranger.user_id, "nobody": ""}
    answers = {
        (op.method, op.path): await _call(
            browser, op, tokens.stranger.access_token, user_id=user_id[whose]
        )
        for op in operations
        if op.is_for_students
    }
    assert answers == dict.fromkeys(answers, "404 not_found")


async def test_p235_a_key_reaches_only_the_student_it_names(
    browser: httpx.AsyncClient, operations: list[Operation], tokens: Tokens
) -> None:
    answers = {
        (op.method, op.path): await _call(
            browser, op, tokens.by_scope[op.scope], user_id=tokens.stranger.user_id
        )
        for op in operations
        if op.is_for_students
    }
    assert answers == dict.fromkeys(answers, "404 not_found")


# ---------------------------------------------------------------------------- how a key is sent


async def test_a_key_works_until_it_is_revoked(
    browser: httpx.AsyncClient, sessions: Sessions
) -> None:
    key = await create_key(sessions, "main app", ["read"])
    CANARIES.release(key)
    headers = {"Authorization": f"Bearer {key}"}
    assert (await browser.get(PLATFORMS, headers=headers)).status_code == 200
    await revoke_key(sessions, key.partition(".")[0])
    assert_problem(await browser.get(PLATFORMS, headers=headers), 401, "unauthorized")


async def test_a_refused_scope_is_named(browser: httpx.AsyncClient, tokens: Tokens) -> None:
    headers = {"Authorization": f"Bearer {tokens.by_scope['write']}"}
    problem = assert_problem(await browser.get(PLATFORMS, headers=headers), 403, "forbidden")
    assert problem["hint"] == "This needs a service key with the scope `read`."


@pytest.mark.parametrize("word", ["bearer", "BEARER"])
async def test_the_word_before_the_key_has_no_case(
    browser: httpx.AsyncClient, main_app: dict[str, str], word: str
) -> None:
    """RFC 9110 section 11.1"""
    headers = {"Authorization": main_app["Authorization"].replace("Bearer", word)}
    assert (await browser.get(PLATFORMS, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("value", "status"),
    [
        pytest.param(b"", 401, id="P234 empty"),
        pytest.param(b"Bearer", 401, id="P234 no key after the word"),
        pytest.param(b"Basic KEY", 401, id="P234 another word"),
        pytest.param(b"KEY", 401, id="P234 no word"),
        pytest.param(b"Bearer KEY KEY", 401, id="P234 twice in one header"),
        pytest.param(b"Bearer KEY, Bearer KEY", 401, id="P234 a list"),
        pytest.param(b"Bearer " + b"a" * 10_000, 401, id="P237 10 KB"),
        pytest.param(b"Bearer " + "schlüssel".encode(), 401, id="P234 UTF-8"),
        pytest.param(b"Bearer \xff\xfe", 401, id="P234 no UTF-8"),
        pytest.param(b"Bearer KEY\x00", 400, id="P234 NUL"),
    ],
)
async def test_what_is_no_key_is_refused(
    server: Running, tokens: Tokens, value: bytes, status: int
) -> None:
    value = value.replace(b"KEY", tokens.by_scope["read"].encode())
    assert await _send(server, value) == status


async def test_several_authorization_headers_are_none(server: Running, tokens: Tokens) -> None:
    """Whatever stands between us and the caller may have looked at another one."""
    right = f"Bearer {tokens.by_scope['read']}".encode()
    assert await _send(server, right) == 200
    assert await _send(server, right, right) == 401
    assert await _send(server, right, b"Bearer x") == 401


async def _send(server: Running, *values: bytes) -> int:
    head = f"GET {PLATFORMS} HTTP/1.1\r\nHost: spark.test\r\nConnection: close\r\n".encode()
    async with connect(server) as wire:
        await wire.send(head + b"".join(b"Authorization: %b\r\n" % v for v in values) + b"\r\n")
        return int((await wire.read_to_end()).split()[1])


async def test_only_what_looks_like_a_key_costs_a_query(
    settings: Settings, tokens: Tokens, main_app: dict[str, str]
) -> None:
    """Without a database the keys of the settings work, and a wrong one is still a wrong one."""
    nowhere = SecretStr("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    async with (
        run_app(settings.model_copy(update={"database_url": nowhere})) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):

        async def status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return (await browser.get(PLATFORMS, headers=headers)).status_code

        assert (await browser.get(PLATFORMS, headers=main_app)).status_code == 200
        for token in (tokens.owner.access_token, "x", f"{tokens.by_scope['read']}="):
            assert await status(token) == 401
        assert await status(tokens.by_scope["read"]) == 503


# ---------------------------------------------------------------------------- every trace

# Deny by default: what shows nothing of anybody. A token says itself whose it is.
SHOWS_NOBODY = {
    ("GET", "/internal/v1/alerts"),
    ("GET", "/internal/v1/courses"),
    ("GET", "/internal/v1/courses/{course_id}/assignments"),
    ("GET", "/internal/v1/links"),
    ("GET", "/internal/v1/lms/platforms"),
    ("GET", "/internal/v1/deliveries/counts"),
    ("GET", "/internal/v1/grade-sync/status"),
    ("GET", "/internal/v1/organisations"),
    ("GET", "/internal/v1/organisations/erasures/{erasure_id}"),
    ("GET", "/internal/v1/targets"),
    ("POST", "/internal/v1/sessions/introspect"),
}
# What the contract's example cannot change here: it names another version, another student, what is
# shown already, no course or quest that is there, or Spark has no API. Their own tests see to the
# entries.
CHANGES_NOTHING = {
    ("POST", "/internal/v1/grades"),
    ("POST", "/internal/v1/grades/send"),
    ("POST", "/internal/v1/holds"),
    ("POST", "/internal/v1/grades/{grade_id}/send"),
    ("POST", "/internal/v1/downloads/{download_id}/retry"),
    ("POST", "/internal/v1/targets/spark/test"),
    ("POST", "/internal/v1/students/{user_id}/link"),
    ("PUT", "/internal/v1/courses/{course_id}/assignments/{spark_assignment_id}/task"),
    ("PUT", "/internal/v1/links"),
    ("DELETE", "/internal/v1/links/{link_id}"),
    ("POST", "/internal/v1/submissions/{submission_id}/revisions/{revision}/restore"),
    ("PUT", "/internal/v1/evidence/documents/{task_id}"),
    ("POST", "/internal/v1/evidence/documents/{task_id}"),
}
# What other tests of this page need afterwards; its own tests see to its entries as well.
ENDS_THE_OWNER = {
    ("POST", "/internal/v1/sessions/{session_id}/revoke"),
    ("POST", "/internal/v1/students/{user_id}/sessions/revoke"),
    ("DELETE", "/internal/v1/students/{user_id}"),
    ("DELETE", "/internal/v1/students/{user_id}/link"),
}
OF_EVERYBODY = {f"/internal/v1/{name}" for name in ("activity", "events", "organisations/export")}


@pytest.mark.parametrize("finding", ["M8"])
async def test_whoever_is_shown_or_changes_a_students_data_is_in_the_audit_log(
    app: FastAPI,
    browser: httpx.AsyncClient,
    operations: list[Operation],
    sessions: Sessions,
    tokens: Tokens,
    finding: str,
) -> None:
    """A new operation is asked as well."""
    paths = internal_contract(app)["paths"].items()
    names = [(method.upper(), path) for path, methods in paths for method in methods]
    for name, op in zip(names, operations, strict=True):
        if name in ENDS_THE_OWNER:
            continue
        key = await create_key(sessions, finding, SCOPES)
        CANARIES.release(key)
        await _call(browser, op, key)
        left = await _left_by(sessions, key)
        assert len(left) == (name not in SHOWS_NOBODY | CHANGES_NOTHING), name
        if left and op.method == "GET" and op.path not in OF_EVERYBODY:
            assert UUID(tokens.owner.user_id) in {left[0].user_id, *(left[0].user_ids or ())}, name


@pytest.mark.parametrize("finding", ["M8"])
async def test_whoever_is_shown_a_child_without_an_account_is_in_it_too(
    browser: httpx.AsyncClient, spark: Spark, sessions: Sessions, tokens: Tokens, finding: str
) -> None:
    key, nobody = await create_key(sessions, finding, SCOPES), f"nobody_{uuid4().hex}"
    CANARIES.release(key)
    assignment = await create_assignment(sessions)
    work = submission(tokens.owner, assignment, spark_user_id=nobody)
    assert_problem(await spark.submit(work), 404, "user_not_found")
    headers = {"Authorization": f"Bearer {key}"}
    for asked in (nobody, f"{nobody}_else"):
        path = f"/internal/v1/deliveries?spark_user_id={asked}"
        assert (await browser.get(path, headers=headers)).status_code == 200
        [entry] = await _left_by(sessions, key)
        assert (entry.user_id, entry.user_ids) == (None, None)
        assert entry.detail == {"what": "deliveries"}


async def _left_by(sessions: Sessions, key: str) -> Sequence[Row[Any]]:
    """What the audit log has of a caller."""
    async with sessions() as session, session.begin():
        by_key = AuditEntry.caller == key.partition(".")[0]
        return (await session.execute(select(AuditEntry).where(by_key))).all()
