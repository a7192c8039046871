"""The object store fails (FAULTS K): one copy or none, and text needs no store at all."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.errors import StorageUnavailableError
from app.settings import Settings
from app.worker import sweep
from tests.faults.conftest import Faulty, run_faulty
from tests.support.canaries import CANARIES
from tests.support.fault_proxy import ALWAYS, Act, Aim
from tests.support.homework import note
from tests.support.metrics import scrape
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.stores import Stores

MEBIBYTE = 1024 * 1024
DEADLINE_SECONDS = patient(10)  # SECURITY promise 21
SIZES = pytest.mark.parametrize("size", [2000, 6 * MEBIBYTE], ids=["put", "parts"])


def assert_unavailable(answer: httpx.Response) -> None:
    assert_problem(answer, 503, "storage_unavailable")
    assert 0 < int(answer.headers["retry-after"]) <= 10


async def storage_is_ready(faulty: Faulty) -> bool:
    answer = await faulty.client.get("/readyz")
    ready: bool = answer.json()["checks"]["storage"]
    assert (answer.status_code == 200) == ready
    return ready


# ---------------------------------------------------------------------------- away


@pytest.mark.parametrize("row", ["P179"])
@SIZES
async def test_a_store_that_refuses_is_named_and_needs_no_restart(
    faulty: Faulty, size: int, row: str, caplog: pytest.LogCaptureFixture
) -> None:
    homework = await faulty.write([note(size)])
    await faulty.store.refuse()
    began = time.monotonic()
    assert_unavailable(await faulty.send(homework))
    assert time.monotonic() - began < patient(10)
    assert "'event': 'storage_failed'" in caplog.text
    assert not await storage_is_ready(faulty)
    assert (await faulty.client.get("/healthz")).status_code == 200
    await faulty.store.restore()
    assert await storage_is_ready(faulty)
    assert (await faulty.send(homework)).status_code == 200
    await faulty.assert_invariants()


@pytest.mark.soak
@pytest.mark.parametrize("row", ["P180 P181 P186"])
async def test_a_store_that_stalls_ends_at_the_deadline_and_stops_nobody_else(
    settings_of_stores: Settings, stores: Stores, row: str
) -> None:
    """One service whose store never answers, and one whose store passes 10 KB/s, at once."""
    async with (
        run_faulty(settings_of_stores, stores) as silent,
        run_faulty(settings_of_stores, stores) as slow,
    ):
        homework = {each: await each.write([note(2 * MEBIBYTE)]) for each in (silent, slow)}
        texts = [await each.write() for each in (silent, slow)]
        silent.store.hang()
        slow.store.throttle(10_000)
        began = time.monotonic()
        sending = [asyncio.create_task(each.send(work)) for each, work in homework.items()]
        for each, text in zip(homework, texts, strict=True):
            asked = time.monotonic()
            assert (await each.send(text)).status_code == 200
            assert time.monotonic() - asked < patient(2)
        assert not await storage_is_ready(silent)
        for answer in await asyncio.gather(*sending):
            assert_unavailable(answer)
        assert time.monotonic() - began < DEADLINE_SECONDS
        for each, work in homework.items():
            await each.restore()
            assert (await each.send(work)).status_code == 200
        slow.answered += silent.answered
        await slow.assert_invariants()


@pytest.mark.soak
@pytest.mark.parametrize("finding", ["OPERATOR 12"])
async def test_behind_a_store_that_hangs_forms_are_refused_and_keep_no_slot(
    settings_of_stores: Settings, stores: Stores, finding: str
) -> None:
    """Before, all slots filled for 30 s. Twice as many forms as slots, then one by one."""
    async with run_faulty(settings_of_stores, stores, max_concurrent_uploads=4) as faulty:
        homework = [await faulty.write([note(2000)]) for _ in range(8)]
        text = await faulty.write()
        faulty.store.hang()
        began = time.monotonic()
        for answer in await asyncio.gather(*map(faulty.send, homework)):
            assert_unavailable(answer)
        assert time.monotonic() - began < DEADLINE_SECONDS
        began = time.monotonic()
        for each in homework:
            assert_unavailable(await faulty.send(each))
        assert (await faulty.send(text)).status_code == 200
        assert time.monotonic() - began < patient(2)
        await faulty.store.restore()
        began = time.monotonic()
        while (answer := await faulty.send(homework[0])).status_code != 200:
            assert_unavailable(answer)
            await asyncio.sleep(0.2)
        assert time.monotonic() - began < DEADLINE_SECONDS
        for answer in await asyncio.gather(*map(faulty.send, homework)):
            assert answer.status_code == 200
        await faulty.assert_invariants()


@pytest.mark.soak
@pytest.mark.parametrize("finding", ["OPERATOR 12"])
async def test_a_store_that_is_slow_and_moves_is_no_store_that_hangs(
    settings_of_stores: Settings, stores: Stores, finding: str
) -> None:
    """One call of 8 s. The kernel holds up to 4 MB of it, which leave in less than 7."""
    async with run_faulty(settings_of_stores, stores) as faulty:
        faulty.store.throttle(650_000)
        homework = await faulty.write([note(5 * MEBIBYTE)])
        began = time.monotonic()
        assert (await faulty.send(homework)).status_code == 200
        assert time.monotonic() - began > 7
        await faulty.assert_invariants()


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("row", ["P185"])
@pytest.mark.parametrize("words", [b"PUT /", b"POST /"], ids=["sending", "completing"])
async def test_a_store_that_asks_to_slow_down_twice_is_asked_again(
    faulty: Faulty, words: bytes, row: str
) -> None:
    homework = await faulty.write([note(6 * MEBIBYTE)])
    aim = faulty.store.aim(Aim(Act.ANSWER, words, times=2))
    assert (await faulty.send(homework)).status_code == 200
    assert aim.hits == 2
    await faulty.assert_invariants()


@pytest.mark.parametrize("row", ["P182"])
async def test_an_error_at_the_second_of_three_files_is_tried_again(
    faulty: Faulty, row: str
) -> None:
    homework = await faulty.write([note(2000) for _ in range(3)])
    aim = faulty.store.aim(Aim(Act.ANSWER, b"PUT /", skip=1, status=500, code="InternalError"))
    assert (await faulty.send(homework)).status_code == 200
    assert aim.seen == 4
    await faulty.assert_invariants()


@pytest.mark.parametrize("row", ["P182"])
@SIZES
async def test_an_error_that_stays_leaves_nothing_of_the_first_file(
    faulty: Faulty, size: int, row: str
) -> None:
    homework = await faulty.write([note(2000), note(size), note(2000)])
    aim = faulty.store.aim(
        Aim(Act.ANSWER, b"PUT /", skip=1, times=ALWAYS, status=500, code="InternalError")
    )
    assert_unavailable(await faulty.send(homework))
    assert aim.hits > 1
    await faulty.assert_invariants()
    assert (await faulty.send(homework)).status_code == 200
    await faulty.assert_invariants()


# ---------------------------------------------------------------------------- unknown outcome


LARGE = 6 * MEBIBYTE


@pytest.mark.parametrize("row", ["P183"])
@pytest.mark.parametrize(
    ("size", "words", "times"),
    [
        pytest.param(2000, b"PUT /", 1, id="file"),
        pytest.param(2000, b"PUT /", ALWAYS, id="file, always"),
        pytest.param(LARGE, b"partNumber=1", 1, id="part"),
        pytest.param(LARGE, b"partNumber=1", ALWAYS, id="part, always"),
        pytest.param(LARGE, b"?uploads", 1, id="creation"),
        pytest.param(LARGE, b"?uploads", ALWAYS, id="creation, always"),
        pytest.param(LARGE, b"?uploadId=", 1, id="completion"),
        pytest.param(LARGE, b"?uploadId=", ALWAYS, id="completion, always"),
    ],
)
async def test_a_lost_answer_of_the_store_leaves_one_copy(
    faulty: Faulty, size: int, words: bytes, times: int, row: str
) -> None:
    homework = await faulty.write([note(size)])
    aim = faulty.store.aim(Aim(Act.LOSE_ANSWER, words, times=times))
    answer = await faulty.send(homework)
    assert aim.hits
    await faulty.store.restore()
    if answer.status_code != 200:
        assert_unavailable(answer)
        assert (await faulty.send(homework)).status_code == 200
    await faulty.assert_invariants()


@pytest.mark.parametrize("row", ["P183"])
@pytest.mark.parametrize("asked", [1, 3000, 3 * MEBIBYTE])
async def test_a_connection_to_the_store_that_is_cut_on_the_way_leaves_nothing(
    faulty: Faulty, asked: int, row: str
) -> None:
    homework = await faulty.write([note(6 * MEBIBYTE)])
    faulty.store.cut()
    faulty.store.cut_after(asked=asked)
    assert_unavailable(await faulty.send(homework))
    await faulty.store.restore()
    assert (await faulty.send(homework)).status_code == 200
    await faulty.assert_invariants()


# ---------------------------------------------------------------------------- settings


@asynccontextmanager
async def misled(settings: Settings, stores: Stores, fault: str) -> AsyncIterator[Faulty]:
    """A service with a wrong key, or with a bucket that is not there.

    SeaweedFS makes a missing bucket; others answer as the proxy does here.
    """
    changes: dict[str, Any] = (
        {"aws_secret_access_key": SecretStr(WRONG_KEY)} if fault == "key" else {}
    )
    async with run_faulty(settings, stores, **changes) as faulty:
        if fault == "bucket":
            missing = Aim(Act.ANSWER, b" /", times=ALWAYS, status=404, code="NoSuchBucket")
            faulty.store.aim(missing)
        yield faulty


WRONG_KEY = "canary-of-a-wrong-key"


@pytest.mark.parametrize("row", ["P184"])
@pytest.mark.parametrize("alert", [False, pytest.param(True, id="alert")])
@pytest.mark.parametrize("fault", ["key", "bucket"])
async def test_a_store_that_is_set_up_wrongly_is_told_to_the_operator(
    settings_of_stores: Settings, stores: Stores, *, fault: str, alert: bool, row: str
) -> None:
    before = len(CANARIES.lines)
    async with misled(settings_of_stores, stores, fault) as faulty:
        assert_unavailable(await faulty.send(await faulty.write([note(2000)])))
        assert not await storage_is_ready(faulty)
        logged = CANARIES.lines[before:]
        key = faulty.running.settings.aws_access_key_id
        assert key
        assert not any(WRONG_KEY in line or key.get_secret_value() in line for line in logged)
        if alert:
            assert any(json.loads(line)["level"] in ("error", "warning") for line in logged)


# ---------------------------------------------------------------------------- the sweep


@pytest.mark.parametrize("row", ["P187"])
async def test_a_file_the_store_does_not_let_go_stays_for_the_next_sweep(
    faulty: Faulty, row: str
) -> None:
    """Whose removal failed keeps its row, so that nothing is forgotten, and operators see it
    (OPERATOR 7).
    """
    homework = await faulty.write([note(2000), note(6 * MEBIBYTE)])
    faulty.store.aim(Aim(Act.LOSE_ANSWER, b"PUT /", skip=2, times=ALWAYS))
    assert_unavailable(await faulty.send(homework))
    await faulty.store.restore()
    await faulty.expire_uploads()
    uncommitted = "SELECT id FROM spark.uploads WHERE state <> 'committed' ORDER BY id"
    before = await faulty.stores.execute(uncommitted)
    assert len(before) >= 2
    faulty.store.aim(Aim(Act.ANSWER, b"DELETE /", times=ALWAYS, status=500, code="InternalError"))
    [key] = faulty.running.settings.internal_api_keys
    header = {"Authorization": f"Bearer {key.get_secret_value()}"}
    failures, began = 'spark_worker_step_failures_total{step="uploads"}', time.time()
    failed = (await scrape(faulty.client, header)).get(failures, 0)
    with pytest.raises(StorageUnavailableError):
        await sweep(faulty.running.app.state.resources)
    assert await faulty.stores.execute(uncommitted) == before
    found = await scrape(faulty.client, header)
    assert (found[failures], found["spark_uploads_pending"]) == (failed + 1, len(before))
    assert began < found["spark_worker_last_pass_timestamp_seconds"] < time.time()
    await faulty.assert_invariants()
