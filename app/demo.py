"""Plays one student's homework through a running service, over HTTP, and checks what comes back."""

import asyncio
import hashlib
import io
import secrets
import struct
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
from typing_extensions import override

from app.clock import utc_now
from app.play_spark import COURSE, launch_token, signed_course, signed_submission
from app.settings import Settings

T = TypeVar("T")

INTERNAL = "/internal/v1"
COURSE_ID, ASSIGNMENT_ID = str(COURSE["spark_course_id"]), "rain"
SCORE = 87.5
WORKER_SECONDS = 60  # for what is done afterwards
PICTURE_SIDE = 1100  # pixels of noise: about 3.5 MB of PNG


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
        raw, signature = signed_course(self._webhook_secret)
        headers = {"X-Spark-Signature": signature, "Content-Type": "application/json"}
        answer = await browser.post("/spark/webhook/course", content=raw, headers=headers)
        return f"{_expect(answer, 200).json()['task_count']} tasks", None

    async def _sign_in(self, browser: httpx.AsyncClient, student: str) -> tuple[str, str]:
        token = launch_token(self._sso_secret, student, now=utc_now(), courses=[COURSE_ID])
        answer = await browser.get("/spark/sso", params={"token": token})
        location = _expect(answer, 302).headers["location"]
        return "302 with a one-time code", parse_qs(urlsplit(location).query)["code"][0]

    async def _exchange(self, browser: httpx.AsyncClient, code: str) -> tuple[str, str]:
        answer = await browser.post("/spark/token", json={"code": code})
        user_id = _expect(answer, 200).json()["user_id"]
        return f"user {user_id}", user_id

    def _sign(self, student: str, text: str, **more: object) -> tuple[bytes, str]:
        return signed_submission(
            self._webhook_secret,
            student,
            text,
            now=utc_now(),
            course_id=COURSE_ID,
            assignment_id=ASSIGNMENT_ID,
            **more,
        )

    async def _submit(
        self, browser: httpx.AsyncClient, student: str, text: str, **more: object
    ) -> dict[str, Any]:
        raw, signature = self._sign(student, text, **more)
        headers = {"X-Spark-Signature": signature, "Content-Type": "application/json"}
        answer = await browser.post("/spark/webhook/submission", content=raw, headers=headers)
        body: dict[str, Any] = _expect(answer, 200).json()
        return body

    async def _hand_in_text(self, browser: httpx.AsyncClient, student: str) -> tuple[str, None]:
        body = await self._submit(browser, student, "Rain fell on four of seven days.")
        return f"revision {body['revision']}, {body['xp_awarded']} XP", None

    async def _hand_in_files(
        self, browser: httpx.AsyncClient, student: str, files: dict[str, bytes]
    ) -> tuple[str, str]:
        raw, signature = self._sign(student, "My report, with pictures.")
        progress = _Progress(sum(map(len, files.values())))
        answer = await browser.post(
            "/spark/webhook/submission",
            data={"metadata": raw.decode()},
            files=[("file", (name, progress.watch(content))) for name, content in files.items()],
            headers={"X-Spark-Signature": signature},
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


def sample_files() -> dict[str, bytes]:
    """A picture of some mebibytes, a PDF and a text, made anew each time."""
    return {
        "rain-gauge.png": _png(PICTURE_SIDE),
        "report.pdf": _pdf("A week of rain"),
        "notes.txt": "Regen: 4 von 7 Tagen, ça suffit.\n".encode() * 100,
    }


def _png(side: int) -> bytes:
    """Noise, so that it does not compress (PNG specification, sections 5 and 11)."""
    rows = b"".join(b"\0" + secrets.token_bytes(side * 3) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _pdf(title: str) -> bytes:
    """The smallest document a reader opens: catalogue, page tree, one page."""
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Title ({title}) >>",
    )
    body = "%PDF-1.4\n" + "".join(
        f"{number} 0 obj {content} endobj\n" for number, content in enumerate(objects, start=1)
    )
    trailer = f"trailer << /Root 1 0 R /Size {len(objects) + 1} >>\n%%EOF\n"
    return (body + trailer).encode()
