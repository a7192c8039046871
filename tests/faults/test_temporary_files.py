"""Files that wait on disk: a kill, a full disk, a folder that vanishes (FAULTS P266, P267)."""

from pathlib import Path

import psutil
import pytest

from app.settings import Settings
from tests.faults.conftest import Writer, assert_invariants, connected, until_answered
from tests.support.forked import Forked, Forks
from tests.support.homework import note
from tests.support.processes import open_files
from tests.support.stored import eventually
from tests.support.stores import Stores


@pytest.mark.soak
@pytest.mark.parametrize("row", ["P267"])
async def test_a_kill_while_files_are_on_disk_leaves_none_of_them(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, tmp_path: Path, row: str
) -> None:
    """Files before their metadata wait on disk, without a name."""
    serving = await forks.start()
    homework = await writer.write(serving, [note(400_000)])
    spooled = homework.request_with(metadata_last=True)[:300_000]
    async with connected(serving) as sender:
        sender.write(spooled)
        await eventually(lambda: holds_a_temporary_file(serving))
        serving.kill()
        await serving.wait_until_gone()
    assert list((tmp_path / "temporary").iterdir()) == []
    serving = await forks.start()
    await assert_invariants(stores, leased, [await until_answered(homework, serving)])


async def holds_a_temporary_file(serving: Forked) -> bool:
    return any("/temporary/" in target for target in open_files(serving.pid))


@pytest.mark.soak
@pytest.mark.parametrize("row", ["P266"])
async def test_a_full_disk_is_an_overload_and_passes(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, row: str
) -> None:
    """A limit on the size of files, set from outside, refuses the bytes as a full disk does."""
    serving = await forks.start()
    homework = await writer.write(serving, [note(300_000)])
    text = await writer.write(serving)
    process = psutil.Process(serving.pid)
    unlimited = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (100_000, unlimited[1]))
    for _ in range(3):
        status, body = await homework.send_once(serving.url, metadata_last=True)
        assert (status, body["code"]) == (503, "overloaded")
    assert serving.log.read_text().count('"limit": "disk"') == 1
    answered = [await until_answered(text, serving)]
    process.rlimit(psutil.RLIMIT_FSIZE, unlimited)
    answered.append(await until_answered(homework, serving))
    assert not await holds_a_temporary_file(serving)
    await assert_invariants(stores, leased, answered)


@pytest.mark.soak
@pytest.mark.parametrize("finding", ["OPERATOR 16"])
async def test_a_folder_for_temporary_files_that_vanishes_is_an_overload_and_passes(
    forks: Forks, writer: Writer, tmp_path: Path, finding: str
) -> None:
    """Before, a form whose files came first was 500."""
    serving = await forks.start()
    first, homework = [await writer.write(serving, [note(3_000)]) for _ in range(2)]
    await first.send_once(serving.url, metadata_last=True)
    (tmp_path / "temporary").rename(tmp_path / "elsewhere")
    status, body = await homework.send_once(serving.url, metadata_last=True)
    assert (status, body["code"]) == (503, "overloaded")
    assert '"limit": "disk"' in serving.log.read_text()
    (tmp_path / "elsewhere").rename(tmp_path / "temporary")
    status, _ = await homework.send_once(serving.url, metadata_last=True)
    assert status == 200
