"""A student is erased: everything goes but the tombstone, whatever happens on the way."""

import asyncio
import json
import os
import random
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from unicodedata import normalize
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest

from app.activity.audit import record_audit
from app.privacy.forget_texts import names
from app.worker import sweep
from tests.support.bodies import Part, form
from tests.support.families import STUDENTS, Child, Family
from tests.support.homework import note
from tests.support.kinds import ADMIN, IS_ADOPTED
from tests.support.metrics import scrape
from tests.support.problems import assert_problem
from tests.support.roster import entry, roster, send
from tests.support.running import everything_is_written
from tests.support.spark import encoded, minutes_ago, submission

USES = ("save", "upload", "restore", "read")
UNFINISHED = "SELECT id FROM spark.erasures WHERE completed_at IS NULL"


async def test_nothing_is_left_but_the_tombstone(family: Family) -> None:
    child, sibling = await family.raise_child(), await family.raise_child()
    assert (await family.add_file(child, b"my own notes", "own.txt")).status_code == 200
    path = f"{STUDENTS}/{child.user_id}/export"
    for read in (path, "/internal/v1/submissions"):
        assert (await family.client.get(read, headers=family.main_app)).status_code == 200
    both = [child.user_id, sibling.user_id]
    assert {*both} <= await _listed(family)
    before = await family.traces([sibling])
    assert len(before) > 20
    body = await family.erased(child)
    assert await family.traces([child]) == []
    assert await family.traces([sibling]) == before
    assert body["counts"]["files"] == 3
    assert body["counts"]["public.users"] == 1
    assert body["counts"]["spark.submission_revisions"] == 2
    assert body["counts"]["spark.deliveries"] == 4
    assert body["counts"]["spark.roster_rows"] == 1
    [tombstone] = await family.stores.execute(
        f"SELECT user_id, spark_user_id FROM spark.erasures WHERE id = '{body['id']}'"  # noqa: S608
    )
    assert set(tombstone.values()) == {None}
    assert await family.erased(child) == body
    audit = await family.stores.execute("SELECT action, user_id FROM spark.audit_log")
    assert {row["action"] for row in audit} >= {"sensitive_read", "sensitive_delete"}
    assert {*both} & await _listed(family) == {sibling.user_id}


async def _listed(family: Family) -> set[str]:
    """Whom lists have shown, as the audit log says."""
    rows = await family.stores.execute("SELECT unnest(user_ids)::text AS id FROM spark.audit_log")
    return {row["id"] for row in rows}


async def test_a_student_without_anything_is_erased_as_well(family: Family) -> None:
    child = Child(await family.spark.sign_in(), {})
    child.words.update((child.user_id, child.spark_user_id))
    assert (await family.erased(child))["counts"]["files"] == 0
    assert await family.traces([child]) == []


@pytest.mark.parametrize("role", ["parent", ADMIN])
async def test_only_students_are_erased(family: Family, role: str) -> None:
    other = Child(await family.spark.sign_in(), {})
    await family.stores.execute(
        f"UPDATE users SET role = '{role}' WHERE id = '{other.user_id}'"  # noqa: S608
    )
    before = await family.stores.execute("SELECT * FROM users ORDER BY id")
    assert_problem(await family.erase(other), 409, "not_a_student")
    assert await family.stores.execute("SELECT * FROM users ORDER BY id") == before
    nobody = await family.client.delete(f"{STUDENTS}/{uuid4()}", headers=family.main_app)
    assert_problem(nobody, 404, "not_found")


async def test_who_came_back_by_a_backup_is_erased_again(family: Family) -> None:
    child = await family.raise_child()
    await family.erased(child)
    await family.stores.execute(
        f"INSERT INTO users (id, display_name) VALUES ('{child.user_id}', 'restored')"  # noqa: S608
    )
    again = await family.erased(child)
    diploma = {"public.diplomas": 1} if IS_ADOPTED else {}  # the main app's trigger made it
    assert again["counts"] == {"files": 0, "public.users": 1} | diploma
    assert await family.erased(child) == again
    assert await family.traces([child]) == []


async def test_the_counts_of_hours_lose_what_was_the_students(family: Family) -> None:
    child = await family.raise_child()
    await everything_is_written()
    await family.stores.execute("DELETE FROM spark.activity_hours")
    await family.stores.execute(
        "INSERT INTO spark.activity_hours SELECT date_trunc('hour', created_at, 'UTC'),"
        " event_type, count(*) + 5 FROM user_activity_events"
        " WHERE event_type <> 'student_erased' GROUP BY 1, 2"  # the one to come is not counted yet
    )
    await family.erased(child)
    wrong = await family.stores.execute(
        "SELECT * FROM spark.activity_hours h WHERE events <> 5 + (SELECT count(*)"
        " FROM user_activity_events WHERE date_trunc('hour', created_at, 'UTC') = h.hour"
        " AND event_type = h.event_type)"
    )
    await family.stores.execute("DELETE FROM spark.activity_hours")
    assert wrong == []


# ---------------------------------------------------------------------------- coming back


async def test_nothing_old_brings_an_erased_student_back(family: Family) -> None:
    child = await family.raise_child()
    work = submission(child.student, family.course.assignment)
    child.words.add(work["submission_text"])
    raw = encoded(work)
    assert (await family.spark.submit(raw)).status_code == 200
    stale = submission(
        child.student,
        family.course.assignment,
        submitted_at=(datetime.now(tz=UTC) - timedelta(hours=1)).isoformat(),
    )
    child.words.add(stale["submission_text"])
    now = int(datetime.now(tz=UTC).timestamp())
    launches = [  # L5: Spark's clock may be ahead
        family.spark.launch_token(sub=child.spark_user_id, iat=now + ahead, exp=now + 300)
        for ahead in (0, 30, 59)
    ]
    await family.erased(child)

    assert_problem(await family.spark.submit(raw), 404, "user_not_found")
    assert_problem(await family.spark.post(raw, family.spark.sign_v1(raw)), 404, "user_not_found")
    assert_problem(await family.spark.submit_form(work), 404, "user_not_found")
    assert_problem(await family.spark.submit(stale), 400, "timestamp_too_old")
    old = datetime.now(tz=UTC) - timedelta(minutes=6)
    late = await family.spark.post(raw, family.spark.sign_v1(raw, at=old))
    assert_problem(late, 400, "timestamp_too_old")
    rehearsed = await family.spark.post(
        raw, {"X-Spark-Signature": family.spark.sign(raw)}, dry_run="true"
    )
    assert [each["code"] for each in rehearsed.json()["problems"]] == ["user_not_found"]
    for launch in launches:
        assert_problem(await family.spark.launch(launch), 403, "account_inactive")
    assert await family.traces([child]) == []


async def test_no_roster_brings_an_erased_student_back(family: Family) -> None:
    child = await family.raise_child()
    await family.erased(child)
    joins = entry(child.spark_user_id, email=f"{child.spark_user_id}@example.com")
    alone = {"spark_course_id": family.course.spark_course_id, **joins}
    for message in (roster(family.course, joins), alone):
        changed = (await send(family.spark, message)).json()
        assert [each["code"] for each in changed["errors"]] == ["account_inactive"]
        assert changed["users_created"] == changed["enrolled"] == 0
    checked = (await send(family.spark, roster(family.course, joins), dry_run="true")).json()
    assert [each["code"] for each in checked["problems"]] == ["account_inactive"]
    gone = entry(child.spark_user_id, action="drop")
    assert (await send(family.spark, {**alone, **gone})).status_code == 200
    assert await family.traces([child]) == []

    for apply in ("false", "true"):
        report = await family.import_row(child, "ada@example.com", "Ada", "Example", apply=apply)
        assert report["counts"]["users"]["error"] == 1
        assert [row["code"] for row in report["examples"]] == ["account_inactive"]
    users = await family.stores.execute(
        f"SELECT id FROM lms_integrations WHERE lms_user_id = '{child.spark_user_id}'"  # noqa: S608
    )
    assert users == []
    assert {trace.split(": ")[1] for trace in await family.traces([child])} == {child.spark_user_id}
    named = await family.stores.execute(
        "SELECT email, given_name, family_name FROM spark.roster_rows"  # noqa: S608
        f" WHERE spark_user_id = '{child.spark_user_id}'"
    )
    assert [set(row.values()) for row in named] == [{None}] * 2
    await family.stores.execute("DELETE FROM spark.roster_imports")


async def test_a_new_click_makes_a_new_empty_account(family: Family) -> None:
    child = await family.raise_child()
    old = submission(child.student, family.course.assignment, submitted_at=minutes_ago(3))
    old_id = child.user_id
    await family.stores.execute(
        "UPDATE spark.erasures SET requested_at = requested_at - interval '61 seconds'"  # noqa: S608
        f" WHERE id = '{(await family.erased(child))['id']}'"
    )
    erased = await family.erased(child)
    soon = datetime.now(tz=UTC) + timedelta(seconds=1)  # a token tells whole seconds
    back = await family.spark.sign_in(sub=child.spark_user_id, iat=int(soon.timestamp()))
    assert back.user_id != old_id
    assert_problem(await family.spark.submit(old), 404, "user_not_found")
    new = submission(back, family.course.assignment)
    answer = await family.spark.submit(new)
    assert (answer.status_code, answer.json()["revision"]) == (200, 1)
    kept = await family.stores.execute(
        f"SELECT status FROM spark.deliveries WHERE spark_user_id = '{child.spark_user_id}'"  # noqa: S608
    )
    assert [row["status"] for row in kept] == [200]
    joins = entry(child.spark_user_id)
    assert (await send(family.spark, roster(family.course, joins))).json()["errors"] == []
    assert await family.erased(child) == erased  # of the account that was

    again = Child(back, {}, child.words | {back.user_id, new["submission_text"]})
    assert (await family.erased(again))["id"] != erased["id"]
    assert await family.traces([again]) == []


@pytest.mark.parametrize("finding", ["M4"])
async def test_who_was_erased_is_known_whatever_becomes_of_secrets(
    family: Family, finding: str
) -> None:
    child = await family.raise_child()
    erased = await family.erased(child)
    async with family.with_another_key() as later:
        work = submission(child.student, family.course.assignment)
        assert_problem(await later.spark.submit(work), 404, "user_not_found")
        joins = roster(family.course, entry(child.spark_user_id))
        changed = (await send(later.spark, joins)).json()
        assert [each["code"] for each in changed["errors"]] == ["account_inactive"]
        assert await later.erased(child) == erased


# ---------------------------------------------------------------------------- in between


async def test_sessions_and_codes_end_with_the_order(family: Family) -> None:
    """While the store is away: the account is closed, and the sweep finishes it."""
    child = await family.raise_child()
    code = await family.spark.launch_code(sub=child.spark_user_id)
    async with family.without_store() as broken:
        assert_problem(await broken.erase(child), 503, "storage_unavailable")
    answer = await family.client.post(
        "/internal/v1/sessions/introspect",
        json={"token": child.student.access_token},
        headers=family.main_app,
    )
    assert answer.json() == {"active": False}
    assert_problem(await family.spark.exchange(code), 401, "code_invalid")
    launch = family.spark.launch_token(sub=child.spark_user_id)
    assert_problem(await family.spark.launch(launch), 403, "account_inactive")
    work = submission(child.student, family.course.assignment)
    child.words.add(work["submission_text"])
    assert_problem(await family.spark.submit(work), 404, "user_not_found")
    assert [await family.edit(child, 0, how=how) for how in USES] == [403, 403, 403, 200]
    assert (await sweep(family.resources))["erasures"] == 1
    assert await family.traces([child]) == []
    assert (await family.erased(child))["counts"]["files"] == 2


async def test_a_file_that_is_just_arriving_is_waited_for(family: Family) -> None:
    child = await family.raise_child()
    await family.stores.execute(
        "INSERT INTO spark.uploads (id, user_id, object_key, lease_until, created_at) VALUES"  # noqa: S608
        f" (gen_random_uuid(), '{child.user_id}', '{child.user_id}/{uuid4()}.txt',"
        " now() + interval '1 minute', now())"
    )
    asked = asyncio.create_task(family.erase(child))
    while not await family.stores.execute(UNFINISHED):
        assert not asked.done()
    assert (await sweep(family.resources))["erasures"] == 0
    assert (await scrape(family.client, family.main_app))["spark_erasures_open"] == 1
    await family.stores.execute(
        f"UPDATE spark.uploads SET lease_until = now() WHERE user_id = '{child.user_id}'"  # noqa: S608
    )
    body = (await asked).json()
    assert body["completed_at"]
    assert await family.traces([child]) == []


async def test_a_message_that_nobody_could_read_is_found_among_many(family: Family) -> None:
    child = await family.raise_child()
    await family.stores.execute(
        "INSERT INTO spark.deliveries (id, route, media_type, received_at, status, code, digest,"  # noqa: S608
        " body_bytes, message) SELECT overlay(gen_random_uuid()::text PLACING"
        " CASE WHEN n % 40 = 0 THEN 'f' ELSE '0' END FROM 1 FOR 1)::uuid,"
        " '/spark/webhook/submission', '', now(),"
        f" 400, 'json_invalid', '', 0, convert_to(CASE WHEN n % 40 = 0 THEN '{child.spark_user_id}'"
        " ELSE 'of somebody else' END, 'UTF8') FROM generate_series(1, 120) n"
    )
    await family.erased(child)
    assert await family.traces([child]) == []
    others = await family.stores.execute(
        "DELETE FROM spark.deliveries WHERE message = 'of somebody else' RETURNING id"
    )
    assert len(others) == 117


def _spellings(name: str) -> dict[str, str]:
    """Messages that name a student in ways in which nobody can be read of them."""
    escaped = "".join(rf"\u{ord(character):04x}" for character in name)
    return {
        "another member": json.dumps({"user_id": name}),
        "as Spark's other half": json.dumps({"sparkUserId": name}),
        "a list": json.dumps({"spark_user_id": [name]}),
        "with NUL": json.dumps({"spark_user_id": f"{name}\0"}),
        "NUL within": json.dumps({"spark_user_id": f"{name[:3]}\0{name[3:]}"}),
        "wrapped": json.dumps({"data": {"spark_user_id": name}}),
        "within a list": json.dumps([{"spark_user_id": name}]),
        "JSON in JSON": json.dumps(json.dumps({"spark_user_id": name})),
        "escaped and cut": f'{{"spark_user_id": "{escaped}"',
        "escaped in another member": f'{{"user_id": "{escaped}"}}',
        "a form": urlencode({"spark_user_id": name}),
        "JSON in a form": urlencode({"payload": json.dumps({"spark_user_id": name})}),
        "capitals": json.dumps({"user_id": name.upper()}),
        "decomposed": json.dumps({"user_id": normalize("NFD", name)}, ensure_ascii=False),
        "zero width": json.dumps({"user_id": f"{name[:3]}\u200b{name[3:]}"}),
        "far behind": json.dumps({"text": "calm " * 40_000, "user_id": name}),
    }


@pytest.mark.parametrize("finding", ["M3"])
async def test_what_names_the_child_anywhere_in_any_spelling_is_forgotten(
    family: Family, finding: str
) -> None:
    name = f"é/{secrets.token_hex(8)}"
    student = await family.spark.sign_in(sub=name)
    texts = {f"of {how}: {secrets.token_hex(8)}": text for how, text in _spellings(name).items()}
    texts |= {secrets.token_hex(8): json.dumps({"user_id": f"{name}{end}"}) for end in ("1", "_b")}
    for word, text in texts.items():
        assert (await family.spark.submit(f"{text} {word}".encode())).status_code == 400
    child = Child(student, {}, set(texts))
    assert len(await family.traces([child])) == len(texts)
    await family.erased(child)
    kept = {trace.split(": ", 1)[1] for trace in await family.traces([child])}
    assert kept == {word for word in texts if not word.startswith("of")}
    await family.stores.execute(
        "DELETE FROM spark.deliveries WHERE spark_user_id IS NULL AND user_id IS NULL"
    )


@pytest.mark.parametrize(
    ("spark_user_id", "text", "is_named"),
    [
        ("42", '{"grade": 142, "at": "2026-04-2", "by": "student_42"}', False),
        ("42", '{"user": 42}', True),
        ("1", "user=1&grade=17", True),
        ("-7", "a-7", True),
        ("a.b", "axb", False),
    ],
)
def test_a_short_id_is_looked_for_as_a_word(
    spark_user_id: str, text: str, *, is_named: bool
) -> None:
    assert names(text.encode(), spark_user_id) is is_named


async def test_an_unreadable_message_may_spell_the_id_as_php_does(family: Family) -> None:
    name = secrets.token_hex(8)
    student = await family.spark.sign_in(sub=f"school/{name}é")
    cut = rb'{"spark_user_id": "school\/' + name.encode() + rb'\u00e9", "submission_text": "Rain'
    assert (await family.spark.submit(cut)).status_code == 400
    child = Child(student, {}, {name})
    assert await family.traces([child]) != []
    await family.erased(child)
    assert await family.traces([child]) == []


async def test_what_was_just_read_is_written_down_of_nobody(family: Family) -> None:
    """A reader that waits for the end of an erasure."""
    nobody = uuid4()
    async with family.resources.sessions() as session, session.begin():
        await record_audit(session, "late", "sensitive_read", user_id=nobody, task_id="gone")
    [entry] = await family.stores.execute(
        "SELECT user_id, detail FROM spark.audit_log WHERE caller = 'late'"
    )
    assert entry == {"user_id": None, "detail": {}}


async def test_a_file_that_keeps_arriving_does_not_keep_an_erasure_waiting(family: Family) -> None:
    child = await family.raise_child()
    work = submission(child.student, family.course.assignment)
    child.words.add(work["submission_text"])
    raw = encoded(work)
    body = form(Part("metadata", raw), note(100_000))
    is_erased, ran_out = asyncio.Event(), False

    async def pieces() -> AsyncIterator[bytes]:
        sent = 20_000  # more than is looked at before a file is stored
        yield body[:sent]
        while not is_erased.is_set() and sent < len(body) - 1_000:
            await asyncio.sleep(0.1)
            yield body[sent : sent + 500]
            sent += 500
        nonlocal ran_out
        ran_out = not is_erased.is_set()
        yield body[sent:]

    async with family.with_short_leases() as leased:
        signature = leased.spark.sign(raw)
        arriving = asyncio.create_task(leased.spark.send_form(pieces(), signature=signature))
        pending = f"SELECT id FROM spark.uploads WHERE user_id = '{child.user_id}'"  # noqa: S608
        while len(await family.stores.execute(f"{pending} AND state = 'pending'")) == 0:
            assert not arriving.done()
        await leased.erased(child)
        is_erased.set()
        [end] = await asyncio.gather(arriving, return_exceptions=True)
    assert not ran_out
    if isinstance(end, httpx.Response):  # the sender may be cut off before it is told
        assert_problem(end, 403, "account_inactive")
    assert await family.traces([child]) == []


@pytest.mark.parametrize("row", ["P269"])
async def test_what_is_in_flight_is_refused_or_erased(family: Family, row: str) -> None:
    chance = random.Random(269)  # noqa: S311 - it hides nothing
    children = [await family.raise_child() for _ in range(50 if "SOAK" in os.environ else 2)]

    async def erase(child: Child) -> None:
        await asyncio.sleep(chance.uniform(0, 0.1))
        await family.erased(child)

    for child in children:
        answers = await asyncio.gather(
            *(family.hand_in(child, chance.uniform(0, 0.1), files=n % 3) for n in range(12)),
            *(family.edit(child, chance.uniform(0, 0.2), how=how) for how in USES * 3),
            erase(child),
        )
        assert set(answers) <= {200, 403, 404, 409, 503, None}, answers
    assert await family.traces(children) == []


@pytest.mark.parametrize("row", ["P269"])
async def test_an_erasure_that_is_killed_anywhere_is_finished_by_another(
    family: Family, row: str
) -> None:
    """`kill -9` before a statement, among them each that follows the removal of an object."""
    first = await family.raise_child()
    statements = await family.erase_elsewhere(first)
    assert statements
    children = []
    places = range(statements) if "SOAK" in os.environ else range(1, statements, 9)
    for place in places:
        child = await family.raise_child()
        children.append(child)
        assert await family.erase_elsewhere(child, kill_before=place) is None
        begun = await family.stores.execute(UNFINISHED)
        if place % 2 == 0:
            assert (await sweep(family.resources))["erasures"] == len(begun)
        assert (await family.erased(child))["counts"]["files"] == 2
    assert await family.traces([first, *children]) == []
