"""Schemathesis finds nothing in either contract but what schemathesis.toml names, with its reason.

It makes requests out of the contract, right ones and wrong ones, and looks whether the service
answers as the contract says.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.conftest import create_assignment
from tests.support.outward import run_outward
from tests.support.patience import patient
from tests.support.programs import run_program
from tests.support.running import Running, run_app
from tests.support.spark import Spark, submission
from tests.support.stores import own_stores

SOAK = "SOAK" in os.environ
SECONDS = 900 if SOAK else 120
SEED = () if SOAK else ("--seed", "13")  # what CI finds is the commit's doing, not chance
PROJECT = Path(__file__).parents[2]
CONFIG = Path(__file__).parent / "schemathesis.toml"

pytestmark = [pytest.mark.soak, pytest.mark.timeout(patient(SECONDS + 180))]


@pytest.fixture(scope="module")
def own_settings(settings: Settings) -> Iterator[Settings]:
    """A database of its own, since it also erases students."""
    with own_stores(settings) as stores:
        yield stores.given_to(settings)


@pytest.fixture
async def unlimited(own_settings: Settings) -> AsyncIterator[Running]:
    async with run_outward(own_settings) as (outward, _spark), run_app(outward) as running:
        yield running


@pytest.mark.parametrize("contract", ["openapi.json", "internal.json"])
async def test_the_service_answers_as_its_contract_says(
    contract: str, unlimited: Running, tmp_path: Path
) -> None:
    secret = unlimited.settings.spark_webhook_secret
    assert secret is not None
    ended = await run_program(
        *("schemathesis", "--no-color", "--config-file", CONFIG),
        *("run", PROJECT / "openapi" / contract, "--url", unlimited.url),
        *("--max-time", str(SECONDS), "--continue-on-failure", *SEED),
        env={
            "PYTHONPATH": str(PROJECT),
            "OPTIO_WEBHOOK_SECRET": secret.get_secret_value(),
            "OPTIO_KEY": unlimited.settings.internal_api_keys[0].get_secret_value(),
            "OPTIO_USER_ID": await _hand_in(unlimited),
        },
        folder=tmp_path,
        seconds=patient(SECONDS + 120),
    )
    assert ended.code == 0, ended.output + ended.errors


async def _hand_in(running: Running) -> str:
    """A student with homework, so that there is something to find."""
    settings = running.settings
    assert settings.spark_sso_secret is not None
    assert settings.spark_webhook_secret is not None
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as browser:
        spark = Spark(browser, settings.spark_sso_secret, settings.spark_webhook_secret)
        student = await spark.sign_in()
        assignment = await create_assignment(running.app.state.resources.sessions)
        answer = await spark.submit(submission(student, assignment))
    assert answer.status_code == 200, answer.text
    return student.user_id
