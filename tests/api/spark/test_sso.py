"""Rows P001 to P038 of the fault list through the door.

What the token alone decides is tested in tests/sso/test_launch_token.py, whose account a student
gets in test_whose_account.py.
"""

import asyncio
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Row, func, insert, select, update

from app.database import Sessions
from app.errors import CodeInvalidError
from app.models import LmsIntegration, SparkAuthCode, SsoReplay, User
from app.settings import Settings
from app.signing import sign_token, token_key
from app.sso.authorization_codes import hash_code, new_code, supersede
from app.sso.sign_in import ENTER
from tests.api.spark.conftest import spark_at
from tests.support.commands import run_on
from tests.support.courses import course, synced
from tests.support.defaults import RATES
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.roster import new_student
from tests.support.round_trips import fewest
from tests.support.spark import Spark

SSO = "/spark/sso"


def fresh_email() -> str:
    return f"person_{secrets.token_hex(6)}@example.com"


async def create_user(sessions: Sessions, **values: Any) -> UUID:
    """Someone who uses Optio and has never come from Spark."""
    user_id = uuid4()
    async with sessions() as session, session.begin():
        await session.execute(insert(User).values(id=user_id, **values))
    return user_id


async def user(sessions: Sessions, user_id: UUID) -> Row[Any]:
    async with sessions() as session:
        return (await session.execute(select(User.__table__).where(User.id == user_id))).one()


async def account(sessions: Sessions, spark_user_id: str) -> Row[Any] | None:
    """The user of a Spark student; an error if there are two."""
    async with sessions() as session:
        found = await session.execute(
            select(User.__table__)
            .join(LmsIntegration, LmsIntegration.user_id == User.id)
            .where(LmsIntegration.lms_user_id == spark_user_id)
        )
        return found.one_or_none()


async def change_link(sessions: Sessions, spark_user_id: str, **values: Any) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(LmsIntegration)
            .where(LmsIntegration.lms_user_id == spark_user_id)
            .values(**values)
        )


async def users_of(sessions: Sessions, email: str) -> int:
    async with sessions() as session:
        counted = await session.execute(
            select(func.count()).select_from(User).where(User.email == email)
        )
        return counted.scalar_one()


def code_of(answer: httpx.Response) -> str:
    assert answer.status_code == 302, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


def token_of_length(lms: Spark, characters: int) -> str:
    """A valid token, filled up by a course id to at most this length, three characters less."""
    padding = (characters - len(lms.launch_token(courses=[""]))) * 3 // 4 - 3
    token = lms.launch_token(courses=["c" * padding])
    assert characters - 10 < len(token) <= characters
    return token


# ---------------------------------------------------------------------------- the request


@pytest.mark.parametrize("query", ["", "?token=", "?Token=x"], ids="P001-{}".format)
async def test_a_launch_without_a_token_is_answered_so(lms: Spark, query: str) -> None:
    problem = assert_problem(await lms.browser.get(SSO + query), 400, "token_missing")
    assert problem["error"] == "Missing token parameter"


@pytest.mark.parametrize("form", [{}, {"token": ""}, {"other": "x"}], ids="P001-{}".format)
async def test_a_form_without_a_token_is_answered_so(lms: Spark, form: dict[str, str]) -> None:
    answer = await lms.browser.post(
        SSO, data=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert_problem(answer, 400, "token_missing")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "tokens",
    [("T", "T"), ("T", "junk"), ("junk", "T"), ("T", ""), ("", "T")],
    ids="P002-{0[0]}-{0[1]}".format,
)
async def test_two_tokens_are_refused(lms: Spark, method: str, tokens: tuple[str, str]) -> None:
    valid = lms.launch_token()
    pair = {"token": [valid if token == "T" else token for token in tokens]}
    by_query, by_form = (pair, None) if method == "GET" else (None, pair)
    answer = await lms.browser.request(method, SSO, params=by_query, data=by_form)
    assert_problem(answer, 400, "request_invalid")
    assert (await lms.launch(valid)).status_code == 302


@pytest.mark.parametrize(
    ("changes", "status", "code", "error"),
    [
        ({"exp": ...}, 401, "token_claims_invalid", "Invalid token: exp"),
        ({"exp": 1}, 401, "token_expired", "Token expired. Please try again."),
        ({"exp": float("nan")}, 401, "token_claims_invalid", "Invalid token: payload"),
        ({"email": ...}, 401, "token_claims_invalid", "Invalid token: email"),
        ({"role": "teacher"}, 403, "role_not_allowed", "Role not allowed"),
    ],
    ids=["P011", "P012", "P016", "P011-email", "P020"],
)
async def test_a_refused_token_makes_no_account(
    lms: Spark, sessions: Sessions, changes: dict[str, Any], status: int, code: str, error: str
) -> None:
    claims = lms.claims(**changes)
    answer = await lms.launch(sign_token(claims, key=token_key(lms.sso_secret)))
    assert assert_problem(answer, status, code)["error"] == error
    assert await account(sessions, claims["sub"]) is None
    assert claims["sub"] not in answer.text


async def test_a_token_of_another_secret_is_refused(lms: Spark) -> None:
    """P004"""
    token = sign_token(lms.claims(), key=token_key(SecretStr(secrets.token_hex(32))))
    answer = await lms.launch(token)
    problem = assert_problem(answer, 401, "token_invalid")
    assert problem["error"] == "Invalid token signature"
    assert answer.headers["www-authenticate"] == "Spark"
    assert token not in answer.text


async def test_our_own_tokens_are_no_launch_tokens(lms: Spark) -> None:
    """P010"""
    student = await lms.sign_in()
    for token in (student.access_token, student.refresh_token):
        assert_problem(await lms.launch(token), 401, "token_invalid")


async def test_16_000_characters_fit_into_the_query(lms: Spark) -> None:
    """P024"""
    assert (await lms.launch(token_of_length(lms, 16_000))).status_code == 302
    answer = await lms.launch(token_of_length(lms, 17_000))
    assert "POST" in str(assert_problem(answer, 401, "token_invalid")["hint"])


async def test_60_000_characters_fit_into_a_form(lms: Spark) -> None:
    """P024"""
    sent = await lms.browser.post(SSO, data={"token": token_of_length(lms, 60_000)})
    assert sent.status_code == 302
    sent = await lms.browser.post(SSO, data={"token": token_of_length(lms, 70_000)})
    assert_problem(sent, 413, "body_too_large")


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""]
)
async def test_a_token_is_posted_as_a_form(lms: Spark, content_type: str) -> None:
    answer = await lms.browser.post(
        SSO, content=f"token={lms.launch_token()}", headers={"Content-Type": content_type}
    )
    assert_problem(answer, 415, "media_type_unsupported")


async def test_a_media_type_may_be_written_in_any_case(lms: Spark) -> None:
    answer = await lms.browser.post(
        SSO,
        content=f"token={lms.launch_token()}",
        headers={"Content-Type": "Application/X-WWW-Form-URLencoded ; Charset=UTF-8"},
    )
    assert answer.status_code == 302


async def test_a_browser_gets_a_page_with_the_same_status(lms: Spark) -> None:
    token = lms.launch_token(exp=1)
    accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = await lms.browser.get(SSO, params={"token": token}, headers=accept)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "click the link again" in answer.text
    assert answer.headers["x-request-id"][-8:] in answer.text
    assert token.rpartition(".")[2] not in answer.text


async def test_the_page_leads_back_to_spark_as_the_settings_say(settings: Settings) -> None:
    async with spark_at(settings, spark_portal_url='https://spark.example/"><b>') as lms:
        answer = await lms.browser.get(SSO, headers={"Accept": "text/html"})
    assert 'href="https://spark.example/&quot;&gt;&lt;b&gt;"' in answer.text


async def test_a_launch_redirects_with_a_code_and_nothing_else(
    lms: Spark, settings: Settings
) -> None:
    """P031"""
    token = lms.launch_token()
    answer = await lms.launch(token)
    assert answer.status_code == 302
    base, _, code = answer.headers["location"].partition("?code=")
    assert base == f"{settings.frontend_url}/auth/callback"
    assert len(code) == 43
    assert code.isascii()
    assert code.replace("-", "").replace("_", "").isalnum()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers
    assert token.rpartition(".")[2] not in f"{answer.headers} {answer.text}"


async def test_another_spelling_of_the_path_leads_nowhere(lms: Spark) -> None:
    """P032"""
    token = lms.launch_token()
    answer = await lms.browser.get(f"{SSO}/", params={"token": token})
    assert_problem(answer, 404, "route_not_found")
    assert "location" not in answer.headers
    assert token not in answer.text


@pytest.mark.parametrize("path", [SSO, f"{SSO}/"], ids="P032-{}".format)
async def test_another_host_leads_nowhere(settings: Settings, path: str) -> None:
    async with spark_at(settings, allowed_hosts=("127.0.0.1",)) as lms:
        token = lms.launch_token()
        answer = await lms.browser.get(
            path, params={"token": token}, headers={"Host": "evil.example"}
        )
        assert_problem(answer, 400, "request_invalid")
        assert "location" not in answer.headers
        assert token not in answer.text
        assert (await lms.launch(token)).status_code == 302


@pytest.mark.parametrize("name", ["next", "redirect_uri", "return_to"], ids="P033-{}".format)
async def test_no_parameter_chooses_where_a_launch_leads(
    lms: Spark, settings: Settings, name: str
) -> None:
    query = {"token": lms.launch_token(), name: "https://evil.example"}
    answer = await lms.browser.get(SSO, params=query)
    assert answer.headers["location"].startswith(f"{settings.frontend_url}/auth/callback?code=")
    assert "evil" not in answer.headers["location"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT"], ids="P034-{}".format)
async def test_a_prefetch_spends_no_token(lms: Spark, method: str) -> None:
    token = lms.launch_token()
    answer = await lms.browser.request(method, SSO, params={"token": token})
    assert answer.status_code == 405
    assert (await lms.launch(token)).status_code == 302


# ---------------------------------------------------------------------------- one use


async def test_a_token_is_spent_when_its_code_was_exchanged(lms: Spark) -> None:
    """P026"""
    token = lms.launch_token()
    code = await lms.launch_code(token)
    assert (await lms.exchange(code)).status_code == 200
    problem = assert_problem(await lms.launch(token), 401, "token_replayed")
    assert problem["error"] == "Token already used"


async def test_an_exchange_spends_no_other_token(lms: Spark) -> None:
    token, other = lms.launch_token(), lms.launch_token()
    code, _ = await lms.launch_code(token), await lms.launch_code(other)
    assert (await lms.exchange(code)).status_code == 200
    assert (await lms.exchange(await lms.launch_code(other))).status_code == 200


async def test_a_jti_is_spent_whatever_else_the_token_says(lms: Spark) -> None:
    """P026"""
    mine = {"sub": new_student(), "jti": secrets.token_hex(8)}
    assert (await lms.exchange(await lms.launch_code(**mine))).status_code == 200
    assert_problem(await lms.launch(lms.launch_token(**mine)), 401, "token_replayed")


async def test_a_jti_of_two_students_ends_nobodys_sign_in(lms: Spark) -> None:
    """L8: neither the code that waits nor the one that comes."""
    jti = secrets.token_hex(8)
    names = [f"{new_student()}:{jti}", new_student(), new_student()]
    codes = [await lms.launch_code(sub=name, jti=jti) for name in names]
    answers = [await lms.exchange(code) for code in codes]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["user_id"] for answer in answers}) == 3
    for name in names:
        assert_problem(await lms.launch(lms.launch_token(sub=name, jti=jti)), 401, "token_replayed")


async def test_a_second_click_replaces_the_code(lms: Spark) -> None:
    """P027"""
    token = lms.launch_token()
    first, second = await lms.launch_code(token), await lms.launch_code(token)
    assert first != second
    problem = assert_problem(await lms.exchange(first), 401, "code_invalid")
    assert problem["hint"] == CodeInvalidError.hint  # another would tell of an account that changed
    assert (await lms.exchange(second)).status_code == 200


async def test_of_twenty_clicks_at_once_one_code_lives(lms: Spark) -> None:
    """P028"""
    token = lms.launch_token()
    codes = await asyncio.gather(*(lms.launch_code(token) for _ in range(20)))
    assert len(set(codes)) == 20
    answers = await asyncio.gather(*map(lms.exchange, codes))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


async def test_of_twenty_codes_at_once_for_one_token_one_lives(
    lms: Spark, sessions: Sessions
) -> None:
    """P028: clicks of one student take turns at their account already, so they are left out."""
    student = await lms.sign_in()
    replay_key = b"\xff" + secrets.token_bytes(31)  # no number that Postgres has without a sign
    expires_at = datetime.now(tz=UTC) + timedelta(minutes=5)
    first_use = {"key": replay_key, "code_hash": "none yet", "expires_at": expires_at}
    async with sessions() as session, session.begin():
        await session.execute(insert(SsoReplay).values(first_use))

    async def issue() -> str:
        code = new_code()
        row = {"code": hash_code(code), "user_id": student.user_id, "expires_at": expires_at}
        async with sessions() as session, session.begin():
            await session.execute(insert(SparkAuthCode).values(row))
            await supersede(session, hash_code(code), replay_key=replay_key)
        return code

    await issue()
    codes = await asyncio.gather(*(issue() for _ in range(20)))
    answers = await asyncio.gather(*map(lms.exchange, codes))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


async def test_clicks_and_exchanges_that_race_make_one_session(lms: Spark) -> None:
    """P028, SECURITY promise 1"""
    token = lms.launch_token()
    code = await lms.launch_code(token)
    acts = [act for _ in range(10) for act in (lms.exchange(code), lms.launch(token))]
    answers = await asyncio.gather(*acts)
    later = [code_of(answer) for answer in answers if answer.status_code == 302]
    answers += await asyncio.gather(*map(lms.exchange, later))
    assert [answer.status_code for answer in answers].count(200) == 1


async def test_the_previous_secret_is_good_until_it_is_removed(settings: Settings) -> None:
    """P029"""
    assert settings.spark_sso_secret
    rotated = {
        "spark_sso_secret": SecretStr(secrets.token_hex(32)),
        "spark_sso_secret_previous": settings.spark_sso_secret,
    }
    async with spark_at(settings, **rotated) as lms:
        assert (await lms.launch(lms.launch_token())).status_code == 302
    async with spark_at(settings, **rotated | {"spark_sso_secret_previous": None}) as lms:
        assert_problem(await lms.launch(lms.launch_token()), 401, "token_invalid")


# ---------------------------------------------------------------------------- outages


async def test_without_its_secret_the_route_says_so(settings: Settings) -> None:
    """P030"""
    async with spark_at(settings, spark_sso_secret=None) as lms:
        answer = await lms.launch(lms.launch_token())
        assert assert_problem(answer, 503, "sso_not_configured")["error"] == "SSO not configured"


async def test_a_short_secret_stops_the_process_and_only_its_name_is_said(
    settings: Settings,
) -> None:
    """P030"""
    short = secrets.token_hex(16)[:31]
    done = await run_on(settings.model_copy(update={"spark_sso_secret": SecretStr(short)}))("serve")
    assert done.exit_code
    assert "SPARK_SSO_SECRET" in done.output
    assert short not in done.output


@pytest.fixture(
    params=["refuses", "has no address", pytest.param("hangs", marks=pytest.mark.soak)],
    ids="P038-{}".format,
)
def dead_database(request: pytest.FixtureRequest) -> Iterator[SecretStr]:
    """Where nothing listens, or something that never answers, or a name without an address."""
    if request.param == "has no address":
        yield SecretStr("postgresql+asyncpg://optio:nobody@database.invalid/postgres")
        return
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        if request.param == "hangs":
            held.listen()
        port = held.getsockname()[1]
        yield SecretStr(f"postgresql+asyncpg://optio:nobody@127.0.0.1:{port}/postgres")


async def test_a_dead_database_is_named_and_the_token_stays_good(
    lms: Spark, settings: Settings, dead_database: SecretStr
) -> None:
    token = lms.launch_token()
    async with (
        spark_at(settings, database_url=dead_database) as cut_off,
        asyncio.timeout(patient(10)),
    ):
        answer = await cut_off.launch(token)
    problem = assert_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) == problem["retry_after"]
    assert (await lms.launch(token)).status_code == 302


@pytest.mark.parametrize(
    "courses", ["x", {}, [7] * 10_000], ids=["P036-text", "P036-object", "P036-10000-items"]
)
async def test_odd_courses_keep_no_student_out(lms: Spark, courses: object) -> None:
    answer = await lms.browser.post(SSO, data={"token": lms.launch_token(courses=courses)})
    assert answer.status_code == 302, answer.text


# ---------------------------------------------------------------------------- how often


async def test_the_eleventh_failure_of_an_address_has_to_wait(settings: Settings) -> None:
    """P226, P230"""
    async with spark_at(settings, **RATES) as lms:
        for _ in range(10):
            assert_problem(await lms.launch("junk"), 401, "token_invalid")
        answer = await lms.launch("junk")
        problem = assert_problem(answer, 429, "rate_limited")
        assert problem["error"] == "Too many requests. Please try again later."
        assert answer.headers["retry-after"] == str(problem["retry_after"])
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await lms.launch(lms.launch_token())).status_code == 302
        assert_problem(await lms.exchange("junk"), 401, "code_invalid")


async def test_a_class_behind_one_address_is_let_in(settings: Settings) -> None:
    """P229"""
    async with spark_at(settings, **RATES) as lms:
        students = [await lms.sign_in() for _ in range(30)]
    assert len({student.user_id for student in students}) == 30


async def test_one_student_signs_in_ten_times_a_minute(settings: Settings) -> None:
    """P226. Where a minute of the counter ends in between it estimates, and one more may pass."""
    async with spark_at(settings, **RATES) as lms:
        tokens = [lms.launch_token(sub="restless", jti=secrets.token_hex(8)) for _ in range(12)]
        answers = [await lms.launch(token) for token in tokens]
        refused = sum(answer.status_code == 429 for answer in answers)
        assert refused in {1, 2}
        statuses = [answer.status_code for answer in answers]
        assert statuses == [302] * (12 - refused) + [429] * refused
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert (await lms.launch(lms.launch_token())).status_code == 302


@pytest.mark.parametrize(("hops", "status"), [(0, 429), (1, 401)], ids=["direct", "one-proxy"])
async def test_a_client_is_whom_the_trusted_proxy_names(
    settings: Settings, hops: int, status: int
) -> None:
    """P221, P227, P228"""
    async with spark_at(settings, rate_limit_sso=1, trusted_proxy_hops=hops) as lms:
        for address in ("192.0.2.1", "192.0.2.2"):
            forwarded = {"X-Forwarded-For": f"198.51.100.9, {address}"}
            answer = await lms.browser.get(SSO, params={"token": "junk"}, headers=forwarded)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        pytest.param("2001:db8::1", "2001:db8::2:0:0:1", 429, id="R15-one-64"),
        pytest.param("2001:db8::1", "2001:db8:0:1::1", 401, id="R15-two-64"),
        pytest.param("192.0.2.7:5678", "192.0.2.7:5679", 429, id="R15-ports"),
    ],
)
async def test_a_client_who_changes_its_address_within_its_network_is_still_one(
    settings: Settings, first: str, second: str, status: int
) -> None:
    async with spark_at(settings, rate_limit_sso=1, trusted_proxy_hops=1) as lms:
        for address in (first, second):
            forwarded = {"X-Forwarded-For": address}
            answer = await lms.browser.get(SSO, params={"token": "junk"}, headers=forwarded)
        assert answer.status_code == status


# ---------------------------------------------------------------------------- what it costs


@pytest.mark.parametrize(("claims", "trips"), [(False, 1), (True, 3)], ids=["alone", "courses"])
async def test_a_sign_in_of_who_is_known_is_few_round_trips(
    lms: Spark, *, claims: bool, trips: int
) -> None:
    """DESIGN R26: BEGIN and COMMIT not counted."""
    one, who = course("one"), {"sub": new_student(), "email": fresh_email()}
    await synced(lms, one)
    listed: dict[str, Any] = {"courses": [one["spark_course_id"]]} if claims else {}
    await lms.launch_code(**who)
    sent = await fewest(lambda: lms.launch_code(**who, **listed, jti=secrets.token_hex(8)))
    assert ENTER.sql in sent
    assert len(sent) == trips
