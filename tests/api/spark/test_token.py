"""Rows P039 to P055 of the fault list: what a one-time code gives, and to whom."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from pydantic import SecretStr
from sqlalchemy import Row, select, text, update

from app.database import Sessions
from app.models import ActivityEvent, FeedEntry, LmsSession, SparkAuthCode
from app.settings import Settings
from app.sso.authorization_codes import CLAIM, SIGN_IN, hash_code
from app.sso.redeem import redeem_code
from tests.api.spark.conftest import spark_at
from tests.support.defaults import RATES
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.round_trips import fewest
from tests.support.running import Running
from tests.support.spark import Spark
from tests.support.stores import Stores, own_stores

TOKEN = "/spark/token"
JSON = {"Content-Type": "application/json"}
FRONT_END = "https://app.optio.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type",
}


async def send(lms: Spark, body: str | bytes) -> httpx.Response:
    return await lms.browser.post(TOKEN, content=body, headers=JSON)


async def sessions_of(sessions: Sessions, code: str) -> list[Row[Any]]:
    """All sessions of the student to whom the code was given."""
    async with sessions() as session:
        found = await session.execute(
            select(LmsSession.__table__)
            .join(SparkAuthCode, SparkAuthCode.user_id == LmsSession.user_id)
            .where(SparkAuthCode.code == hash_code(code))
        )
        return list(found.all())


def active(rows: Iterable[Row[Any]]) -> int:
    return sum(row.revoked_at is None for row in rows)


async def grow_older(sessions: Sessions, code: str, *, seconds: int) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(SparkAuthCode)
            .where(SparkAuthCode.code == hash_code(code))
            .values(expires_at=SparkAuthCode.expires_at - text(f"interval '{seconds} seconds'"))
        )


async def is_active(lms: Spark, token: str, main_app: dict[str, str]) -> bool:
    """What the main app is told of the session of this token."""
    route = "/internal/v1/sessions/introspect"
    asked = {"token": token, "token_type_hint": "refresh_token"}  # either kind is told then
    answer = await lms.browser.post(route, json=asked, headers=main_app)
    assert answer.status_code == 200, answer.text
    active: bool = answer.json()["active"]
    return active


def claims_of(token: str, settings: Settings) -> dict[str, Any]:
    assert settings.jwt_secret_key
    key = settings.jwt_secret_key.get_secret_value()
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["HS256"])
    return claims


def cookies_of(answer: httpx.Response) -> dict[str, tuple[str, set[str]]]:
    """Each cookie's value and attributes, as written."""
    cookies = {}
    for line in answer.headers.get_list("set-cookie"):
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        cookies[name] = (value, set(attributes))
    return cookies


# ---------------------------------------------------------------------------- the request


@pytest.mark.parametrize(
    "body",
    ["{}", '{"code":null}', '{"code":""}', "", "[]", '"x"', "null", '{"Code":"x"}'],
    ids="P039-{}".format,
)
async def test_a_request_without_a_code_is_answered_so(lms: Spark, body: str) -> None:
    problem = assert_problem(await send(lms, body), 400, "code_missing")
    assert problem["error"] == "Missing authorization code"


@pytest.mark.parametrize(
    "code",
    ["7", "true", '["x"]', '{"code":"x"}', f'"{"x" * 513}"'],
    ids=["P040-number", "P040-true", "P040-list", "P040-object", "P040-513-characters"],
)
async def test_a_code_is_a_text_of_at_most_512_characters(lms: Spark, code: str) -> None:
    problem = assert_problem(await send(lms, f'{{"code":{code}}}'), 400, "field_invalid")
    assert problem["error"] == "Invalid field: code"


@pytest.mark.parametrize(
    "code",
    ["x", "x" * 512, "é", "' OR 1=1 --", "A" * 43],
    ids=["P041-x", "P041-512", "P041-letter", "P041-sql", "P041"],
)
async def test_an_unknown_code_is_invalid(lms: Spark, code: str) -> None:
    problem = assert_problem(await lms.exchange(code), 401, "code_invalid")
    assert problem["error"] == "Invalid authorization code"


@pytest.mark.parametrize(
    "body",
    ['{"code": NaN}', '{"code":"A","code":"B"}', '{"code":"A"', "\ufeff{}", "\xff", "[" * 9000],
    ids=["P049", "P050", "P050-cut-off", "P050-mark", "P050-latin-1", "P050-nested"],
)
async def test_what_is_no_strict_json_is_refused(lms: Spark, body: str) -> None:
    raw = body.encode("latin-1") if body == "\xff" else body.encode()
    assert_problem(await send(lms, raw), 400, "json_invalid")


@pytest.mark.parametrize(
    "written", ["\\ud83d", "\\u0000", "A\\u0000B"], ids=["half-a-pair", "nul", "nul-within"]
)
async def test_what_no_database_can_keep_is_no_code(lms: Spark, written: str) -> None:
    problem = assert_problem(await send(lms, f'{{"code":"{written}"}}'), 400, "field_invalid")
    assert problem["error"] == "Invalid field: code"


async def test_a_code_in_the_query_is_not_seen_and_not_spent(lms: Spark) -> None:
    """P046"""
    code = await lms.launch_code()
    answer = await lms.browser.post(TOKEN, params={"code": code})
    assert_problem(answer, 400, "code_missing")
    assert (await lms.exchange(code)).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "text/json", ""],
    ids="P046-{}".format,
)
async def test_a_code_comes_as_json_or_is_not_spent(lms: Spark, content_type: str) -> None:
    code = await lms.launch_code()
    form = content_type.endswith("urlencoded")
    answer = await lms.browser.post(
        TOKEN,
        content=f"code={code}" if form else f'{{"code":"{code}"}}',
        headers={"Content-Type": content_type},
    )
    assert_problem(answer, 415, "media_type_unsupported")
    assert (await lms.exchange(code)).status_code == 200


@pytest.mark.parametrize("written", [" {}", "{} ", "{}\n", "{}=", "\t{}"], ids="P047-{!r}".format)
async def test_a_code_is_taken_as_it_is_written(lms: Spark, written: str) -> None:
    code = await lms.launch_code()
    assert_problem(await lms.exchange(written.format(code)), 401, "code_invalid")
    assert (await lms.exchange(code)).status_code == 200


async def test_a_body_may_have_64_kib(lms: Spark) -> None:
    """P054"""
    code = await lms.launch_code()
    body = f'{{"code":"{code}"}}'
    assert_problem(await send(lms, body.ljust(65_537)), 413, "body_too_large")
    assert (await send(lms, body.ljust(65_536))).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
async def test_a_code_is_posted(lms: Spark, method: str) -> None:
    assert (await lms.browser.request(method, TOKEN)).status_code == 405


# ---------------------------------------------------------------------------- what it gives


async def test_a_code_gives_the_tokens_in_body_and_cookies(lms: Spark) -> None:
    """P042"""
    answer = await lms.exchange(await lms.launch_code())
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"user_id", "app_access_token", "app_refresh_token", "message"}
    assert str(UUID(body["user_id"])) == body["user_id"]
    assert body["message"] == "Authentication successful"
    shared = {"HttpOnly", "Path=/", "SameSite=lax"}
    assert cookies_of(answer) == {
        "access_token": (body["app_access_token"], shared | {"Max-Age=3600"}),
        "refresh_token": (body["app_refresh_token"], shared | {"Max-Age=2592000"}),
    }


async def test_a_cookie_lives_as_long_as_its_token(settings: Settings) -> None:
    """P042"""
    changes = {"access_token_seconds": 120, "refresh_token_seconds": 700}
    async with spark_at(settings, **changes) as lms:
        answer = await lms.exchange(await lms.launch_code())
    for token, attributes in cookies_of(answer).values():
        claims = claims_of(token, settings)
        assert f"Max-Age={claims['exp'] - claims['iat']}" in attributes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"environment": "production"}, {"Secure", "SameSite=none"}),
        ({"cookie_secure": True, "cookie_samesite": "strict"}, {"Secure", "SameSite=strict"}),
        ({"environment": "production", "cookie_secure": False}, {"SameSite=none"}),
    ],
    ids=["production", "set", "set-in-production"],
)
async def test_cookies_are_as_the_settings_say(
    settings: Settings, changes: dict[str, Any], expected: set[str]
) -> None:
    """P042"""
    async with spark_at(settings, **changes) as lms:
        answer = await lms.exchange(await lms.launch_code())
    for _, attributes in cookies_of(answer).values():
        lives = {word for word in attributes if word.startswith("Max-Age=")}
        assert attributes - lives == expected | {"HttpOnly", "Path=/"}


@pytest.mark.parametrize(("kind", "seconds"), [("access", 3600), ("refresh", 2_592_000)])
async def test_the_claims_are_those_of_the_main_app_and_the_session(
    lms: Spark, settings: Settings, sessions: Sessions, kind: str, seconds: int
) -> None:
    """P042"""
    code = await lms.launch_code()
    body = (await lms.exchange(code)).json()
    token = body[f"app_{kind}_token"]
    claims = claims_of(token, settings)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    issued_at = claims["iat"]
    [row] = await sessions_of(sessions, code)
    assert claims == {
        "sub": body["user_id"],
        "user_id": body["user_id"],
        "type": kind,
        "version": settings.token_version,
        "sid": str(row.id),
        "iat": issued_at,
        "exp": issued_at + seconds,
    }


async def test_the_event_of_an_exchange_says_how_old_the_code_was(
    lms: Spark, sessions: Sessions
) -> None:
    """In seconds, to the millisecond; and the event is in the feed."""
    student = await lms.sign_in()
    async with sessions() as session:
        events = (
            select(ActivityEvent.event_data)
            .join(FeedEntry)
            .where(
                ActivityEvent.user_id == UUID(student.user_id),
                ActivityEvent.event_type == "spark_token_exchange_success",
            )
        )
        age = (await session.execute(events)).scalar_one()["code_age_seconds"]
    assert 0 <= age < 60
    assert age == round(age, 3)


async def test_a_session_is_known_by_the_digest_of_its_refresh_token(
    lms: Spark, sessions: Sessions
) -> None:
    code = await lms.launch_code()
    body = (await lms.exchange(code)).json()
    [row] = await sessions_of(sessions, code)
    assert row.session_token == hashlib.sha256(body["app_refresh_token"].encode()).hexdigest()
    assert str(row.user_id) == body["user_id"]
    assert (row.expires_at - row.created_at).days in (29, 30)


async def test_without_the_signing_key_the_route_says_so(settings: Settings) -> None:
    async with spark_at(settings, jwt_secret_key=None) as lms:
        code = await lms.launch_code()
        assert_problem(await lms.exchange(code), 503, "sso_not_configured")
    async with spark_at(settings) as lms:
        assert (await lms.exchange(code)).status_code == 200


# ---------------------------------------------------------------------------- once


async def test_a_code_cannot_be_redeemed_twice_and_a_second_try_ends_the_session(
    lms: Spark, main_app: dict[str, str]
) -> None:
    """P043"""
    code = await lms.launch_code()
    body = (await lms.exchange(code)).json()
    tokens = (body["app_access_token"], body["app_refresh_token"])
    assert [await is_active(lms, token, main_app) for token in tokens] == [True, True]
    answer = await lms.exchange(code)
    assert assert_problem(answer, 401, "code_used")["error"] == "Authorization code already used"
    assert "set-cookie" not in answer.headers
    assert [await is_active(lms, token, main_app) for token in tokens] == [False, False]


async def test_a_second_try_ends_no_other_session_of_the_student(
    lms: Spark, sessions: Sessions
) -> None:
    """P043"""
    student = await lms.sign_in()
    code = await lms.launch_code(sub=student.spark_user_id)
    for _ in range(2):
        await lms.exchange(code)
    rows = await sessions_of(sessions, code)
    assert (len(rows), active(rows)) == (2, 1)


async def test_a_used_code_stays_used_when_it_is_old(lms: Spark, sessions: Sessions) -> None:
    code = await lms.launch_code()
    await lms.exchange(code)
    await grow_older(sessions, code, seconds=600)
    assert_problem(await lms.exchange(code), 401, "code_used")


async def test_a_code_lives_for_a_minute(lms: Spark, sessions: Sessions) -> None:
    """P044: 50 seconds leave a slow machine ten to ask in."""
    young, old = await lms.launch_code(), await lms.launch_code()
    await grow_older(sessions, young, seconds=50)
    await grow_older(sessions, old, seconds=60)
    assert (await lms.exchange(young)).status_code == 200
    problem = assert_problem(await lms.exchange(old), 401, "code_expired")
    assert problem["error"] == "Authorization code expired"
    assert await sessions_of(sessions, old) == []


async def test_a_code_is_good_for_exactly_60_seconds(lms: Spark, sessions: Sessions) -> None:
    """P044"""
    code = await lms.launch_code()
    async with sessions() as session:
        life = select(SparkAuthCode.created_at, SparkAuthCode.expires_at)
        found = await session.execute(life.where(SparkAuthCode.code == hash_code(code)))
    issued_at, expires_at = found.one()
    assert expires_at - issued_at == timedelta(seconds=60)


@pytest.mark.parametrize("minutes", [-10, 10], ids="P052{:+}".format)
async def test_the_life_of_a_code_is_counted_by_the_database(
    lms: Spark, server: Running, sessions: Sessions, minutes: int
) -> None:
    """P052: the server's own clock, an argument here, may be wrong."""
    young, old = await lms.launch_code(), await lms.launch_code()
    await grow_older(sessions, old, seconds=60)
    wrong = {
        "issuer": server.app.state.resources.issuer,
        "now": datetime.now(tz=UTC) + timedelta(minutes=minutes),
    }
    assert await redeem_code(sessions, young, session_id=uuid4(), **wrong) is not None
    assert await redeem_code(sessions, old, session_id=uuid4(), **wrong) is None


async def test_an_exchange_is_two_whole_statements(lms: Spark) -> None:
    """DESIGN R26: round trips, BEGIN and COMMIT not counted."""

    async def exchange(code: str) -> None:
        assert (await lms.exchange(code)).status_code == 200

    codes = iter([await lms.launch_code() for _ in range(3)])
    assert await fewest(lambda: exchange(next(codes))) == [CLAIM.sql, SIGN_IN.sql]


@pytest.mark.parametrize("revokes", [True, False], ids="P045-{}".format)
async def test_of_fifty_exchanges_at_two_servers_one_wins(
    lms: Spark, settings: Settings, sessions: Sessions, *, revokes: bool
) -> None:
    changes = {"code_reuse_revokes_session": revokes}
    async with spark_at(settings, **changes) as one, spark_at(settings, **changes) as other:
        code = await lms.launch_code()
        answers = await asyncio.gather(*(at.exchange(code) for at in [one, other] * 25))
    assert [answer.status_code for answer in answers].count(200) == 1
    for answer in answers:
        if answer.status_code != 200:
            assert_problem(answer, 401, "code_used")
    rows = await sessions_of(sessions, code)
    assert (len(rows), active(rows)) == (1, 0 if revokes else 1)


async def test_a_code_of_one_server_is_redeemed_at_another(lms: Spark, settings: Settings) -> None:
    """P053"""
    code = await lms.launch_code()
    async with spark_at(settings) as other:
        assert (await other.exchange(code)).status_code == 200
    assert_problem(await lms.exchange(code), 401, "code_used")


async def cut_whom(sessions: Sessions, *, blocks: int) -> None:
    """End the connection that waits for this one to let it insert a session."""
    cut = text(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where :holder = any(pg_blocking_pids(pid))"
        " and query like '%insert into spark.lms_sessions%'"
    )
    async with sessions() as killer, asyncio.timeout(patient(20)):
        while not (await killer.execute(cut, {"holder": blocks})).all():
            await killer.rollback()
            await asyncio.sleep(0.02)


async def test_a_code_survives_a_connection_that_is_cut_before_the_session_is_kept(
    lms: Spark, sessions: Sessions
) -> None:
    """P051: the session waits for its student's row, and its connection ends meanwhile."""
    student = await lms.sign_in()
    code = await lms.launch_code(sub=student.spark_user_id)
    async with sessions() as holder, holder.begin():
        held = text("select pg_backend_pid() from users where id = :id for update")
        pid = (await holder.execute(held, {"id": UUID(student.user_id)})).scalar_one()
        exchange = asyncio.create_task(lms.exchange(code))
        await cut_whom(sessions, blocks=pid)
        answer = await exchange
    assert_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) <= 10
    assert (await lms.exchange(code)).status_code == 200


async def test_a_dead_database_spends_no_code(lms: Spark, settings: Settings) -> None:
    dead = SecretStr("postgresql+asyncpg://optio:nobody@127.0.0.1:1/postgres")
    code = await lms.launch_code()
    async with spark_at(settings, database_url=dead) as cut_off:
        assert_problem(await cut_off.exchange(code), 503, "database_unavailable")
    assert (await lms.exchange(code)).status_code == 200


# ---------------------------------------------------------------------------- what is kept


async def every_text(sessions: Sessions) -> str:
    """All rows of all tables of both schemas, as Postgres writes them."""
    rows: list[str] = []
    async with sessions() as session:
        tables = await session.execute(
            text(
                "select format('%I.%I', table_schema, table_name) from information_schema.tables"
                " where table_schema in ('public', 'spark') and table_type = 'BASE TABLE'"
            )
        )
        for table in tables.scalars().all():
            content = await session.execute(text(f"select t::text from {table} t"))  # noqa: S608 - names are quoted by format
            rows += content.scalars().all()
    return "\n".join(rows)


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """Without the rows of other tests, among which hundreds of words take long to look for."""
    with own_stores(settings) as made:
        yield made


@pytest.fixture
async def apart(settings: Settings, stores: Stores) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(
        settings,
        database_url=SecretStr(stores.variables["DATABASE_URL"]),
    ) as elsewhere:
        yield elsewhere


async def test_no_token_and_no_code_is_kept_or_logged(
    apart: Elsewhere, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """P048"""
    lms, sessions = apart.spark, apart.running.app.state.resources.sessions
    told: list[str] = []
    for _ in range(100):
        launch_token = lms.launch_token()
        code = await lms.launch_code(launch_token)
        body = (await lms.exchange(code)).json()
        await lms.exchange(code)
        tokens = (launch_token, body["app_access_token"], body["app_refresh_token"])
        told += [code, *(part for token in tokens for part in token.split(".")[1:])]
    kept, logged = await every_text(sessions), caplog.text
    assert hash_code(code) in kept
    assert "'route': '/spark/token'" in logged
    for secret in (*told, *secrets_of(settings)):
        assert secret not in kept
        assert secret not in logged
        assert secret.encode().hex() not in kept


async def test_no_name_and_no_address_is_logged(
    lms: Spark, caplog: pytest.LogCaptureFixture
) -> None:
    person = [secrets.token_hex(8) for _ in range(4)]
    named = dict(zip(("sub", "given_name", "family_name"), person, strict=False))
    for changes in ({}, {"role": "teacher"}, {"exp": 1}):
        email = f"{person[3]}@example.com"
        await lms.launch(lms.launch_token(**named, email=email, **changes))
    assert caplog.text.count("'route': '/spark/sso'") == 3
    assert not [word for word in person if word in caplog.text]


def secrets_of(settings: Settings) -> list[str]:
    named = (settings.spark_sso_secret, settings.spark_webhook_secret, settings.jwt_secret_key)
    return [secret.get_secret_value() for secret in named if secret]


async def test_the_hash_of_a_code_is_no_code(lms: Spark) -> None:
    """P055"""
    code = await lms.launch_code()
    assert_problem(await lms.exchange(hash_code(code)), 401, "code_invalid")
    assert (await lms.exchange(code)).status_code == 200


# ---------------------------------------------------------------------------- how often


async def test_the_eleventh_failure_of_an_address_has_to_wait(settings: Settings) -> None:
    """P226, P230"""
    async with spark_at(settings, **RATES) as lms:
        for _ in range(20):
            await lms.browser.options(TOKEN, headers={"Origin": settings.frontend_url, **PREFLIGHT})
        for _ in range(10):
            assert_problem(await lms.exchange("junk"), 401, "code_invalid")
        answer = await lms.exchange("junk")
        problem = assert_problem(answer, 429, "rate_limited")
        assert problem["error"] == "Too many requests. Please try again later."
        assert answer.headers["retry-after"] == str(problem["retry_after"])
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await lms.exchange(await lms.launch_code())).status_code == 200
        assert_problem(await lms.launch("junk"), 401, "token_invalid")


# ---------------------------------------------------------------------------- other origins


@pytest.mark.parametrize("origin", [FRONT_END, "https://beta.optio.example"])
async def test_the_front_end_may_exchange_codes(settings: Settings, origin: str) -> None:
    """P218"""
    changes = {"frontend_url": FRONT_END, "allowed_origins": ("https://beta.optio.example",)}
    async with spark_at(settings, **changes) as lms:
        asked = await lms.browser.options(TOKEN, headers={"Origin": origin, **PREFLIGHT})
        sent = await lms.browser.post(TOKEN, json={"code": "x"}, headers={"Origin": origin})
    assert asked.status_code == 200
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "content-type" in asked.headers["access-control-allow-headers"].lower()
    assert_problem(sent, 401, "code_invalid")  # its text reaches the page as well
    for answer in (asked, sent):
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", f"{FRONT_END}.evil.example", "http://app.optio.example", "null"],
)
async def test_no_other_origin_may_exchange_codes(settings: Settings, origin: str) -> None:
    """P217"""
    async with spark_at(settings, frontend_url=FRONT_END) as lms:
        asked = await lms.browser.options(TOKEN, headers={"Origin": origin, **PREFLIGHT})
        sent = await lms.browser.post(TOKEN, json={"code": "x"}, headers={"Origin": origin})
    assert asked.status_code == 400
    for answer in (asked, sent):
        assert "access-control-allow-origin" not in answer.headers


async def test_of_two_origins_none_is_answered(settings: Settings) -> None:
    """Beside P217: the middleware would look at the first, somebody else at the last."""
    async with spark_at(settings, frontend_url=FRONT_END) as lms:
        origins = [("Origin", FRONT_END), ("Origin", "https://evil.example")]
        asked = await lms.browser.options(TOKEN, headers=[*origins, *PREFLIGHT.items()])
        sent = await lms.browser.post(TOKEN, json={"code": "x"}, headers=origins)
    for answer in (asked, sent):
        assert answer.status_code >= 400
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/spark/sso", "/spark/webhook/submission", "/healthz", "/docs"])
async def test_no_other_route_answers_other_origins(
    lms: Spark, settings: Settings, path: str
) -> None:
    """P219"""
    headers = {"Origin": settings.frontend_url, **PREFLIGHT}
    for method in ("OPTIONS", "GET", "POST"):
        answer = await lms.browser.request(method, path, headers=headers)
        assert not any(name.startswith("access-control-") for name in answer.headers)
