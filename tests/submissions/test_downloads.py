"""Files by URL: recorded at once, fetched afterwards, shown in order, whatever happens between."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter
from pydantic.networks import IPvAnyNetwork
from sqlalchemy import delete, func, select, text, update

from app.database import Sessions
from app.files.order_pictures import PICTURE
from app.jobs.lease import claim, free_lapsed
from app.models import Download, InboxDelivery, Job, JobTarget
from app.settings import Settings
from app.submissions.order_downloads import DOWNLOAD
from tests.conftest import create_assignment
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.fake_spark import FakeSpark, run_fake_spark
from tests.support.heic import heic
from tests.support.homework import note
from tests.support.metrics import scrape
from tests.support.patience import patient
from tests.support.pictures import CLEAN_JPEG, PHONE_JPEG
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, submission
from tests.support.stored import assert_only_committed, blocks_of, read_object, uploads_of
from tests.support.work import do_jobs, forget_jobs

LOOPBACK = TypeAdapter(IPvAnyNetwork).validate_python("127.0.0.0/8")


@pytest.fixture(scope="module")
async def fake_spark() -> AsyncIterator[FakeSpark]:
    async with run_fake_spark() as running:
        await running.change(per_minute=100_000)
        yield running


@pytest.fixture(scope="module")
async def service(settings: Settings, fake_spark: FakeSpark) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(
        settings,
        spark_storage_domains=(fake_spark.files_url.removeprefix("https://"),),
        spark_storage_networks=(LOOPBACK,),
        spark_storage_ca_file=str(fake_spark.ca_file),
        download_seconds=patient(3),
        max_file_bytes=1_000_000,
    ) as elsewhere:
        yield elsewhere


@dataclass(frozen=True)
class Fetching:
    """Homework with files by URL, and the worker that fetches them."""

    service: Elsewhere
    fake: FakeSpark
    sessions: Sessions
    student: SignedIn
    assignment: Assignment
    main_app: dict[str, str]

    async def serve(self, content: bytes | None = None) -> dict[str, Any]:
        """A text file, as an item of `submission_files`."""
        name = f"{secrets.token_hex(4)}.txt"
        content = content or f"Rain in {name}".encode()
        return {"url": f"{await self.fake.serve_file(name, content)}?signature=one"}

    async def send(self, *files: Any, **changes: Any) -> Any:
        payload = submission(self.student, self.assignment, submission_files=[*files], **changes)
        return await self.service.spark.submit(payload)

    async def hand_in(self, *files: Any, **changes: Any) -> dict[str, Any]:
        answer = await self.send(*files, **changes)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def work_off(self) -> int:
        return await do_jobs(self.service.running.app.state.resources, DOWNLOAD)

    async def make_jpeg(self) -> None:
        await do_jobs(self.service.running.app.state.resources, PICTURE)

    async def come_due(self) -> None:
        async with self.sessions() as session, session.begin():
            await session.execute(update(Job).where(Job.kind == DOWNLOAD).values(run_at=func.now()))
            await session.execute(delete(JobTarget))

    async def downloads(self, submission_id: str) -> list[Any]:
        asked = select(Download).where(Download.submission_id == submission_id)
        async with self.sessions() as session, session.begin():
            return list((await session.execute(asked.order_by(Download.position))).all())

    async def kept_links(self) -> int:
        """Texts in the inbox that name one."""
        named = func.strpos(func.encode(InboxDelivery.message, "escape"), "signature=") > 0
        asked = select(func.count()).where(
            InboxDelivery.spark_user_id == self.student.spark_user_id, named
        )
        async with self.sessions() as session, session.begin():
            return int((await session.execute(asked)).scalar_one())

    async def shown(self) -> list[tuple[str, str]]:
        """Each block of the evidence, in order: its type and its text or file name."""
        return [
            (block.block_type, block.content.get("text") or block.content["filename"])
            for block in await blocks_of(self.sessions, self.student.user_id)
        ]

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        client = self.service.spark.browser
        return await client.request(method, f"/internal/v1/{path}", headers=self.main_app, **more)


@pytest.fixture
async def fetching(
    service: Elsewhere, fake_spark: FakeSpark, sessions: Sessions, main_app: dict[str, str]
) -> Fetching:
    await fake_spark.forget()
    await forget_jobs(sessions)
    student = await service.spark.sign_in()
    assignment = await create_assignment(sessions)
    return Fetching(service, fake_spark, sessions, student, assignment, main_app)


async def test_homework_is_recorded_at_once_and_its_files_come_afterwards(
    fetching: Fetching,
) -> None:
    one, two = await fetching.serve(b"The first."), await fetching.serve(b"The second.")
    body = await fetching.hand_in(one | {"filename": "first.txt"}, two)
    assert (body["xp_awarded"], [file["state"] for file in body["files"]]) == (100, ["pending"] * 2)
    assert (body["files"][0]["name"], body["files"][0]["sha256"]) == ("first.txt", None)
    assert len(await fetching.shown()) == 1
    assert await fetching.work_off() == 2
    assert [kind for kind, _ in await fetching.shown()] == ["text", "document", "document"]
    assert (await fetching.shown())[1][1] == "first.txt"
    uploads = await uploads_of(fetching.sessions, fetching.student.user_id)
    assert [upload.sha256 for upload in uploads] == [
        hashlib.sha256(content).digest() for content in (b"The first.", b"The second.")
    ]
    for download in await fetching.downloads(body["submission_id"]):
        assert (download.state, download.url, download.code) == ("stored", None, None)


async def test_a_picture_is_stored_without_its_place_and_compared_as_it_was_sent(
    fetching: Fetching, settings: Settings
) -> None:
    digest = hashlib.sha256(PHONE_JPEG).hexdigest()
    signed = {"sha256": digest, "size": len(PHONE_JPEG)}
    await fetching.hand_in(await fetching.serve(PHONE_JPEG) | signed)
    assert await fetching.work_off() == 1
    [upload] = await uploads_of(fetching.sessions, fetching.student.user_id)
    assert (upload.sha256.hex(), upload.location) == (digest, "removed")
    assert await read_object(settings, upload.object_key) == CLEAN_JPEG


async def test_heic_that_was_fetched_becomes_jpeg(fetching: Fetching) -> None:
    await fetching.hand_in(await fetching.serve(heic()) | {"filename": "gauge.heic"})
    assert await fetching.work_off() == 1
    await fetching.make_jpeg()
    assert (await fetching.shown())[1] == ("image", "gauge.jpg")


async def test_files_stand_in_the_messages_order_whichever_comes_first(fetching: Fetching) -> None:
    files = [await fetching.serve() | {"filename": f"{number}.txt"} for number in range(3)]
    await fetching.fake.script(path_of(files[0]), {"status": 503})
    await fetching.hand_in(*files)
    await fetching.work_off()
    assert [name for _, name in (await fetching.shown())[1:]] == ["1.txt", "2.txt"]
    await fetching.come_due()
    await fetching.work_off()
    assert [name for _, name in (await fetching.shown())[1:]] == ["0.txt", "1.txt", "2.txt"]


def path_of(file: dict[str, Any]) -> str:
    return "/" + str(file["url"]).split("/", 3)[3].partition("?")[0]


async def test_homework_may_be_files_by_url_alone(fetching: Fetching) -> None:
    body = await fetching.hand_in(await fetching.serve(), submission_text=...)
    assert body["xp_awarded"] == 100
    await fetching.work_off()
    assert [kind for kind, _ in await fetching.shown()] == ["document"]


async def test_the_same_message_again_is_a_duplicate_and_fetches_nothing_twice(
    fetching: Fetching,
) -> None:
    file = await fetching.serve()
    text = f"Again. {secrets.token_hex(4)}"
    first = await fetching.hand_in(file, submission_text=text)
    await fetching.work_off()
    signed_anew = {"url": file["url"].replace("one", "two")}
    again = await fetching.hand_in(signed_anew, submission_text=text)
    assert (again["duplicate"], again["submission_id"]) == (True, first["submission_id"])
    assert await fetching.work_off() == 0


async def assert_nothing_is_left(fetching: Fetching) -> None:
    settings, user_id = fetching.service.running.settings, fetching.student.user_id
    await assert_only_committed(settings, fetching.sessions, user_id)
    assert await uploads_of(fetching.sessions, user_id) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410, 302])
async def test_a_link_that_has_expired_is_mended_by_sending_again(
    fetching: Fetching, status: int
) -> None:
    file = await fetching.serve()
    text = f"Expired. {secrets.token_hex(4)}"
    await fetching.fake.script(path_of(file), {"status": status})
    body = await fetching.hand_in(file, submission_text=text)
    await fetching.work_off()
    [download] = await fetching.downloads(body["submission_id"])
    assert (download.state, download.url, download.code) == ("dead", None, f"status_{status}")
    listed = await fetching.ask("GET", "downloads", params={"submission_id": body["submission_id"]})
    [item] = listed.json()["items"]
    assert (item["state"], item["code"]) == ("dead", f"status_{status}")
    assert "url" not in item
    signed_anew = {"url": file["url"].replace("one", "two")}
    again = await fetching.hand_in(signed_anew, submission_text=text)
    assert again["duplicate"] is True
    assert await fetching.work_off() == 1
    assert [kind for kind, _ in await fetching.shown()] == ["text", "document"]


async def test_links_that_were_fetched_or_given_up_are_kept_nowhere(fetching: Fetching) -> None:
    """Each text that names one goes with the last file, also one that came when all was there."""
    file, gone = await fetching.serve(), await fetching.serve()
    await fetching.fake.script(path_of(gone), {"status": 404})
    text = f"Gone. {secrets.token_hex(4)}"
    await fetching.hand_in(file, gone, submission_text=text)
    assert await fetching.kept_links() == 1
    await fetching.work_off()
    assert await fetching.kept_links() == 0
    for links_in_between, signature in ((1, "two"), (0, "three")):
        signed_anew = [{"url": each["url"].replace("one", signature)} for each in (file, gone)]
        await fetching.hand_in(*signed_anew, submission_text=text)
        assert await fetching.kept_links() == links_in_between
        await fetching.work_off()
        assert await fetching.kept_links() == 0


async def test_an_operator_names_another_link(fetching: Fetching) -> None:
    file = await fetching.serve()
    await fetching.fake.script(path_of(file), {"status": 403})
    body = await fetching.hand_in(file)
    await fetching.work_off()
    [download] = await fetching.downloads(body["submission_id"])
    retry = f"downloads/{download.id}/retry"
    assert_problem(await fetching.ask("POST", retry, json={}), 409, "job_not_dead")
    elsewhere = {"url": "https://elsewhere.example/x"}
    assert_problem(await fetching.ask("POST", retry, json=elsewhere), 400, "url_not_allowed")
    assert (await fetching.ask("POST", retry, json=file)).status_code == 204
    await fetching.work_off()
    assert len(await fetching.shown()) == 2
    assert_problem(await fetching.ask("POST", retry, json=file), 409, "job_not_dead")


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("status/500", "status_500"),
        ("status/429?Retry-After=1", "status_429"),
        ("cut/1000", "cut_short"),
        ("drip/1000", "timeout"),
    ],
)
async def test_what_may_pass_is_tried_again(fetching: Fetching, case: str, code: str) -> None:
    body = await fetching.hand_in({"url": f"{fetching.fake.files_url}/files/{case}"})
    await fetching.work_off()
    [download] = await fetching.downloads(body["submission_id"])
    assert (download.state, download.code) == ("pending", code)
    await assert_nothing_is_left(fetching)


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("redirect/0", "status_302"),
        ("gzip/100", "encoded"),
        ("no-length/100", "no_length"),
        ("too-big/100", "too_large"),
        ("ok/1000001", "too_large"),
    ],
)
async def test_what_will_never_be_taken_is_dead_at_once(
    fetching: Fetching, case: str, code: str
) -> None:
    body = await fetching.hand_in({"url": f"{fetching.fake.files_url}/files/{case}"})
    await fetching.work_off()
    [download] = await fetching.downloads(body["submission_id"])
    assert (download.state, download.code, download.url) == ("dead", code, None)
    await assert_nothing_is_left(fetching)


@pytest.mark.parametrize("declared", [{"sha256": "0" * 64}, {"size": 3}], ids=["digest", "size"])
async def test_other_bytes_than_were_signed_are_not_kept(
    fetching: Fetching, declared: dict[str, Any]
) -> None:
    body = await fetching.hand_in(await fetching.serve() | declared)
    await fetching.work_off()
    [download] = await fetching.downloads(body["submission_id"])
    assert (download.state, download.code) == ("dead", "file_digest_mismatch")


async def test_a_type_that_is_not_taken_is_dead(fetching: Fetching) -> None:
    body = await fetching.hand_in(await fetching.serve(b"MZ\x90\x00" + bytes(2000)))
    await fetching.work_off()
    [download] = await fetching.downloads(body["submission_id"])
    assert (download.state, download.code) == ("dead", "file_type_not_allowed")


# ---------------------------------------------------------------------------- refused at intake


@pytest.mark.parametrize(
    "url",
    [
        "http://{host}/x.txt",
        "https://elsewhere.example/x.txt",
        "https://{host}.evil.example/x.txt",
        "https://user@{host}/x.txt",
        "https://{host}/x.txt#part",
        "https://{host}/" + "x" * 2100,
    ],
)
async def test_an_address_that_was_not_agreed_on_changes_nothing(
    fetching: Fetching, url: str
) -> None:
    host = fetching.fake.files_url.removeprefix("https://")
    answer = await fetching.send({"url": url.format(host=host), "filename": "x.txt"})
    problem = assert_problem(answer, 400, "url_not_allowed")
    assert [each["file"] for each in problem["errors"]] == ["x.txt"]  # type: ignore[attr-defined]
    assert await fetching.shown() == []


async def test_files_by_url_beside_files_of_a_form_are_refused(fetching: Fetching) -> None:
    payload = submission(
        fetching.student, fetching.assignment, submission_files=[await fetching.serve()]
    )
    answer = await fetching.service.spark.submit_form(payload, note(100))
    assert_problem(answer, 400, "url_not_allowed")


# ---------------------------------------------------------------------------- meanwhile


async def test_of_a_revision_that_was_replaced_files_are_kept_and_not_shown(
    fetching: Fetching,
) -> None:
    body = await fetching.hand_in(await fetching.serve())
    await fetching.hand_in()
    await fetching.work_off()
    assert [kind for kind, _ in await fetching.shown()] == ["text"]
    [download] = await fetching.downloads(body["submission_id"])
    assert download.state == "stored"


async def test_a_worker_that_was_killed_leaves_a_file_to_the_next(fetching: Fetching) -> None:
    await fetching.hand_in(await fetching.serve())
    assert len(await claim(fetching.sessions, {DOWNLOAD: 1}, owner=uuid4())) == 1
    async with fetching.sessions() as session, session.begin():
        past = func.now() - text("interval '1 s'")
        await session.execute(update(Job).where(Job.kind == DOWNLOAD).values(lease_until=past))
    await free_lapsed(fetching.sessions)
    await fetching.work_off()
    assert len(await fetching.shown()) == 2


async def test_two_workers_fetch_each_file_once(fetching: Fetching) -> None:
    await fetching.hand_in(*[await fetching.serve() for _ in range(6)])
    await asyncio.gather(*(fetching.work_off() for _ in range(3)))
    assert len(await fetching.shown()) == 7
    assert len(await uploads_of(fetching.sessions, fetching.student.user_id)) == 6


async def test_nothing_is_fetched_of_who_was_erased(fetching: Fetching) -> None:
    file = await fetching.serve()
    await fetching.hand_in(file)
    erased = await fetching.ask("DELETE", f"students/{fetching.student.user_id}")
    assert erased.is_success
    await fetching.work_off()
    assert await fetching.fake.requests(path_of(file)) == []


async def test_downloads_count_by_outcome_row_7(fetching: Fetching) -> None:
    names = [f'spark_downloads_total{{code="{code}"}}' for code in ("stored", "status_404")]
    browser = fetching.service.spark.browser
    before = await scrape(browser, fetching.main_app)
    lost = {"url": f"{fetching.fake.files_url}/files/{secrets.token_hex(4)}"}
    await fetching.hand_in(await fetching.serve(), lost)
    await fetching.work_off()
    after = await scrape(browser, fetching.main_app)
    assert [after[name] - before.get(name, 0) for name in names] == [1, 1]
