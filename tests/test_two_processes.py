"""What must happen once happens once, whichever of two real processes is asked."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from itertools import cycle

import httpx
import pytest
from sqlalchemy import func, select

from app.database import Sessions
from app.models import LmsIntegration
from app.settings import Settings
from tests.support.processes import serve_elsewhere
from tests.support.spark import Spark

CODES, EXCHANGES = (100 if "SOAK" in os.environ else 10), 20


@pytest.fixture(scope="module")
async def both(settings: Settings) -> AsyncIterator[list[Spark]]:
    """A Spark at each of two processes."""
    assert settings.spark_sso_secret
    assert settings.spark_webhook_secret
    secrets = (settings.spark_sso_secret, settings.spark_webhook_secret)
    async with (
        serve_elsewhere(settings) as one,
        serve_elsewhere(settings) as other,
        httpx.AsyncClient(base_url=one, timeout=60, trust_env=False) as first,
        httpx.AsyncClient(base_url=other, timeout=60, trust_env=False) as second,
    ):
        yield [Spark(first, *secrets), Spark(second, *secrets)]


async def test_each_of_many_codes_is_redeemed_once(both: list[Spark]) -> None:
    """P045"""
    for spark in both:
        codes = [await spark.launch_code() for _ in range(CODES // 2)]
        for code in codes:
            answers = await asyncio.gather(
                *(
                    asked.exchange(code)
                    for asked, _ in zip(cycle(both), range(EXCHANGES), strict=False)
                )
            )
            outcomes = Counter(
                (answer.status_code, answer.json().get("code")) for answer in answers
            )
            assert outcomes == {(200, None): 1, (401, "code_used"): EXCHANGES - 1}


async def test_a_code_of_one_process_is_redeemed_at_the_other(both: list[Spark]) -> None:
    """P053"""
    one, other = both
    assert (await other.exchange(await one.launch_code())).status_code == 200


async def test_first_sign_ins_of_one_student_at_both_make_one_account(
    both: list[Spark], sessions: Sessions
) -> None:
    """P037"""
    tokens = [both[0].launch_token(sub="first_at_both", jti=str(n)) for n in range(20)]
    answers = await asyncio.gather(
        *(asked.launch(token) for asked, token in zip(cycle(both), tokens, strict=False))
    )
    assert {answer.status_code for answer in answers} == {302}
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(func.count()).where(LmsIntegration.lms_user_id == "first_at_both")
        )
        assert found.scalar_one() == 1


async def test_of_one_launch_token_at_both_one_code_lives(both: list[Spark]) -> None:
    """P028"""
    token = both[0].launch_token()
    codes = await asyncio.gather(
        *(asked.launch_code(token) for asked, _ in zip(cycle(both), range(20), strict=False))
    )
    answers = [await both[0].exchange(code) for code in codes]
    assert [answer.status_code for answer in answers].count(200) == 1
