"""Anybody may ask whether the service is ready, and it costs next to nothing (finding L9)."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from app.api.health import BELIEVED_SECONDS
from app.database import Sessions
from app.settings import Settings
from tests.support.elsewhere import run_elsewhere
from tests.support.stored import eventually


@contextmanager
def statements() -> Iterator[list[str]]:
    """All that this process sends to a database meanwhile."""
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("finding", ["L9"])
async def test_all_who_ask_at_once_are_told_by_one_look(settings: Settings, finding: str) -> None:
    async with run_elsewhere(settings) as elsewhere:
        browser = elsewhere.spark.browser
        began = time.monotonic()
        with statements() as sent:
            answers = await asyncio.gather(*(browser.get("/readyz") for _ in range(50)))
        took = time.monotonic() - began
        assert {answer.status_code for answer in answers} == {200}
        looks = [statement for statement in sent if "alembic_version" in statement]
        assert 1 <= len(looks) <= 1 + took // BELIEVED_SECONDS


@pytest.mark.parametrize("finding", ["L9"])
async def test_what_fails_and_what_holds_again_is_told_soon(
    browser: httpx.AsyncClient, sessions: Sessions, finding: str
) -> None:
    assert (await browser.get("/readyz")).status_code == 200

    async def is_old() -> bool:
        checks: dict[str, bool] = (await browser.get("/readyz")).json()["checks"]
        return checks == {"database": True, "schema": False, "storage": True}

    revision = "update spark.alembic_version set version_num = :new where version_num = :old"
    newest, old = "spark_0001", "spark_0000"
    async with sessions() as session, session.begin():
        changed = await session.execute(text(revision), {"old": newest, "new": old})
        assert changed.rowcount == 1
    try:
        await eventually(is_old)
    finally:
        async with sessions() as session, session.begin():
            await session.execute(text(revision), {"old": old, "new": newest})
    assert (await browser.get("/readyz")).status_code == 200
