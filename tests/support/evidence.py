"""The main app's editor of evidence, open on one task."""

import json
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select

from app.database import Sessions
from app.models import UserQuestTask
from tests.support.bodies import Part, form
from tests.support.canaries import CANARIES
from tests.support.spark import FORM, SignedIn

EVIDENCE = "/internal/v1/evidence"


@dataclass(frozen=True)
class Desk:
    """What one caller does to one task; `query` is for a service key."""

    browser: httpx.AsyncClient
    headers: dict[str, str]
    task_id: str
    query: dict[str, str]

    @property
    def path(self) -> str:
        return f"{EVIDENCE}/documents/{self.task_id}"

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = self.headers | more.pop("headers", {})
        return await self.browser.request(method, path, headers=headers, params=self.query, **more)

    async def read(self) -> dict[str, Any]:
        return body_of(await self.ask("GET", self.path))

    async def save(
        self, *blocks: dict[str, Any], status: str = "draft", method: str = "POST", **more: Any
    ) -> httpx.Response:
        body = json.dumps({"blocks": list(blocks), "status": status} | more)
        headers = {"Content-Type": "application/json"}
        return await self.ask(method, self.path, content=body, headers=headers)

    async def saved(self, *blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
        return body_of(await self.save(*blocks, **more))

    async def complete(self) -> httpx.Response:
        return await self.ask("POST", f"{self.path}/complete")

    async def upload(self, block_id: str, *parts: Part) -> httpx.Response:
        path = f"{EVIDENCE}/blocks/{block_id}/upload"
        return await self.ask("POST", path, content=form(*parts), headers={"Content-Type": FORM})

    async def delete_file(self, block_id: str) -> httpx.Response:
        return await self.ask("DELETE", f"{EVIDENCE}/blocks/{block_id}/file")


def body_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def desk_of(browser: httpx.AsyncClient, student: SignedIn, task_id: str) -> Desk:
    """The student's own, in their browser."""
    headers = {"Authorization": f"Bearer {student.access_token}"}
    return Desk(browser, headers, task_id, {})


def text(words: str | None = None, **more: Any) -> dict[str, Any]:
    """A new text block, like no other."""
    words = words or f"It rained. {secrets.token_hex(8)}"
    CANARIES.release(words)
    return {"type": "text", "content": {"text": words}} | more


def as_read(block: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A block as an editor sends it back."""
    return {"id": block["id"], "type": block["block_type"], "content": block["content"]} | changes


def texts(evidence: dict[str, Any]) -> list[str]:
    return [block["content"].get("text", "") for block in evidence["blocks"]]


async def tasks_of(sessions: Sessions, user_id: str) -> list[str]:
    """The student's own tasks, in order."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserQuestTask.id)
            .where(UserQuestTask.user_id == UUID(user_id))
            .order_by(UserQuestTask.order_index)
        )
        return [str(task_id) for task_id in found.scalars()]
