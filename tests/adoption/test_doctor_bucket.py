"""Doctor tries as an outsider whether the bucket can be read or listed: on the run's S3 server, and
on one that can be opened.
"""

import asyncio
from collections.abc import Iterator
from secrets import token_hex

import pytest
from pydantic import SecretStr

from app.adoption.finding import Finding
from app.adoption.try_bucket import try_bucket
from app.files.reconcile import OUR_KEY
from app.settings import Settings
from app.storage.bucket import open_bucket
from tests.support.commands import run_on
from tests.support.open_store import PUBLIC, S3, Opening, OpenStore, open_store
from tests.support.stores import Stores, own_stores


@pytest.fixture(scope="module")
def stores(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


@pytest.fixture
def service(settings: Settings, stores: Stores) -> Settings:
    return settings.model_copy(update={"s3_bucket": stores.variables["S3_BUCKET"]})


async def tried(service: Settings) -> list[Finding]:
    async with open_bucket(service) as bucket:
        return await try_bucket(service, bucket)


def at(service: Settings, store: OpenStore) -> Settings:
    return service.model_copy(update={"s3_endpoint_url": store.endpoint_url})


async def keys(stores: Stores) -> set[str]:
    return await asyncio.to_thread(stores.object_keys)


async def test_a_private_bucket_is_fine_and_nothing_stays_in_it(
    service: Settings, stores: Stores
) -> None:
    (found,) = await tried(service)
    assert (found.mark, found.subject) == ("ok", f"bucket {service.s3_bucket}")
    assert await keys(stores) == set()


async def test_a_policy_for_everybody_is_refused(service: Settings, stores: Stores) -> None:
    async with stores.open_to_all():
        findings = await tried(service)
    place = f"{service.s3_endpoint_url}/{service.s3_bucket}"
    assert [(found.mark, found.text) for found in findings] == [
        ("refuse", f"anybody can read files at {place}"),
        ("refuse", f"anybody can list files at {place}"),
    ]
    assert all("private" in str(found.next_step) for found in findings)
    assert [found.mark for found in await tried(service)] == ["ok"]
    assert await keys(stores) == set()


async def test_the_command_fails_as_long_as_it_is_open(service: Settings, stores: Stores) -> None:
    doctor = run_on(service)
    async with stores.open_to_all():
        examined = await doctor("doctor")
    assert examined.exit_code == 1
    assert f"refuse   bucket {service.s3_bucket}: anybody can read files at " in examined.output
    examined = await doctor("doctor")
    assert (examined.exit_code, examined.output.count("refuse")) == (0, 0)


@pytest.mark.parametrize(
    ("opening", "act", "path"),
    [("read", "read", S3), ("list", "list", S3), ("public", "read", PUBLIC)],
)
async def test_each_way_in_is_found(
    service: Settings, opening: Opening, act: str, path: str
) -> None:
    async with open_store(OpenStore(frozenset({opening}))) as store:
        (found,) = await tried(at(service, store))
        assert store.objects == {}
    place = f"{store.endpoint_url.removesuffix(S3)}{path}/{service.s3_bucket}"
    assert (found.mark, found.text) == ("refuse", f"anybody can {act} files at {place}")


async def test_the_main_apps_own_address_is_tried_as_well(service: Settings) -> None:
    inner = OpenStore()
    outer = OpenStore(frozenset({"public"}), inner.objects)
    async with open_store(inner), open_store(outer):
        project = outer.endpoint_url.removesuffix(S3)
        beside = at(service, inner).model_copy(update={"supabase_url": project})
        (found,) = await tried(beside)
    place = f"{project}{PUBLIC}/{service.s3_bucket}"
    assert (found.mark, found.text) == ("refuse", f"anybody can read files at {place}")


async def test_the_address_that_readers_use_is_tried_as_well(service: Settings) -> None:
    inner = OpenStore()
    outer = OpenStore(frozenset({"read"}), inner.objects)
    async with open_store(inner), open_store(outer):
        both = at(service, inner).model_copy(update={"s3_public_endpoint_url": outer.endpoint_url})
        (found,) = await tried(both)
    assert (found.mark, outer.endpoint_url in found.text) == ("refuse", True)
    assert inner.objects == {}


async def test_what_cannot_be_reached_from_here_is_said(service: Settings) -> None:
    async with open_store(OpenStore()) as gone:
        pass
    elsewhere = service.model_copy(update={"s3_public_endpoint_url": gone.endpoint_url})
    findings = await tried(elsewhere)
    assert {found.mark for found in findings} == {"data"}
    assert all(gone.endpoint_url.removesuffix(S3) in found.text for found in findings)


async def test_a_bucket_that_takes_nothing_is_refused(service: Settings) -> None:
    strange = service.model_copy(update={"aws_secret_access_key": SecretStr(token_hex())})
    found, *_ = await tried(strange)
    assert (found.mark, found.text) == ("refuse", "does not take an object")


async def test_an_object_that_cannot_be_deleted_is_named(service: Settings) -> None:
    async with open_store(OpenStore(may_delete=False)) as store:
        private, left = await tried(at(service, store))
    assert (private.mark, left.mark) == ("ok", "refuse")
    (place,) = store.objects
    object_key = place.removeprefix(f"/{service.s3_bucket}/")
    assert object_key in str(left.next_step)
    assert not OUR_KEY.fullmatch(object_key)


async def test_whoever_is_stopped_leaves_nothing(service: Settings) -> None:
    async with open_store(OpenStore(hangs=True)) as store:
        trying = asyncio.create_task(tried(at(service, store)))
        await store.asked.wait()
        assert store.objects
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
        assert store.objects == {}


@pytest.mark.soak
async def test_who_never_answers_is_not_waited_for(service: Settings) -> None:
    async with open_store(OpenStore(hangs=True)) as store, asyncio.timeout(60):
        findings = await tried(at(service, store))
    assert [found.mark for found in findings] == ["data"] * 3
