"""An alert arrives: signed, as its receiver reads it, and however often that is away."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from typing_extensions import override

from app.alerts.rules import RULES
from app.alerts.send_alert import AlertHook
from app.jobs.call_spark import SPARK
from app.jobs.targets import change_target
from tests.alerts.conftest import Telling
from tests.alerts.test_rules import jobs_late, sign_ins
from tests.support.commands import Run, run_on

BURST = "sign_in_failures"


@pytest.fixture
def run(telling: Telling) -> Run:
    return run_on(telling.settings)


async def fire(telling: Telling) -> None:
    await sign_ins(telling)
    assert await telling.evaluate() == 1


async def test_it_is_signed_by_standard_webhooks(telling: Telling) -> None:
    """The receiver verifies by the reference library."""
    await fire(telling)
    [told] = await telling.told()
    [request] = await telling.fake.requests("/alerts")
    headers = {name: value for name, [value] in request["headers"].items()}
    since = datetime.fromisoformat(told["alert"]["since"])
    assert headers["webhook-id"].startswith(f"{BURST}.{since:%Y%m%d}")
    assert headers["webhook-signature"].startswith("v1,")
    assert (headers["content-type"], "authorization" in headers) == ("application/json", False)
    assert request["query"] == ""


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_receiver_that_is_away_is_told_once_it_is_back(
    telling: Telling, status: int
) -> None:
    await telling.fake.script("/alerts", {"status": status})
    await fire(telling)
    assert await telling.told() == []
    [job] = await telling.jobs()
    assert (job.state, job.reason) == ("waiting", f"alerts_{status}")
    await telling.come_due()
    assert len(await telling.told()) == 1
    assert await telling.jobs() == []
    first, second = await telling.fake.requests("/alerts")
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    assert first["body"] == second["body"]


async def test_after_a_silence_the_last_word_is_told(telling: Telling) -> None:
    await telling.fake.script("/alerts", {"status": 503})
    await fire(telling)
    assert await telling.told() == []
    await telling.evaluate(minutes=4)
    assert await telling.evaluate(minutes=10) == 1
    await telling.come_due()
    [told] = await telling.told()
    assert told["alert"]["state"] == "ok"
    assert "is over. It fired since" in told["text"]


@pytest.mark.parametrize("fault", [{"status": 401}, {"act": "redirect"}], ids=str)
async def test_a_receiver_that_refuses_us_is_left_until_a_test_gets_through(
    telling: Telling, run: Run, fault: dict[str, Any]
) -> None:
    """A redirection is not followed: what it leads to is not what the operator named."""
    await telling.fake.script("/alerts", fault)
    await fire(telling)
    assert await telling.told() == []
    assert await telling.told() == []
    assert len(await telling.fake.requests("/alerts")) == 1
    targets = (await telling.ask("GET", "targets")).json()["items"]
    assert [(each["name"], each["state"]) for each in targets] == [("alerts", "refused")]
    assert (await run("alerts", "test")).exit_code == 0
    assert [each["alert"]["name"] for each in await telling.told()] == ["test", BURST]


async def test_what_will_never_be_taken_is_listed_among_the_dead(
    telling: Telling, run: Run
) -> None:
    await telling.fake.script("/alerts", {"status": 410})
    await fire(telling)
    await telling.told()
    listed = (await run("jobs", "list", "--kind", "alert")).stdout.splitlines()
    assert listed[1].split()[:4] == ["1", "alert", "dead", "alerts_410"]
    assert (await run("jobs", "retry", "--kind", "alert")).stdout == "1 begin anew.\n"
    assert len(await telling.told()) == 1


async def test_a_pause_of_spark_stops_no_alert(telling: Telling) -> None:
    await change_target(telling.sessions, SPARK, "paused", caller="test")
    await fire(telling)
    assert len(await telling.told()) == 1


class _Slack(httpx.AsyncHTTPTransport):
    """hooks.slack.com, at the Spark of the tests."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = httpx.URL(url)

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "hooks.slack.com"
        place = {"scheme": "http", "host": self._url.host, "port": self._url.port}
        request.url = request.url.copy_with(**place)
        return await super().handle_async_request(request)


async def test_slack_gets_what_it_reads_and_no_more(telling: Telling) -> None:
    url = SecretStr("https://hooks.slack.com/services/T0/B0/xyz")
    settings = telling.settings.model_copy(update={"alert_webhook_url": url})
    async with httpx.AsyncClient(transport=_Slack(telling.fake.url)) as client:
        hook = AlertHook(settings, client, now=lambda: datetime.now(tz=UTC))
        tested = await hook.test()
    assert (tested.ok, tested.status) == (True, 200)
    [request] = await telling.fake.requests("/services/T0/B0/xyz")
    assert json.loads(request["body"]).keys() == {"text"}


# ---------------------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("fault", "said", "hint"),
    [
        ({"status": 200}, "200, delivered", "It was taken"),
        ({"status": 403}, "403, alerts_403", "compare ALERT_WEBHOOK_URL"),
        ({"status": 404}, "404, alerts_404", "the whole address"),
        ({"act": "drop"}, "no answer, alerts_cut_short", "Ask again"),
        ({"status": 503}, "503, alerts_503", "Ask again"),
    ],
    ids=str,
)
async def test_a_test_says_what_came_back_and_what_to_do(
    telling: Telling, run: Run, fault: dict[str, Any], said: str, hint: str
) -> None:
    await telling.fake.script("/alerts", fault)
    done = await run("alerts", "test")
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{said}, ")
    assert hint in second
    assert done.exit_code == (said != "200, delivered")


async def test_without_a_receiver_a_test_says_what_to_set(telling: Telling) -> None:
    silent = telling.settings.model_copy(update={"alert_webhook_url": None})
    done = await run_on(silent)("alerts", "test")
    assert (done.exit_code, done.stderr) == (1, "Nobody is told: set ALERT_WEBHOOK_URL.\n")


async def test_the_list_says_what_fires_and_what_to_do(telling: Telling, run: Run) -> None:
    await jobs_late(telling)
    await telling.evaluate(minutes=16)
    head, first, *others = (await run("alerts", "list")).stdout.splitlines()
    assert head.split() == ["name", "state", "since", "value", "fires"]
    name, state, _, value, *condition = first.split()
    assert (name, state, value, condition) == ("jobs_late", "firing", "16", [">", "15", "minutes"])
    quiet = len(RULES) - 1
    assert [line.split()[1] for line in others[:quiet]] == ["ok"] * quiet
    assert [line.partition(":")[0] for line in others[quiet:]] == ["", "jobs_late", "Look", "Do"]
