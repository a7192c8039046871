"""A school of SCHOOL_STUDENTS with SCHOOL_MEBIBYTES of files leaves, while its worker is killed at
random. Small in `make slow`.
"""

import asyncio
import os
import random
import secrets
import signal
import sys
import time
import zipfile
from pathlib import Path
from tempfile import TemporaryFile

import psutil
import pytest

from app.settings import Settings
from tests.support.families import Family
from tests.support.school import ORGANISATIONS, School, erase_once, lines_with, open_school

STUDENTS = int(os.environ.get("SCHOOL_STUDENTS", "40"))
FILE_BYTES = int(os.environ.get("SCHOOL_MEBIBYTES", "40")) * 1024 * 1024 // STUDENTS
KEPT_BYTES = 1024 * 1024 * 1024  # of a zip that is looked into
GROWTH_BYTES = 48 * 1024 * 1024
KILL_SECONDS = (0.5, 4)
SHARED, OLDER = 25, 20  # every so many

# One row of everything for each, in the order of the keys.
FILL = """
create temp table pupil as
  select n, '{token}_' || n as name, md5('{token}user' || n)::uuid as user_id,
    md5('{token}task' || n)::uuid as task_id, md5('{token}done' || n)::uuid as done_id,
    md5('{token}revision' || n)::uuid as revision_id, md5('{token}document' || n)::uuid as doc_id,
    md5('{token}enrolment' || n)::uuid as enrolment_id, md5('{token}file' || n)::uuid as file_id,
    now() as at
  from generate_series(1, {students}) n;
insert into users (id, email, first_name, display_name, total_xp, created_at)
  select user_id, name || '@example.com', name, name, 100,
    at - case when n % {older} = 0 then interval '1 day' else interval '0' end from pupil;
insert into lms_integrations (user_id, lms_platform, lms_user_id, created_at)
  select user_id, 'spark', name, at from pupil;
insert into user_quests (id, user_id, quest_id) select enrolment_id, user_id, '{quest}' from pupil;
insert into user_quests (user_id, quest_id)
  select user_id, '{other}' from pupil where n % {shared} = 0;
insert into user_quest_tasks (id, user_id, quest_id, user_quest_id, title, pillar)
  select task_id, user_id, '{quest}', enrolment_id, 'Essay of ' || name, 'stem' from pupil;
insert into quest_task_completions (id, user_id, quest_id, task_id, user_quest_task_id)
  select done_id, user_id, '{quest}', task_id, task_id from pupil;
insert into spark.xp_ledger (id, user_id, task_id, completion_id, pillar, xp_amount)
  select gen_random_uuid(), user_id, task_id, done_id, 'stem', 100 from pupil;
insert into user_skill_xp (user_id, pillar, xp_amount) select user_id, 'stem', 100 from pupil;
insert into user_task_evidence_documents (id, user_id, quest_id, task_id)
  select doc_id, user_id, '{quest}', task_id from pupil;
insert into evidence_document_blocks (document_id, block_type, content, order_index)
  select doc_id, 'text', jsonb_build_object('text', 'Rain. ' || name), 0 from pupil;
insert into spark.submission_revisions (id, completion_id, user_id, quest_id, revision,
    spark_assignment_id, spark_course_id, submission_text, fingerprint, submitted_at)
  select revision_id, done_id, user_id, '{quest}', 1, '{assignment}', '{course}', 'Rain. ' || name,
    '', at from pupil;
insert into spark.uploads (id, user_id, submission_id, object_key, state, lease_until, position,
    filename, content_type, size_bytes, sha256, stored_bytes, stored_sha256, location)
  select file_id, user_id, revision_id, user_id || '/' || file_id || '.txt', 'committed', at, 0,
    name || '.txt', 'text/plain', {bytes}, ''::bytea, {bytes}, ''::bytea, 'none' from pupil;
insert into spark.deliveries (id, route, media_type, received_at, status, digest, message,
    body_bytes, user_id, spark_user_id, spark_assignment_id, spark_course_id, submission_id)
  select gen_random_uuid(), '/spark/webhook/submission', 'application/json', at, 200,
    convert_to(name, 'UTF8'), convert_to(name, 'UTF8'), 1, user_id, name, '{assignment}',
    '{course}', revision_id from pupil;
insert into user_activity_events (user_id, session_id, event_type, event_category, event_data)
  select user_id, user_id, 'spark_webhook_success', 'lms',
    jsonb_build_object('quest_id', '{quest}', 'spark_user_id', name) from pupil;
analyze
"""


@pytest.fixture(scope="module")
def family(family_apart: Family) -> Family:
    return family_apart


async def fill(school: School, other: School, token: str) -> None:
    filled = FILL.format(
        token=token,
        students=STUDENTS,
        bytes=FILE_BYTES,
        quest=school.quest_id,
        other=other.quest_id,
        course=school.course.spark_course_id,
        assignment=school.course.assignment.spark_assignment_id,
        older=OLDER,
        shared=SHARED,
    )
    async with school.family.resources.sessions() as session, session.begin():
        for statement in filled.split(";\n"):
            await session.exec_driver_sql(statement)
    rows = await school.family.stores.execute("SELECT object_key FROM spark.uploads")
    keys = [row["object_key"] for row in rows]
    await school.family.stores.put_all(keys, content=bytes(FILE_BYTES))


async def export(school: School) -> tuple[int, float, int]:
    """How many bytes it had, the seconds it took, and by how much memory grew after its begin."""
    path, query = f"{ORGANISATIONS}/export", {"spark_org_id": school.org}
    process, began, size, grown = psutil.Process(), time.perf_counter(), 0, 0
    client, key = school.family.client, school.family.main_app
    with TemporaryFile(dir="/tmp") as whole:
        async with client.stream("GET", path, params=query, headers=key) as answer:
            assert answer.status_code == 200
            at_rest, tail = 0, b""
            async for chunk in answer.aiter_bytes():
                if size < KEPT_BYTES:
                    whole.write(chunk)
                size, tail = size + len(chunk), (tail + chunk)[-200:]
                at_rest = at_rest or process.memory_info().rss
                grown = max(grown, process.memory_info().rss - at_rest)
        seconds = time.perf_counter() - began
        assert b"PK\x05\x06" in tail
        if size < KEPT_BYTES:
            archive = zipfile.ZipFile(whole)
            assert archive.testzip() is None
            assert len([name for name in archive.namelist() if "/files/" in name]) == STUDENTS
    return size, seconds, grown


async def erase_and_kill(settings: Settings, org: str, log: Path) -> int:
    """How often its process was killed until one came to the end: each has a little more time."""
    chance, kills = random.Random(25), 0  # noqa: S311 - it hides nothing
    while True:
        pid = os.fork()
        if pid == 0:  # what is forked has no loop that runs
            output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.dup2(output, 1)
            os.dup2(output, 2)
            asyncio.run(erase_once(settings, org))
            os._exit(0)
        ended = asyncio.create_task(asyncio.to_thread(os.waitpid, pid, 0))
        done, _ = await asyncio.wait(
            [ended], timeout=chance.uniform(*KILL_SECONDS) * (1 + kills / 5)
        )
        if not done:
            os.kill(pid, signal.SIGKILL)
        _, status = await ended
        if not os.WIFSIGNALED(status):
            assert status == 0, log.read_text()  # noqa: ASYNC240 - at the end
            return kills
        kills += 1


@pytest.mark.soak
@pytest.mark.own_database("its rows are made at once, beside the main app's triggers")
async def test_a_large_school_leaves_while_its_worker_is_killed(
    family: Family, tmp_path: Path
) -> None:
    token = f"pupil_{secrets.token_hex(8)}"
    school, other = await open_school(family), await open_school(family)
    neighbour = await other.raise_child()
    await fill(school, other, token)
    their = await lines_with(family, neighbour.words, [token])
    files = await asyncio.to_thread(family.stores.object_keys)
    size, seconds, grown = await export(school)
    assert size > STUDENTS * FILE_BYTES
    assert grown < GROWTH_BYTES, grown

    log, began = tmp_path / "log", time.perf_counter()
    kills = await erase_and_kill(family.settings, school.org, log)
    took = time.perf_counter() - began
    asked = (await school.erase(apply=True)).json()["erasure"]
    kept, older = STUDENTS // SHARED, STUDENTS // OLDER - STUDENTS // (SHARED * OLDER // 5)
    assert asked["counts"]["students_kept"] == kept
    assert asked["counts"]["students_unlinked"] == older
    assert asked["counts"]["students_erased"] == STUDENTS - kept - older
    assert asked["counts"]["files"] == STUDENTS
    assert await lines_with(family, school.words, [asked["id"]]) == set()
    left = {line.partition(":")[0] for line in await lines_with(family, [token], [])}
    assert left == {"public.users", "public.lms_integrations"}  # of accounts that stay
    stay = await asyncio.to_thread(family.stores.object_keys)
    assert {key for key in stay if not key.startswith("spark-")} == {
        key for key in files if key.startswith(neighbour.user_id)
    }
    assert not any(word in log.read_text() for word in (token, *school.words))
    assert await lines_with(family, neighbour.words, [token]) == their
    sys.stderr.write(
        f"\n{STUDENTS} students, {size / 1e9:.2f} GB: export {seconds:.0f} s,"
        f" +{grown / 2**20:.0f} MiB; erasure {took:.0f} s, killed {kills} times\n"
    )
