"""One JSON line for each event, with the request's id and without anybody's data."""

import hashlib
import json
import logging
import secrets
from collections.abc import Iterator

import httpx
import pytest
import structlog
from pydantic import SecretStr

from app.logs import LAST_SAID, warn_each_minute
from app.settings import Settings
from tests.support.canaries import CANARIES, Canaries
from tests.support.elsewhere import run_elsewhere
from tests.support.logged import logged, say_everything_anew
from tests.support.spark import Assignment, SignedIn, Spark, encoded, submission

SECRET = "canary-0123456789"


@pytest.fixture
def canaries() -> Iterator[Canaries]:
    """A search of its own; afterwards the run's goes on."""
    own = Canaries()
    own.release(SECRET)
    own.listen()
    yield own
    CANARIES.listen()


def test_the_search_of_this_run_would_find_a_leak(canaries: Canaries) -> None:
    structlog.get_logger().info("leak", value=SECRET)
    assert canaries.found()


def test_a_word_that_may_be_a_part_of_a_code_is_no_canary() -> None:
    """It would be found by chance: in the code of another test's failure."""
    with pytest.raises(AssertionError, match="afterthought"):
        Canaries().release("afterthought")


def test_a_librarys_traceback_is_reduced_to_the_class_of_its_exception(
    canaries: Canaries,
) -> None:
    """P252"""
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("library").exception("it failed")
    (line,) = canaries.lines
    assert json.loads(line)["error_class"] == "ValueError"
    assert not canaries.found()


def test_what_is_logged_stays_on_one_line(canaries: Canaries) -> None:
    """P249"""
    structlog.get_logger().info("odd", value='a\r\nb\x1b[31m"}')
    (line,) = canaries.lines
    assert json.loads(line)["value"] == 'a\r\nb\x1b[31m"}'
    assert "\x1b" not in line


async def test_a_request_is_one_line_with_its_id_and_its_route_but_not_its_query(
    canaries: Canaries, browser: httpx.AsyncClient
) -> None:
    answer = await browser.get("/spark/sso", params={"token": SECRET})
    lines = [json.loads(line) for line in canaries.lines]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/spark/sso", 401)
    assert line["code"] == "token_invalid"
    assert not canaries.found()


@pytest.mark.parametrize(
    ("sent", "seen"), [([], 0), (["10.9.8.7"], 1), (["10.9.8.7, ::7", "a"], 3)]
)
async def test_a_request_tells_how_many_proxies_spoke_and_not_which(
    sent: list[str], seen: int, canaries: Canaries, browser: httpx.AsyncClient
) -> None:
    """OPERATOR 4"""
    await browser.get("/healthz", headers=[("X-Forwarded-For", it) for it in sent])
    (line,) = [it for it in map(json.loads, canaries.lines) if it["event"] == "request"]
    assert line["forwarded"] == seen
    assert "10.9.8.7" not in str(canaries.lines)


async def test_two_instances_call_one_client_the_same(
    canaries: Canaries, browser: httpx.AsyncClient, settings: Settings
) -> None:
    """OPERATOR 18: for a day, and by a key that only they have."""
    other_key = {"jwt_secret_key": SecretStr(secrets.token_hex(32))}
    async with (
        run_elsewhere(settings) as alike,
        run_elsewhere(settings, **other_key) as stranger,
    ):
        for asked in (browser, alike.spark.browser, stranger.spark.browser):
            await asked.get("/healthz")
    lines = [json.loads(line) for line in canaries.lines]
    one, same, another = [line["client"] for line in lines if line["event"] == "request"]
    assert one == same != another


# ---------------------------------------------------------------------------- what was refused


async def test_what_failed_here_is_a_warning_and_what_failed_there_is_not(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """OPERATOR 5"""
    async with run_elsewhere(settings, spark_webhook_secret=None) as elsewhere:
        await elsewhere.spark.submit({})
        await elsewhere.spark.launch("x")
    lines = [(line["code"], line["level"]) for line in logged(caplog, "request")]
    assert lines == [("webhook_not_configured", "warning"), ("token_invalid", "info")]


@pytest.mark.parametrize("finding", ["OPERATOR 5"])
async def test_a_refused_message_that_was_signed_is_named_by_its_digest(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    caplog: pytest.LogCaptureFixture,
    finding: str,
) -> None:
    """One that was not, and one that was taken, is not."""
    right = encoded(submission(student, assignment))
    refused = encoded(submission(student, assignment, spark_user_id="nobody"))
    await spark.submit(right, signature="0" * 64)
    await spark.submit(right)
    await spark.submit(refused)
    await spark.post(refused, spark.sign_v1(refused, webhook_id="msg_refused"))
    digest = hashlib.sha256(refused).hexdigest()[:16]
    lines = [
        (line["code"], line.get("webhook_id"), line.get("digest"))
        for line in logged(caplog, "request")
    ]
    assert lines[-4:] == [
        ("signature_invalid", None, None),
        (None, None, None),
        ("user_not_found", None, digest),
        ("user_not_found", "msg_refused", digest),
    ]


# ---------------------------------------------------------------------------- quiet failures


def test_what_fails_with_every_request_is_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """OPERATOR 14"""
    say_everything_anew()
    for now in (0.0, 1.0, 59.9, 60.0, 61.0):
        warn_each_minute("store_is_away", now=now, limit="one")
    warn_each_minute("store_is_away", now=61.0, limit="other")
    lines = [(line["limit"], line["times"]) for line in logged(caplog, "store_is_away")]
    assert lines == [("one", 1), ("one", 3), ("other", 1)]
    assert len(LAST_SAID) == 2
