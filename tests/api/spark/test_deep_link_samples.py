"""The samples of deep_link in docs/samples ask for a choice and read the answer, as copied."""

import json
import re
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from app.api.dependencies import FORM
from app.settings import Settings
from tests.support.canaries import CANARIES
from tests.support.courses import course, synced, templates
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.programs import Ended, needs_node, needs_php, run_program
from tests.support.spark import RETURN_URL

SAMPLES = Path(__file__).parents[3] / "docs" / "samples"
each_sample = pytest.mark.parametrize(
    "sample",
    [
        pytest.param(("node", "deep_link.mjs"), marks=needs_node, id="node"),
        pytest.param(("php", "deep_link.php"), marks=needs_php, id="php"),
        pytest.param((sys.executable, "deep_link.py"), id="python"),
    ],
)


@pytest.fixture(scope="module")
async def elsewhere(settings: Settings) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(settings, spark_return_urls=(RETURN_URL,)) as running:
        yield running


async def run(at: Elsewhere, sample: tuple[str, str], *words: str) -> Ended:
    program, name = sample
    secret = at.spark.sso_secret.get_secret_value()
    env = {"OPTIO_URL": at.running.url, "OPTIO_SHARED_SECRET": secret}
    return await run_program(program, SAMPLES / name, *words, env=env)


async def answered(at: Elsewhere, sample: tuple[str, str]) -> tuple[str, str, str]:
    """The token that Spark is posted, its state, and the task that was chosen."""
    payload = course("rain")
    quest_id = await synced(at.spark, payload)
    [task] = await templates(at.running.app.state.resources.sessions, quest_id)
    ids = (secrets.token_hex(4), payload["spark_course_id"], "draft", RETURN_URL)
    asked = json.loads((await run(at, sample, "ask", *ids)).output)
    CANARIES.release(asked["url"].partition("token=")[2])
    page = await at.spark.browser.get(asked["url"])
    assert page.status_code == 200, page.text
    [sealed, *_] = re.findall(r'name="request" value="([^"]+)"', page.text)
    form = {"request": sealed, "act": "choose", "choice": f"{quest_id}:{task.id}"}
    headers = {"Content-Type": FORM}
    answer = await at.spark.browser.post(
        "/spark/deep-link", content=urlencode(form), headers=headers
    )
    [token] = re.findall(r'name="token" value="([^"]+)"', answer.text)
    CANARIES.release(token)
    return token, asked["state"], str(task.id)


@each_sample
async def test_a_sample_asks_and_reads_what_was_chosen(
    elsewhere: Elsewhere, sample: tuple[str, str]
) -> None:
    token, state, task_id = await answered(elsewhere, sample)
    ended = await run(elsewhere, sample, "read", token, state)
    assert ended.code == 0, ended.errors
    [item] = json.loads(ended.output)["content_items"]
    assert (item["task_id"], item["title"]) == (task_id, "Do rain")


@each_sample
async def test_a_sample_refuses_what_is_not_its_answer(
    elsewhere: Elsewhere, sample: tuple[str, str]
) -> None:
    token, state, _ = await answered(elsewhere, sample)
    spark = elsewhere.spark
    claims: dict[str, Any] = {"aud": "spark", "state": state, "exp": 32503600000}
    kind = "optio-deep-link+jwt"
    cases = {
        "another request": (token, "x"),
        "signature": (f"{token[:-4]}AAAA", state),
        "signature does": (token.rpartition(".")[0], state),
        "another kind": (spark.signed(claims), state),
        "too old": (spark.signed(claims | {"exp": 1}, kind=kind), state),
    }
    for said, words in cases.items():
        ended = await run(elsewhere, sample, "read", *words)
        assert ended.code == 1, said
        assert said in ended.errors
    for wrong in (("read",), ("ask", "teacher"), ("show", token, state), ()):
        ended = await run(elsewhere, sample, *wrong)
        assert (ended.code, ended.output) == (2, ""), wrong
        assert "read TOKEN STATE" in ended.errors
