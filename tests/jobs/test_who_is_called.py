"""Nobody but the allowed hosts is ever called (SECURITY promise 24), and what opens their doors is
nowhere to be read.
"""

import re
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy.engine import make_url

from tests.jobs.conftest import Outward
from tests.support.canaries import CANARIES
from tests.support.elsewhere import run_elsewhere
from tests.support.outward import worker_elsewhere
from tests.support.stored import eventually

STRACE = shutil.which("strace")
NOT_PUBLIC = ("169.254.169.254", "10.0.0.1")
CONNECT = re.compile(
    r"sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\""
)


async def do_everything(outward: Outward, query: str, *elsewhere: str) -> None:
    """A grade, a file that comes, one that is gone, and those from elsewhere; a receipt of all."""
    await outward.give()
    url = await outward.fake.serve_file(f"{secrets.token_hex(4)}.txt", b"Rain.")
    urls = (url, f"{outward.fake.files_url}/files/status/403", *elsewhere)
    await outward.hand_in(*(f"{each}?{query}" for each in urls))


async def nothing_waits(outward: Outward) -> bool:
    waiting = "SELECT id FROM spark.jobs WHERE state <> 'dead'"
    return not await outward.stores.execute(waiting)


@pytest.fixture
async def open_to_others(outward: Outward) -> AsyncIterator[Outward]:
    """Agreed on by an operator who knows no better."""
    domains = (*outward.settings.spark_storage_domains, *NOT_PUBLIC)
    changed = outward.settings.model_copy(update={"spark_storage_domains": domains})
    async with run_elsewhere(changed) as elsewhere:
        yield replace(outward, elsewhere=elsewhere, settings=changed)


@pytest.mark.soak
@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
async def test_a_worker_connects_to_nobody_but_those_it_was_told(
    open_to_others: Outward, tmp_path: Path
) -> None:
    outward, trace = open_to_others, tmp_path / "connects"
    await do_everything(outward, "", *(f"https://{host}/x.txt" for host in NOT_PUBLIC))
    watched = ("strace", "-f", "-qq", "-e", "trace=connect", "-o", str(trace))
    async with worker_elsewhere(outward.settings, *watched):
        await eventually(lambda: nothing_waits(outward))
    called = {(host, int(port)) for port, host in CONNECT.findall(trace.read_text())}
    settings = outward.settings
    assert settings.database_url
    known = {make_url(settings.database_url.get_secret_value()).port} | {
        urlsplit(url).port
        for url in (settings.s3_endpoint_url, settings.spark_api_url, outward.fake.files_url)
        if url
    }
    assert called
    assert {port for _, port in called} <= known
    assert {host for host, _ in called} <= {"127.0.0.1", "::1"}
    refused = "SELECT code FROM spark.downloads WHERE host IN ('169.254.169.254', '10.0.0.1')"
    codes = [row["code"] for row in await outward.stores.execute(refused)]
    assert codes == ["address_refused"] * 2


async def test_keys_and_links_are_in_no_table_metric_or_answer(outward: Outward) -> None:
    """And in no log, which the whole run's is searched for."""
    query = f"signature={secrets.token_hex(16)}"
    CANARIES.release(query)
    await outward.fake.forget()
    await do_everything(outward, query)
    await outward.go_on()
    assert await nothing_waits(outward)
    settings = outward.settings
    assert settings.spark_api_key
    hidden = [query, settings.spark_api_key.get_secret_value()]
    hidden += [secret.get_secret_value() for secret in settings.outbound_secrets]
    client = outward.elsewhere.spark.browser
    for path in ("downloads", "grades", "jobs", "targets", "deliveries", "events", "activity"):
        answer = await client.get(f"/internal/v1/{path}", headers=outward.main_app)
        assert not found_in(answer.text, hidden), path
    metrics = await client.get("/metrics", headers=outward.main_app)
    assert not found_in(metrics.text, hidden)
    tables = await outward.stores.execute(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname IN ('spark', 'public')"
    )
    for table in tables:
        name = table["name"]
        if name == "spark.deliveries":  # the signed text, as long as it is kept
            continue
        rows = await outward.stores.execute(f"SELECT t::text AS row FROM {name} t")  # noqa: S608
        assert not any(found_in(row["row"], hidden) for row in rows), name


def found_in(text: str, hidden: list[str]) -> bool:
    return any(each in text for each in hidden)
