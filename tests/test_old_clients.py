"""Senders written years ago go on working with only the host changed (CONTRACT 1, 3, 4, 7)."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.old_clients import run_node, run_php
from tests.support.programs import needs_node, needs_php

Client = Callable[..., Awaitable[dict[str, Any]]]

NODE = pytest.param(run_node, marks=needs_node, id="node")
PHP = pytest.param(run_php, marks=needs_php, id="php")


@pytest.fixture
def env(server: Any, assignment: Any) -> dict[str, str]:
    """What an operator at Spark has set; a student nobody has seen before."""
    settings = server.settings
    return {
        "OPTIO_URL": server.url,
        "OPTIO_SHARED_SECRET": settings.spark_sso_secret.get_secret_value(),
        "OPTIO_WEBHOOK_SECRET": settings.spark_webhook_secret.get_secret_value(),
        "SPARK_USER_ID": str(secrets.randbelow(10**9)),
        "SPARK_ASSIGNMENT_ID": assignment.spark_assignment_id,
        "SPARK_COURSE_ID": assignment.spark_course_id,
        "SUBMITTED_AT": datetime.now(UTC).isoformat(),
    }


@pytest.mark.parametrize("client", [NODE, PHP])
async def test_an_old_client_signs_a_student_in(client: Client, env: dict[str, str]) -> None:
    answer = await client("sso", env=env)
    assert answer["status"] == 200, answer
    assert set(answer["body"]) == {"user_id", "app_access_token", "app_refresh_token", "message"}


@pytest.mark.parametrize(
    ("client", "scenario"),
    [
        pytest.param(run_node, "submit-json", marks=needs_node),
        pytest.param(run_node, "submit-multipart", marks=needs_node),
        pytest.param(run_node, "submit-multipart-native", marks=needs_node),
        pytest.param(run_php, "submit-json", marks=needs_php),
        pytest.param(run_php, "submit-multipart", marks=needs_php),
        pytest.param(run_php, "submit-multipart-files-first", marks=needs_php),
        pytest.param(run_php, "submit-multipart-large", marks=needs_php),
    ],
)
async def test_an_old_client_hands_in_homework_once(
    client: Client, scenario: str, env: dict[str, str]
) -> None:
    signed_in = await client("sso", env=env)
    assert signed_in["status"] == 200, signed_in
    first = await client(scenario, env=env)
    again = await client(scenario, env=env)
    assert (first["status"], first["body"]["status"]) == (200, "success"), first
    assert first["message"] == again["message"] == f"delivered as {again['body']['completion_id']}"


@pytest.mark.parametrize("client", [NODE, PHP])
async def test_an_old_client_can_show_why_it_was_refused(
    client: Client, env: dict[str, str]
) -> None:
    answer = await client("submit-json", env=env)
    student = env["SPARK_USER_ID"]
    assert answer["message"].startswith(f"refused with 404: User not found for Spark ID: {student}")


@needs_node
async def test_the_sample_of_the_old_guide_gets_a_400_that_helps(env: dict[str, str]) -> None:
    answer = await run_node("submit-guide-sample", env=env)
    assert answer["status"] == 400, answer
    assert answer["body"]["hint"]
