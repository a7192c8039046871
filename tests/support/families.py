"""A student with something in every table, and what must not be found any more afterwards."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
from pydantic import SecretStr

from app.api.dependencies import Resources
from app.clock import utc_now
from app.main import open_resources
from app.privacy.erase import ErasureOrder, erase_student
from app.settings import Settings
from tests.support.bodies import Part
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.evidence import Desk, as_read, text
from tests.support.homework import note
from tests.support.killed import run_apart
from tests.support.roster import Course, entry, roster, send, sync_course
from tests.support.samples import pdf, png
from tests.support.spark import SignedIn, Spark, encoded, submission
from tests.support.stores import Stores

IMPORTS = "/internal/v1/roster/imports"
STUDENTS = "/internal/v1/students"


@dataclass(frozen=True)
class Child:
    """A student, the files by name, and the words that tell of nobody else."""

    student: SignedIn
    files: dict[str, bytes]
    words: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)  # those that only a message nobody could read has
    task_id: str = ""
    submission_id: str = ""

    @property
    def user_id(self) -> str:
        return self.student.user_id

    @property
    def spark_user_id(self) -> str:
        return self.student.spark_user_id


@dataclass(frozen=True)
class Family:
    """A service with stores of its own, its main app, and a course."""

    elsewhere: Elsewhere
    stores: Stores
    settings: Settings
    course: Course

    @property
    def spark(self) -> Spark:
        return self.elsewhere.spark

    @property
    def client(self) -> httpx.AsyncClient:
        return self.spark.browser

    @property
    def resources(self) -> Resources:
        opened: Resources = self.elsewhere.running.app.state.resources
        return opened

    @property
    def main_app(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.settings.internal_api_keys[0].get_secret_value()}"}

    async def erase(self, child: Child) -> httpx.Response:
        return await self.client.delete(f"{STUDENTS}/{child.user_id}", headers=self.main_app)

    async def erased(self, child: Child) -> dict[str, Any]:
        answer = await self.erase(child)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert body["completed_at"], body
        return body

    async def raise_child(self) -> Child:
        """Text, a revision with files, refusals, rosters, an edit, and something read of it all."""
        email, given, family = (secrets.token_hex(8) for _ in range(3))
        student = await self.spark.sign_in(
            email=f"{email}@example.com", given_name=given, family_name=family
        )
        texts = [f"Rain fell. {secrets.token_hex(8)}" for _ in range(4)]
        files = {f"{secrets.token_hex(6)}.png": png(), f"{secrets.token_hex(6)}.pdf": pdf()}
        words = {email, given, family, student.user_id, student.spark_user_id, *texts, *files}
        works = [
            submission(student, self.course.assignment, submission_text=text) for text in texts
        ]
        assert (await self.spark.submit(works[0])).status_code == 200
        assert (await self.spark.submit(works[0])).json()["duplicate"]
        parts = [
            Part("file", content, filename=name, content_type="application/octet-stream")
            for name, content in files.items()
        ]
        answer = (await self.spark.submit_form(works[1], *parts)).json()
        known = answer["task_id"], answer["submission_id"]
        child = Child(student, files, words, {texts[3]}, *known)
        refused = works[2] | {"spark_assignment_id": "nothing", "spark_course_id": None}
        assert (await self.spark.submit(refused)).status_code == 400
        assert (await self.spark.submit(encoded(works[3])[:-1])).status_code == 400
        await self._enlist(child, f"{email}@example.com", given, family)
        return child

    async def _enlist(self, child: Child, email: str, given: str, family: str) -> None:
        listed = entry(child.spark_user_id, email=email, given_name=given, family_name=family)
        assert (await send(self.spark, roster(self.course, listed))).status_code == 200
        await self.import_row(child, email, given, family, apply="true")

    async def import_row(
        self, child: Child, *columns: str, apply: Literal["true", "false"]
    ) -> dict[str, Any]:
        """The report on a roster file of this student alone."""
        row = ",".join((child.spark_user_id, *columns, "student"))
        answer = await self.client.post(
            IMPORTS,
            content=f"sourcedId,email,givenName,familyName,role\n{row}\n".encode(),
            headers=self.main_app | {"Content-Type": "text/csv"},
            params={"apply": apply},
        )
        assert answer.status_code == 200, answer.text
        report: dict[str, Any] = answer.json()
        return report

    async def hand_in(self, child: Child, delay: float, *, files: int) -> int | None:
        """The status of an answer to new homework after so many seconds."""
        work = submission(child.student, self.course.assignment)
        child.words.add(work["submission_text"])
        parts = [note(3000) for _ in range(files)]
        child.words.update(str(part.filename) for part in parts)
        await asyncio.sleep(delay)
        if files:
            return (await self.spark.submit_form(work, *parts)).status_code
        return (await self.spark.submit(work)).status_code

    @asynccontextmanager
    async def with_another_key(self) -> AsyncIterator["Family"]:
        """The same with another JWT_SECRET_KEY, and none before it."""
        key = SecretStr(secrets.token_hex(32))
        async with self._changed(jwt_secret_key=key) as changed:
            yield changed

    @asynccontextmanager
    async def with_short_leases(self) -> AsyncIterator["Family"]:
        """The same, where what nobody renews is over after a second."""
        async with self._changed(upload_lease_seconds=1, delivery_lease_seconds=1) as changed:
            yield changed

    @asynccontextmanager
    async def without_store(self) -> AsyncIterator["Family"]:
        """The same, where nobody answers as the store."""
        async with self._changed(s3_endpoint_url="http://127.0.0.1:9") as changed:
            yield changed

    @asynccontextmanager
    async def beside_main_app(self, supabase_url: str) -> AsyncIterator["Family"]:
        """The same, where the main app's editor writes blocks, too."""
        async with self._changed(supabase_url=supabase_url) as changed:
            yield changed

    @asynccontextmanager
    async def _changed(self, **changes: object) -> AsyncIterator["Family"]:
        async with run_elsewhere(self.settings, **changes) as elsewhere:
            yield replace(self, elsewhere=elsewhere)

    async def erase_elsewhere(self, child: Child, *, kill_before: int | None = None) -> int | None:
        """How many statements it takes another process; None if it was killed before one."""
        moments = await run_apart(
            lambda: _erase(self.settings, child.user_id), "statement", kill_at=kill_before
        )
        return len(moments) if moments else None

    def desk(self, child: Child) -> Desk:
        return Desk(self.client, self.main_app, child.task_id, {"user_id": child.user_id})

    async def add_file(self, child: Child, content: bytes, name: str) -> httpx.Response:
        """To the evidence, as an editor does it."""
        desk = self.desk(child)
        read = await desk.ask("GET", desk.path)
        if read.status_code != 200:
            return read
        kept = [as_read(block) for block in read.json()["blocks"]]
        saved = await desk.save(*kept, {"type": "document", "content": {}})
        if saved.status_code != 200:
            return saved
        part = Part("file", content, filename=name, content_type="text/plain")
        return await desk.upload(saved.json()["blocks"][-1]["id"], part)

    async def edit(self, child: Child, delay: float, *, how: str) -> int:
        """The status of an answer to another use of the evidence after so many seconds."""
        name = f"{secrets.token_hex(8)}.txt"
        child.words.add(name)
        submission_path = f"/internal/v1/submissions/{child.submission_id}"
        desk = self.desk(child)
        await asyncio.sleep(delay)
        if how == "save":
            answer = await desk.save(text(name))
        elif how == "upload":
            answer = await self.add_file(child, b"my own notes", name)
        elif how == "restore":
            answer = await desk.ask("POST", f"{submission_path}/revisions/1/restore")
        else:
            answer = await desk.ask("GET", submission_path)
        return answer.status_code

    async def traces(self, children: Iterable[Child]) -> list[str]:
        """Where in the database or the bucket there is still a word of theirs."""
        words = {word for child in children for word in child.words}
        needles = {word: word for word in words}
        needles |= {word.encode().hex(): word for word in words}  # as bytes are printed
        needles |= {word.replace("-", ""): word for word in words}
        found = []
        for place, lines in (await dump(self.stores)).items():
            found += [f"{place}: {needles[needle]}" for needle in needles if needle in lines]
        return found


async def _erase(settings: Settings, user_id: str) -> None:
    async with open_resources(settings) as opened:
        order = ErasureOrder(uuid4(), UUID(user_id), "test", utc_now())
        tombstones = opened.account_rules.tombstones
        await erase_student(opened.sessions, opened.bucket, tombstones, order)


async def dump(stores: Stores) -> dict[str, str]:
    """Every table as text, and the keys of the bucket."""
    tables = await stores.execute(
        "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables"
        " WHERE table_schema IN ('auth', 'public', 'spark')"
    )
    lines = await stores.execute(
        " UNION ALL ".join(
            f"SELECT '{table['name']}' AS place, t::text AS line FROM {table['name']} t"  # noqa: S608
            for table in tables
        )
    )
    texts = {table["name"]: "" for table in tables}
    for row in lines:
        texts[row["place"]] += row["line"] + "\n"
    keys = await asyncio.to_thread(stores.object_keys)
    unfinished: Sequence[Any] = await asyncio.to_thread(stores.unfinished_uploads)
    return texts | {"bucket": "\n".join([*keys, *(each["Key"] for each in unfinished)])}


@asynccontextmanager
async def run_family(settings: Settings, stores: Stores) -> AsyncIterator[Family]:
    """A service on these stores."""
    own = stores.given_to(settings)
    async with run_elsewhere(own) as elsewhere:
        yield Family(elsewhere, stores, own, await sync_course(elsewhere.spark))
