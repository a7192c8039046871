"""The bucket and its rows are compared in both directions (SECURITY D12, promise 12).

The stores are this file's own, because everything in them is counted.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from uuid import uuid4

import httpx
import pytest
from typer.testing import Result

from app.database import create_engine
from app.files.reconcile import Report
from app.files.uploads import sweep_uploads
from app.learning.sample_course import ASSIGNMENT_ID, COURSE_ID
from app.settings import Settings
from app.storage.bucket import open_bucket
from tests.support.bodies import Part
from tests.support.checkout import wait_until
from tests.support.commands import invoke
from tests.support.compared import compare, compared, new_key
from tests.support.running import Running, run_app
from tests.support.samples import pdf, png
from tests.support.spark import Assignment, Spark, submission
from tests.support.stores import Stores, own_stores

MEBIBYTE = 1024 * 1024
FOREIGN = (
    "evidence-tasks/rain.jpg",
    "rain.jpg",
    f"{uuid4()}/rain.jpg",
    f"{uuid4()}/{uuid4()}",
    f"{uuid4()}/{'-' * 36}.pdf",
    f"{uuid4()}/{uuid4()}.pdf/{uuid4()}.pdf",
    f"{uuid4()}/{uuid4()}.pdf.bak",
    f"{uuid4()}-old/{uuid4()}.pdf",
    f"old/{uuid4()}/{uuid4()}.pdf",
    f"{uuid4()}/{uuid4()}.pdf".upper(),
)


@pytest.fixture(scope="module")
def own(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


@pytest.fixture
def stores(own: Stores) -> Iterator[Stores]:
    """Empty of uploads and files."""
    yield own
    own.empty_bucket()
    own.rows("DELETE FROM spark.uploads")


@pytest.fixture
def service(settings: Settings, stores: Stores) -> Settings:
    """The settings of a service on these stores."""
    return stores.given_to(settings)


@pytest.fixture
def run(service: Settings) -> Callable[..., Result]:
    """The command, for which all that is older than a second is no upload that still runs."""
    return partial(invoke, service.model_copy(update={"upload_lease_seconds": 1}), "reconcile")


def keep_row(stores: Stores, *object_keys: str, state: str) -> None:
    """As the service would have left it, its lease long over."""
    rows = ", ".join(f"('{key}')" for key in object_keys)
    stores.rows(
        "INSERT INTO spark.uploads (id, user_id, object_key, state, lease_until)"  # noqa: S608
        " SELECT gen_random_uuid(), split_part(key, '/', 1)::uuid, key,"
        f" '{state}', now() - interval '1 h' FROM (VALUES {rows}) AS given (key)"
    )


def upload_id(stores: Stores, object_key: str) -> str:
    found = stores.rows(f"SELECT id FROM spark.uploads WHERE object_key = '{object_key}'")  # noqa: S608 - a key of this file
    return str(found[0]["id"])


def test_what_belongs_together_is_no_finding(service: Settings, stores: Stores) -> None:
    for state in ("pending", "committed", "deleting"):
        key = new_key()
        stores.put(key, content=b"rain")
        keep_row(stores, key, state=state)
    keep_row(stores, new_key(), state="pending")
    keep_row(stores, new_key(), state="deleting")
    assert compare(service, delete=True) == (Report(objects=3, rows=1), [])
    assert len(stores.object_keys()) == 3


def test_an_orphan_is_told_by_default_and_removed_on_request(
    service: Settings, stores: Stores
) -> None:
    orphan, kept = new_key(), new_key()
    stores.put(orphan, kept, content=b"rain")
    keep_row(stores, kept, state="committed")
    assert compare(service) == (Report(objects=2, rows=1, orphans=1), [("orphan", orphan)])
    assert stores.object_keys() == {orphan, kept}
    assert compare(service, delete=True) == (
        Report(objects=2, rows=1, orphans=1, deleted=1),
        [("orphan", orphan)],
    )
    assert stores.object_keys() == {kept}
    assert compare(service, delete=True) == (Report(objects=1, rows=1), [])


def test_a_put_that_arrives_after_the_sweep_is_found(service: Settings, stores: Stores) -> None:
    late = new_key()
    keep_row(stores, late, state="pending")

    async def sweep() -> int:
        engine = create_engine(service)
        async with open_bucket(service) as bucket:
            removed = await sweep_uploads(engine.connect, bucket)
        await engine.dispose()
        return removed

    assert asyncio.run(sweep()) == 1
    stores.put(late, content=b"rain")
    stores.begin_upload(late)
    assert asyncio.run(sweep()) == 0
    report, findings = compare(service, delete=True)
    assert report == Report(objects=1, orphans=1, unfinished=1, deleted=2)
    assert findings == [("unfinished", late), ("orphan", late)]
    assert (stores.object_keys(), stores.unfinished_uploads()) == (set(), [])


def test_what_is_younger_than_a_lease_is_left_alone(service: Settings, stores: Stores) -> None:
    key = new_key()
    stores.put(key, content=b"rain")
    stores.begin_upload(new_key())
    lease = timedelta(seconds=service.upload_lease_seconds)
    assert compare(service, delete=True, lease=lease) == (Report(objects=1), [])
    assert stores.object_keys() == {key}
    assert len(stores.unfinished_uploads()) == 1


def test_what_the_main_app_keeps_in_the_bucket_is_never_touched(
    service: Settings, stores: Stores
) -> None:
    stores.put(*FOREIGN, content=b"rain")
    stores.begin_upload("evidence-tasks/snow.jpg")
    report, findings = compare(service, delete=True)
    assert report == Report(objects=len(FOREIGN), foreign=len(FOREIGN) + 1)
    assert findings == []
    assert stores.object_keys() == set(FOREIGN)
    assert len(stores.unfinished_uploads()) == 1


def test_a_missing_file_is_told_by_its_upload_and_its_row_stays(
    service: Settings, stores: Stores
) -> None:
    kept, gone = new_key(), [new_key(), new_key()]
    stores.put(kept, *FOREIGN, content=b"rain")
    keep_row(stores, kept, *gone, state="committed")
    report, findings = compare(service, delete=True)
    assert report == Report(objects=1 + len(FOREIGN), foreign=len(FOREIGN), rows=3, missing=2)
    assert findings == [("missing", upload_id(stores, key)) for key in sorted(gone)]
    assert stores.count("spark.uploads") == 3


def test_a_row_that_appears_after_the_listing_keeps_its_object(
    service: Settings, stores: Stores
) -> None:
    first, second = sorted((new_key(), new_key()))
    stores.put(first, second, content=b"rain")
    report, findings = compare(
        service, delete=True, when_told=partial(keep_row, stores, second, state="pending")
    )
    assert report == Report(objects=2, orphans=1, deleted=1)
    assert findings == [("orphan", first)]
    assert stores.object_keys() == {second}


def test_a_file_that_is_removed_after_the_listing_is_not_missing(
    service: Settings, stores: Stores
) -> None:
    first, second = sorted((new_key(), new_key()))
    keep_row(stores, first, second, state="committed")
    findings = [("missing", upload_id(stores, first))]
    erase = partial(stores.rows, f"DELETE FROM spark.uploads WHERE object_key = '{second}'")  # noqa: S608 - a key of this file
    assert compare(service, when_told=erase) == (Report(rows=2, missing=1), findings)


def test_everything_is_missing_from_an_empty_bucket(service: Settings, stores: Stores) -> None:
    keep_row(stores, new_key(), state="committed")
    assert compare(service)[0] == Report(rows=1, missing=1)


def test_an_unfinished_upload_ends_unless_it_is_somebodys(
    service: Settings, stores: Stores
) -> None:
    """A store can have begun one twice when an answer was lost: the second outlives the commit."""
    nobodys, doubled, running, leaving = (new_key() for _ in range(4))
    for key in (nobodys, doubled, running, leaving):
        stores.begin_upload(key)
    stores.put(doubled, content=b"rain")
    keep_row(stores, doubled, state="committed")
    keep_row(stores, running, state="pending")
    keep_row(stores, leaving, state="deleting")
    report, findings = compare(service)
    assert report == Report(objects=1, rows=1, unfinished=2)
    assert set(findings) == {("unfinished", nobodys), ("unfinished", doubled)}
    assert len(stores.unfinished_uploads()) == 4
    assert compare(service, delete=True)[0]["deleted"] == 2
    assert {upload.get("Key") for upload in stores.unfinished_uploads()} == {running, leaving}
    assert stores.object_keys() == {doubled}


def test_many_pages_are_compared_as_one(service: Settings, stores: Stores) -> None:
    """More objects and rows than a page of 1,000, some of them alone; foreign keys lie between."""
    keys = [new_key() for _ in range(1100)]
    without_row, without_object, both = keys[:20], [new_key() for _ in range(20)], keys[20:]
    stores.put(*keys, *FOREIGN, content=b"rain")
    keep_row(stores, *both, *without_object, state="committed")
    report, findings = compare(service, delete=True)
    assert report == Report(
        objects=1100 + len(FOREIGN),
        rows=1100,
        foreign=len(FOREIGN),
        orphans=20,
        missing=20,
        deleted=20,
    )
    assert [name for kind, name in findings if kind == "orphan"] == sorted(without_row)
    assert stores.object_keys() == {*both, *FOREIGN}


@pytest.mark.soak
def test_uploads_that_run_meanwhile_are_not_harmed(service: Settings, stores: Stores) -> None:
    """Small files and such of several parts, taken and refused, with nothing but their rows."""
    reports = asyncio.run(_submit_and_compare(service))
    assert len(reports) > 1
    assert [report["missing"] for report in reports] == [0] * len(reports)
    assert stores.committed_keys() == stores.object_keys()
    assert stores.count("spark.uploads") == 3 * 4
    assert stores.unfinished_uploads() == []


async def _submit_and_compare(service: Settings) -> list[Report]:
    async with run_app(service) as running:
        submitting = asyncio.create_task(_submit(running))
        reports = []
        while not submitting.done():
            report, _ = await compared(
                service, delete=True, lease=-timedelta(hours=1), when_told=lambda: None
            )
            reports.append(report)
        await submitting
    return reports


async def _submit(running: Running) -> None:
    """Four students hand in twice: three files, and three of which the last is refused."""
    assignment = Assignment(uuid4(), ASSIGNMENT_ID, COURSE_ID)
    large = pdf() + bytes(11 * MEBIBYTE)
    files = (Part("files", png(), "a.png"), Part("files", large, "b.pdf"))
    assert running.settings.spark_sso_secret
    assert running.settings.spark_webhook_secret
    secrets = (running.settings.spark_sso_secret, running.settings.spark_webhook_secret)
    async with httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as browser:
        spark = Spark(browser, *secrets)
        students = [await spark.sign_in() for _ in range(4)]
        taken = (
            spark.submit_form(submission(student, assignment), *files, files[0])
            for student in students
        )
        refused = (
            spark.submit_form(
                submission(student, assignment), *files, Part("files", b"MZ\x90\x00", "x.exe")
            )
            for student in students
        )
        answers = await asyncio.gather(*taken, *refused)
    assert [answer.status_code for answer in answers[:4]] == [200] * 4
    assert {answer.json()["code"] for answer in answers[4:]} == {"file_type_not_allowed"}


def test_the_command_says_what_it_would_remove_and_then_removes_it(
    run: Callable[..., Result], stores: Stores
) -> None:
    orphan, doubled = new_key(), new_key()
    stores.put(orphan, doubled, "rain.jpg", content=b"rain")
    stores.begin_upload(doubled)
    keep_row(stores, doubled, state="committed")
    counted = (
        f"unfinished {doubled}\norphan {orphan}\nobjects: 3, rows: 1, not ours: 1\n"
        "unfinished, uploads that nobody will end: 1\norphans, objects without a row: 1\n"
        "missing, rows without an object: 0\n"
    )
    wait_until(  # until everything is older than the lease
        lambda: run().stdout == f"{counted}--delete would remove 2\n", seconds=30
    )
    done = run("--delete")
    assert (done.exit_code, done.stdout) == (0, f"{counted}deleted: 2\n"), done.stderr
    assert stores.object_keys() == {doubled, "rain.jpg"}


def test_the_command_fails_when_a_file_is_missing(
    run: Callable[..., Result], stores: Stores
) -> None:
    key = new_key()
    keep_row(stores, key, state="committed")
    done = run()
    assert done.exit_code == 1
    assert done.stdout.startswith(f"missing {upload_id(stores, key)}\n")
    assert done.stderr == "1 committed files are not in the bucket: restore them.\n"
