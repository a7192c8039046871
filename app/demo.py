"""Plays one student's homework through a running service, over HTTP, and checks what comes back."""

import asyncio
import hashlib
import io
import json
import re
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
from typing_extensions import override

from app.clock import utc_now
from app.play_spark import COURSE, deep_link_token, launch_token, sample_files, submission
from app.settings import Settings
from app.signing import sign

T = TypeVar("T")

INTERNAL = "/internal/v1"
COURSE_ID = str(COURSE["spark_course_id"])
SCORE = 87.5
DEEP_LINK, CHOSEN = "/spark/deep-link", "Draw a wind rose"
WORKER_SECONDS = 60  # for what is done afterwards


class DemoFailedError(Exception):
    """A step did not do what it should; the message names it."""


@dataclass(frozen=True)
class Step:
    name: str
    outcome: str
    seconds: float


class Demo:
    """One run; `steps` is what happened so far."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    async def play(self, base_url: str, settings: Settings, file_url: str | None) -> None:
        """With `file_url` also what a Spark for tests is needed for. Raises DemoFailedError at the
        first step that fails.
        """
        needed = ("spark_sso_secret", "spark_webhook_secret", "jwt_secret_key", "internal_api_keys")
        if missing := [name.upper() for name in needed if not getattr(settings, name)]:
            raise DemoFailedError(f"{', '.join(missing)} must be set")
        assert settings.spark_sso_secret  # noqa: S101 - looked at just now
        assert settings.spark_webhook_secret  # noqa: S101
        self._sso_secret = settings.spark_sso_secret
        self._webhook_secret = settings.spark_webhook_secret
        service_key = settings.internal_api_keys[0].get_secret_value()
        self._key = {"Authorization": f"Bearer {service_key}"}
        student = f"demo_{secrets.token_hex(4)}"
        files = sample_files()
        async with httpx.AsyncClient(base_url=base_url, timeout=60, trust_env=False) as browser:
            await self._step("sync a course", self._sync(browser))
            code = await self._step("sign in", self._sign_in(browser, student))
            user_id = await self._step("exchange the code", self._exchange(browser, code))
            await self._step("hand in JSON", self._hand_in_text(browser, student))
            completion = await self._step(
                "hand in files", self._hand_in_files(browser, student, files)
            )
            links = await self._step("read the evidence", self._read(browser, completion))
            await self._step("download and compare", self._download(browser, links, files))
            if settings.return_urls:
                back = f"{settings.return_urls[0]}/chosen"
                await self._step("let a teacher choose", self._choose(browser, student, back))
            if file_url:
                handing_in = self._hand_in_url(browser, student, file_url)
                task_id = await self._step("hand in by URL", handing_in)
                await self._step("give a grade", self._grade(browser, user_id, task_id))

    async def _step(self, name: str, action: Awaitable[tuple[str, T]]) -> T:
        began = time.perf_counter()
        try:
            outcome, result = await action
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise DemoFailedError(f"{name}: {type(error).__name__} {error}") from error
        except DemoFailedError as error:
            raise DemoFailedError(f"{name}: {error}") from None
        self.steps.append(Step(name, outcome, time.perf_counter() - began))
        return result

    async def _sync(self, browser: httpx.AsyncClient) -> tuple[str, None]:
        body = await self._send(browser, "course", json.dumps(COURSE).encode())
        return f"{body['task_count']} tasks", None

    async def _sign_in(self, browser: httpx.AsyncClient, student: str) -> tuple[str, str]:
        token = launch_token(self._sso_secret, student, now=utc_now(), courses=[COURSE_ID])
        answer = await browser.get("/spark/sso", params={"token": token})
        location = _expect(answer, 302).headers["location"]
        return "302 with a one-time code", parse_qs(urlsplit(location).query)["code"][0]

    async def _exchange(self, browser: httpx.AsyncClient, code: str) -> tuple[str, str]:
        answer = await browser.post("/spark/token", json={"code": code})
        user_id = _expect(answer, 200).json()["user_id"]
        return f"user {user_id}", user_id

    async def _submit(
        self, browser: httpx.AsyncClient, student: str, text: str, **more: Any
    ) -> dict[str, Any]:
        return await self._send(browser, "submission", _homework(student, text, **more))

    async def _send(self, browser: httpx.AsyncClient, webhook: str, raw: bytes) -> dict[str, Any]:
        signature = sign(self._webhook_secret, raw)
        headers = {"X-Spark-Signature": signature, "Content-Type": "application/json"}
        answer = await browser.post(f"/spark/webhook/{webhook}", content=raw, headers=headers)
        body: dict[str, Any] = _expect(answer, 200).json()
        return body

    async def _hand_in_text(self, browser: httpx.AsyncClient, student: str) -> tuple[str, None]:
        body = await self._submit(browser, student, "Rain fell on four of seven days.")
        return f"revision {body['revision']}, {body['xp_awarded']} XP", None

    async def _hand_in_files(
        self, browser: httpx.AsyncClient, student: str, files: dict[str, bytes]
    ) -> tuple[str, str]:
        raw = _homework(student, "My report, with pictures.")
        progress = _Progress(sum(map(len, files.values())))
        answer = await browser.post(
            "/spark/webhook/submission",
            data={"metadata": raw.decode()},
            files=[("file", (name, progress.watch(content))) for name, content in files.items()],
            headers={"X-Spark-Signature": sign(self._webhook_secret, raw)},
        )
        body = _expect(answer, 200).json()
        return f"revision {body['revision']}, {len(body['files'])} files", body["completion_id"]

    async def _read(
        self, browser: httpx.AsyncClient, completion_id: str
    ) -> tuple[str, list[dict[str, Any]]]:
        body = await self._ask(browser, f"completions/{completion_id}")
        return f"{len(body['blocks'])} blocks, {body['xp_awarded']} XP", body["files"]

    async def _download(
        self, browser: httpx.AsyncClient, links: list[dict[str, Any]], files: dict[str, bytes]
    ) -> tuple[str, None]:
        for link, (name, content) in zip(links, files.items(), strict=True):
            got = _expect(await browser.get(link["url"]), 200).content
            if hashlib.sha256(got).digest() != hashlib.sha256(content).digest():
                raise DemoFailedError(f"{name} came back with other bytes")
        return f"{len(links)} files, SHA-256 equal", None

    async def _choose(
        self, browser: httpx.AsyncClient, student: str, return_url: str
    ) -> tuple[str, None]:
        """As the teacher's browser does, and then the student."""
        draft = f"draft_{secrets.token_hex(4)}"
        token = deep_link_token(self._sso_secret, draft, return_url, now=utc_now())
        page = _expect(await browser.get(DEEP_LINK, params={"token": token}), 200).text
        [choice] = re.findall(rf'value="(\S+)">\s*<span><b>{CHOSEN}<', page)
        form = {"request": _hidden(page, "request"), "act": "choose", "choice": choice}
        answer = _expect(await browser.post(DEEP_LINK, data=form), 200).text
        told = await browser.post(return_url, data={"token": _hidden(answer, "token")})
        _expect(told, 200)
        body = await self._submit(browser, student, "A wind rose.", spark_assignment_id=draft)
        if body["quest_id"] != choice.partition(":")[0]:
            raise DemoFailedError("the homework landed elsewhere")
        return f"{CHOSEN}; homework is there, {body['xp_awarded']} XP", None

    async def _hand_in_url(
        self, browser: httpx.AsyncClient, student: str, url: str
    ) -> tuple[str, str]:
        files = [{"url": url}]
        sent = await self._submit(browser, student, "My table.", submission_files=files)

        async def shown() -> list[dict[str, Any]]:
            body = await self._ask(browser, f"completions/{sent['completion_id']}")
            contents = [block["content"] for block in body["blocks"]]
            return [content for content in contents if "filename" in content]

        [file] = await _wait_for(shown)
        return f"{file['filename']} fetched and shown, {file['file_size']} bytes", sent["task_id"]

    async def _grade(
        self, browser: httpx.AsyncClient, user_id: str, task_id: str
    ) -> tuple[str, None]:
        grade = {"user_id": user_id, "task_id": task_id, "score": SCORE}
        given = _expect(
            await browser.post(f"{INTERNAL}/grades", json=grade, headers=self._key), 202
        )

        async def delivered() -> bool:
            found = await self._ask(browser, f"grades/{given.json()['id']}")
            if found["state"] == "dead":
                raise DemoFailedError(f"Spark does not take it: {found['code']}")
            return bool(found["state"] == "delivered")

        await _wait_for(delivered)
        return f"{SCORE:g} of 100, delivered", None

    async def _ask(self, browser: httpx.AsyncClient, path: str) -> dict[str, Any]:
        answer = await browser.get(f"{INTERNAL}/{path}", headers=self._key)
        body: dict[str, Any] = _expect(answer, 200).json()
        return body

    def table(self) -> str:
        rows = [f"  {step.name:<22}{step.outcome:<50}{step.seconds:>7.2f} s" for step in self.steps]
        return "\n".join(rows)


def _homework(student: str, text: str, **more: Any) -> bytes:
    own = {"spark_course_id": COURSE_ID, "spark_assignment_id": "rain"}
    return submission(student, text, now=utc_now(), **own | more)


def _hidden(page: str, name: str) -> str:
    [value] = set(re.findall(rf'name="{name}" value="([^"]+)"', page))
    return str(value)


def _expect(answer: httpx.Response, status: int) -> httpx.Response:
    if answer.status_code != status:
        raise DemoFailedError(f"{answer.status_code} instead of {status}: {answer.text[:300]}")
    return answer


async def _wait_for(look: Callable[[], Awaitable[T]]) -> T:
    """What the worker brings about."""
    try:
        async with asyncio.timeout(WORKER_SECONDS):
            while not (found := await look()):  # noqa: ASYNC110 - elsewhere
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise DemoFailedError(f"not done after {WORKER_SECONDS} s") from None
    return found


class _Progress:
    """A line on standard error that follows how much of the files was sent."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._sent_bytes = 0

    def watch(self, content: bytes) -> "_WatchedFile":
        return _WatchedFile(content, self)

    def add(self, size: int) -> None:
        self._sent_bytes += size
        if sys.stderr.isatty():
            share = self._sent_bytes / self._total_bytes
            end = "\n" if share >= 1 else ""
            sys.stderr.write(f"\r  uploading {'#' * int(share * 30):<30} {share:4.0%}{end}")
            sys.stderr.flush()


class _WatchedFile(io.BytesIO):
    def __init__(self, content: bytes, progress: _Progress) -> None:
        super().__init__(content)
        self._progress = progress

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._progress.add(len(chunk))
        return chunk
