"""What a crash leaves: nothing half-recorded, and a retry that succeeds (SECURITY promises 10-14).

The service is killed with `kill -9` in the middle of its work, and started again.
"""

import signal
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from app.settings import Settings
from tests.support.checkout import Checkout, Serving, make_checkout, wait_until
from tests.support.patience import patient
from tests.support.sender import MEBIBYTE, Sender, Upload, large_files
from tests.support.stores import Stores, own_stores

pytestmark = pytest.mark.soak  # each starts the service with its servers

LEASES = {"DELIVERY_LEASE_SECONDS": "1", "UPLOAD_LEASE_SECONDS": "2"}
FILES = large_files(1, 12 * MEBIBYTE)
RECORDED = (
    "spark.submission_revisions",
    "spark.xp_ledger",
    "quest_task_completions",
    "user_quest_tasks",
    "user_task_evidence_documents",
    "evidence_document_blocks",
)


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    with make_checkout() as made:
        yield made


@pytest.fixture
def outside(settings: Settings) -> Iterator[Stores]:
    """Servers that outlive the service, migrated and with the sample course."""
    with own_stores(settings) as stores:
        yield stores


def half_way(upload: Upload, stores: Stores) -> None:
    """Until a part is in the store; then the sender stops."""
    upload.send(7 * MEBIBYTE)
    wait_until(stores.has_a_part)


def until_it_is_recorded(upload: Upload, stores: Stores) -> None:
    """Until everything is stored and written, except for the last row and the commit."""
    upload.send()
    wait_until(stores.somebody_waits)


@pytest.mark.parametrize("row", ["P190"])
def test_a_kill_of_everything_loses_only_what_was_not_answered(
    checkout: Checkout, row: str
) -> None:
    with checkout.serve(**LEASES) as serving:
        sender = Sender(serving.url, checkout.secrets)
        answered = hand_in(sender, sender.message(sender.sign_in()))
        message = sender.message(sender.sign_in())
        with sender.begin(message, FILES) as upload:
            half_way(upload, serving.stores)
            serving.kill()
    with checkout.serve(**LEASES) as serving:
        stores = serving.stores
        assert stores.count("spark.submission_revisions") == 1
        assert is_readable(serving, checkout, answered)
        retried = hand_in(Sender(serving.url, checkout.secrets), message)
        assert is_readable(serving, checkout, retried)
        assert stores.count("quest_task_completions") == 2
        assert_nothing_is_left(checkout, stores, **stores.variables)


@pytest.mark.parametrize("row", ["P190"])
@pytest.mark.parametrize("moment", [half_way, until_it_is_recorded])
def test_a_kill_of_the_service_leaves_nothing_half_recorded(
    checkout: Checkout, outside: Stores, moment: Callable[[Upload, Stores], None], row: str
) -> None:
    variables = LEASES | checkout.secrets | outside.variables
    with checkout.serve(**variables) as serving:
        sender = Sender(serving.url, checkout.secrets)
        message = sender.message(sender.sign_in())
        with outside.lock("user_activity_events"), sender.begin(message, FILES) as upload:
            moment(upload, outside)
            serving.kill()
    assert {table: outside.count(table) for table in RECORDED} == dict.fromkeys(RECORDED, 0)
    with checkout.serve(**variables) as serving:
        body = hand_in(Sender(serving.url, checkout.secrets), message)
        assert (body["revision"], body["xp_awarded"], body["duplicate"]) == (1, 100, False)
        assert is_readable(serving, checkout, body)
        assert_nothing_is_left(checkout, outside, **variables)
    assert outside.count("spark.submission_revisions") == 1


@pytest.mark.parametrize("row", ["P188"])
def test_sigterm_lets_a_running_upload_finish(checkout: Checkout, row: str) -> None:
    with checkout.serve(**LEASES) as serving:
        sender = Sender(serving.url, checkout.secrets)
        with sender.begin(sender.message(sender.sign_in()), FILES) as upload:
            half_way(upload, serving.stores)
            serving.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not is_accepting(serving))
            upload.send()
            assert upload.answer()[0] == 200
        assert serving.process.wait(patient(10)) == 0
        assert serving.running() == []


@pytest.mark.alone
@pytest.mark.parametrize("row", ["P189"])
def test_ctrl_c_does_not_wait_for_a_sender_that_stopped(
    checkout: Checkout, outside: Stores, row: str
) -> None:
    variables = LEASES | checkout.secrets | outside.variables
    with checkout.serve(**variables) as serving:
        sender = Sender(serving.url, checkout.secrets)
        with sender.begin(sender.message(sender.sign_in()), FILES) as upload:
            half_way(upload, outside)
            began = time.monotonic()
            assert serving.end(signal.SIGINT) == 0
            assert time.monotonic() - began < patient(6)
    assert "Traceback" not in serving.output + serving.errors
    assert {table: outside.count(table) for table in RECORDED} == dict.fromkeys(RECORDED, 0)
    assert outside.object_keys() == set()
    assert outside.unfinished_uploads() == []


def hand_in(sender: Sender, message: bytes) -> dict[str, object]:
    with sender.begin(message, FILES) as upload:
        upload.send()
        status, body = upload.answer()
    assert status == 200, body
    assert [file["sha256"] for file in body["files"]] == upload.digests
    return body


def is_readable(serving: Serving, checkout: Checkout, body: dict[str, object]) -> bool:
    """Whether the main app gets the file's bytes."""
    answer = httpx.get(
        f"{serving.url}/internal/v1/completions/{body['completion_id']}",
        headers={"Authorization": f"Bearer {checkout.secrets['INTERNAL_API_KEYS']}"},
        trust_env=False,
    )
    (file,) = answer.json()["files"]
    content = httpx.get(file["url"], trust_env=False).content
    return content == b"".join(FILES[0].chunks())


def is_accepting(serving: Serving) -> bool:
    try:
        httpx.get(f"{serving.url}/healthz", trust_env=False)
    except (httpx.NetworkError, httpx.RemoteProtocolError):  # refused, or closed unanswered
        return False
    return True


def assert_nothing_is_left(checkout: Checkout, stores: Stores, **variables: str) -> None:
    """After the leases and one sweep the bucket holds exactly what the rows say."""
    in_progress = "SELECT id FROM spark.uploads WHERE state <> 'committed' AND lease_until > now()"
    wait_until(lambda: not stores.rows(in_progress))
    assert checkout.run("sweep", **variables).returncode == 0
    assert stores.object_keys() == stores.committed_keys()
    assert stores.unfinished_uploads() == []
    assert stores.rows("SELECT id FROM spark.uploads WHERE state <> 'committed'") == []
