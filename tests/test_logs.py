"""One JSON line for each event, with the request's id and without anybody's data."""

import json
import logging
import secrets
from collections.abc import Iterator

import httpx
import pytest
import structlog
from pydantic import SecretStr

from app.settings import Settings
from tests.support.canaries import CANARIES, Canaries
from tests.support.elsewhere import run_elsewhere

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
