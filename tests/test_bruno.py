"""docs/samples/bruno, sent from first to last as `bru run` sends a collection."""

import json
from pathlib import Path

import pytest

from tests.support.patience import patient
from tests.support.programs import BRUNO, needs_bruno, run_program
from tests.support.running import Running
from tests.support.sample_clients import SAMPLES

COLLECTION = SAMPLES / "bruno"

pytestmark = [needs_bruno, pytest.mark.soak, pytest.mark.timeout(patient(120))]


async def test_the_collection_signs_what_it_sends(server: Running, tmp_path: Path) -> None:
    sso, webhook = server.settings.spark_sso_secret, server.settings.spark_webhook_secret
    assert sso
    assert webhook
    env = {
        "OPTIO_URL": server.url,
        "OPTIO_SHARED_SECRET": sso.get_secret_value(),
        "OPTIO_WEBHOOK_SECRET": webhook.get_secret_value(),
        "HOME": str(tmp_path),
    }
    report = tmp_path / "report.json"
    words = ("run", "--env", "local", "--reporter-json", str(report))
    ended = await run_program(str(BRUNO), *words, env=env, folder=COLLECTION)
    assert ended.code == 0, ended.output + ended.errors
    [run] = json.loads(report.read_text())
    assert run["summary"]["passedRequests"] == len([*COLLECTION.glob("*.bru")]) - 1
