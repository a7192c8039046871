"""Spark's side of what we send: its API, its gradebook, its files; and who is told of alerts. A
server for a process of its own, which tests/support/fake_spark.py starts and asks.

It is stricter than Spark need be: it refuses what lacks anything that we always send.
"""

import asyncio
import base64
import hashlib
import json
import os
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import trustme
import uvicorn
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tests.support.broken_answers import Connections, Fault, play, serve_case

MINUTE = 60
Act = Callable[[Request, bytes], Response]
Effect = Callable[[bytes], tuple[int, dict[str, Any]]]
_SERVERS: set[asyncio.Task[None]] = set()


class Grade(BaseModel):
    """The body of `POST /grades`: one with a score, or only how far the student is."""

    model_config = ConfigDict(extra="ignore", strict=True)

    spark_user_id: str
    spark_assignment_id: str
    spark_course_id: str | None = None
    score: float | None = None
    max_score: float | None = None
    scored_at: AwareDatetime
    grading_progress: str

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.score is None) != (self.max_score is None):
            raise ValueError("score and max_score come together")
        return self


class Receipt(BaseModel):
    """The body of `POST /receipts`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    submission_id: str | None
    spark_user_id: str
    spark_assignment_id: str
    state: str


class Refusal(Exception):  # noqa: N818 - an answer
    """What Spark answers instead, with its code."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        super().__init__(code)
        self.answer = JSONResponse({"error": code, "code": code}, status, headers)


class SparkApi:
    """Everything that it knows; `settings` are changed by `PATCH /_control/settings`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings: dict[str, Any] = {"per_minute": 100, "unknown_students": []} | settings
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.files: dict[str, bytes] = {}
        self.forget()

    def forget(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.gradebook: dict[str, dict[str, Any]] = {}
        self.effects: list[dict[str, Any]] = []
        self.receipts: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self._answered: dict[str, tuple[bytes, int, dict[str, Any]]] = {}
        self._times: deque[float] = deque()

    async def answer(self, request: Request, act: Act) -> Response:
        """Keeps the request, and lets the next fault of its path have it."""
        kept = _head(request)
        self.requests.append(kept)
        faults = self.faults[request.url.path]
        fault = faults.popleft() if faults else None
        if fault and fault.get("act") == "hang unread":
            await asyncio.Event().wait()
        body = await request.body()
        kept["body"] = base64.b64encode(body).decode()
        if fault and not fault.get("stored"):
            return play(fault, request.url.path)
        try:
            answer = act(request, body)
        except Refusal as refusal:
            answer = refusal.answer
        return play(fault, request.url.path) if fault else answer

    def grades(self, request: Request, body: bytes) -> Response:
        return self._once(request, body, self._note_grade)

    def keep_receipt(self, request: Request, body: bytes) -> Response:
        return self._once(request, body, self._note_receipt)

    def keep_alert(self, request: Request, body: bytes) -> Response:
        """Each, also one that came before."""
        if secret := self.settings.get("alert_secret"):
            _verify(secret, request, body)
        self.alerts.append(json.loads(body))
        return JSONResponse({"ok": True})

    def slack(self, _: Request, body: bytes) -> Response:
        if json.loads(body).keys() != {"text"}:
            return Response("invalid_payload", 400)
        self.alerts.append(json.loads(body))
        return Response("ok")

    def chosen(self, *_: object) -> Response:
        """Where a teacher's browser comes back with an answer."""
        return HTMLResponse("<!doctype html><title>Spark</title><link rel=icon href=data:,>Back.")

    def ping(self, request: Request, body: bytes) -> Response:
        self._admit(request, body)
        return JSONResponse({"ok": True})

    def _admit(self, request: Request, body: bytes) -> None:
        now = time.monotonic()
        while self._times and self._times[0] <= now - MINUTE:
            self._times.popleft()
        if len(self._times) >= self.settings["per_minute"]:
            seconds = int(self._times[0] + MINUTE - now) + 1
            raise Refusal(429, "rate_limited", **{"Retry-After": str(seconds)})
        self._times.append(now)
        if request.headers.get("authorization") != f"Bearer {self.settings['api_key']}":
            raise Refusal(401, "key_invalid")
        if secret := self.settings.get("outbound_secret"):
            _verify(secret, request, body)

    def _once(self, request: Request, body: bytes, effect: Effect) -> Response:
        """A repetition gets the first answer, whatever has happened since."""
        self._admit(request, body)
        key = request.headers.get("idempotency-key")
        if not key:
            raise Refusal(400, "idempotency_key_missing")
        digest = hashlib.sha256(request.url.path.encode() + body).digest()
        if key not in self._answered:
            self._answered[key] = (digest, *effect(body))
        before, status, answer = self._answered[key]
        if before != digest:
            raise Refusal(422, "idempotency_key_reused")
        return JSONResponse(answer, status)

    def _note_grade(self, body: bytes) -> tuple[int, dict[str, Any]]:
        grade = _read(Grade, body)
        self._know(grade.spark_user_id)
        place = (grade.spark_user_id, grade.spark_course_id or "", grade.spark_assignment_id)
        written = json.loads(body)
        if grade.score is not None:
            held = self.gradebook.get(name := json.dumps(place))
            if held and grade.scored_at < datetime.fromisoformat(held["scored_at"]):
                return 409, {"error": "newer_score", "code": "newer_score"}
            self.gradebook[name] = written
        self.effects.append(written)
        return 200, {"ok": True}

    def _note_receipt(self, body: bytes) -> tuple[int, dict[str, Any]]:
        self._know(_read(Receipt, body).spark_user_id)
        self.receipts.append(json.loads(body))
        return 200, {"ok": True}

    def _know(self, student: str) -> None:
        if student in self.settings["unknown_students"]:
            raise Refusal(404, "student_unknown")

    def file(self, request: Request, _: bytes) -> Response:
        name = request.path_params.get("name")
        if name is None:
            return serve_case(request)
        return Response(self.files[name]) if name in self.files else Response("no", 404)

    async def control(self, request: Request) -> Response:
        """Not kept, and not limited."""
        match request.method, request.path_params["what"]:
            case "GET", "state":
                names = ("requests", "gradebook", "effects", "receipts", "alerts", "settings")
                return JSONResponse({name: getattr(self, name) for name in names})
            case "DELETE", "state":
                self.forget()
                self.faults.clear()
            case "POST", "faults":
                asked = await request.json()
                self.faults[asked["path"]].extend(asked["faults"])
            case "PATCH", "settings":
                self.settings |= await request.json()
            case "PUT", name:
                self.files[name] = await request.body()
            case _:
                return Response("no such control", 404)
        return Response(status_code=204)


def _head(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.url.path,
        "query": request.url.query,
        "headers": {name: request.headers.getlist(name) for name in request.headers},
        "body": None,  # until it is read
        "at": datetime.now(UTC).isoformat(),
    }


def _verify(secret: str, request: Request, body: bytes) -> None:
    try:
        Webhook(secret.encode()).verify(body, dict(request.headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        raise Refusal(401, "signature_invalid") from None


def _read(model: type[BaseModel], body: bytes) -> Any:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        fields = sorted({str(place) for each in error.errors() for place in each["loc"][:1]})
        raise Refusal(400, f"body_invalid: {', '.join(fields)}") from None


def make_application(api: SparkApi) -> Starlette:
    def route(path: str, act: Act, method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            return await api.answer(request, act)

        return Route(path, endpoint, methods=[method])

    return Starlette(
        routes=[
            route("/grades", api.grades, "POST"),
            route("/receipts", api.keep_receipt, "POST"),
            route("/alerts", api.keep_alert, "POST"),
            route("/services/T0/B0/xyz", api.slack, "POST"),
            route("/chosen", api.chosen, "GET"),
            route("/chosen", api.chosen, "POST"),
            route("/ping", api.ping, "GET"),
            route("/files/{case}/{number:int}", api.file, "GET"),
            route("/files/{name}", api.file, "GET"),
            Route(
                "/_control/{what}", api.control, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]
            ),
        ]
    )


async def _serve(folder: Path) -> None:
    """By HTTP, and by HTTPS with a certificate for `localhost`, until standard input ends."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = folder / "localhost.pem"
    made = authority.issue_cert("localhost")
    made.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    names = ("api_key", "outbound_secret")
    api = SparkApi({name: os.environ.get(f"SPARK_{name.upper()}") for name in names})
    ports = [
        await _listen(make_application(api)),
        await _listen(make_application(api), ssl_certfile=str(certificate)),
    ]
    sys.stdout.write(f"{json.dumps(ports)}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # whatever hangs


async def _listen(application: Starlette, **tls: Any) -> int:
    """On loopback; the port."""
    server = uvicorn.Server(
        uvicorn.Config(
            application, host="127.0.0.1", port=0, http=Connections, log_level="critical", **tls
        )
    )
    _SERVERS.add(asyncio.create_task(server._serve()))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
