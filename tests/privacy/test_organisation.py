"""A school leaves: everything of it as a zip, then nothing of it but the certificate."""

import csv
import hashlib
import io
import json
import zipfile
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.commands import run_on
from tests.support.families import Child, Family
from tests.support.killed import run_apart
from tests.support.problems import assert_problem
from tests.support.roster import entry, roster, send
from tests.support.school import (
    ORGANISATIONS,
    School,
    erase_once,
    lines_with,
    open_school,
    traces_of,
)
from tests.support.spark import SignedIn, encoded, submission
from tests.support.work import do_jobs


async def ask(family: Family, path: str = "", **query: str) -> httpx.Response:
    return await family.client.get(f"{ORGANISATIONS}{path}", params=query, headers=family.main_app)


async def users_of(family: Family, child: Child) -> list[dict[str, Any]]:
    return await family.stores.execute(f"SELECT * FROM users WHERE id = '{child.user_id}'")  # noqa: S608


@pytest.mark.parametrize("row", ["issue 25.1"])
async def test_nothing_is_left_of_a_school_but_the_certificate(family: Family, row: str) -> None:
    leaving, staying = await open_school(family), await open_school(family)
    made, before, shared = [await leaving.raise_child() for _ in range(3)]
    await leaving.make_older(before)
    await family.stores.execute(  # homework for nothing that is known is neither school's
        "DELETE FROM spark.deliveries WHERE spark_assignment_id = 'nothing'"  # noqa: S608
        f" AND spark_user_id = '{shared.spark_user_id}'"
    )
    other_text = await staying.hand_in(shared)
    neighbour = await staying.raise_child()
    stranger = f"student_{row}".replace(" ", "_")
    refused = submission(SignedIn(stranger, "", "", ""), leaving.course.assignment)
    assert (await family.spark.submit(refused)).status_code == 404
    gone = {*made.words, *before.words, *shared.words} - {shared.user_id, shared.spark_user_id}
    mixed = {*shared.words, made.user_id, before.user_id, leaving.org}
    their = await lines_with(family, neighbour.words | staying.words, mixed)
    assert len(their) > 20

    plan = (await leaving.erase()).json()
    assert plan["erasure"] is None
    said = {name: plan["plan"][name] for name in ("erased", "unlinked", "without_account")}
    assert said == {"erased": 1, "unlinked": 1, "without_account": 1}
    assert [kept["user_id"] for kept in plan["plan"]["kept"]] == [shared.user_id]
    assert plan["plan"]["files"] == 6
    listed = {each["spark_org_id"]: each for each in (await ask(family)).json()["items"]}
    assert (listed[leaving.org]["students"], listed[leaving.org]["shared"]) == (3, 1)

    certificate = await leaving.erased()
    counts = certificate["counts"]
    for name in ("erased", "unlinked", "kept", "without_account"):
        assert counts[f"students_{name}"] == 1, name
    assert counts["files"] == 6
    assert counts["spark.submission_revisions"] == 6
    assert counts["spark.courses"] == counts["public.quests"] == 1
    assert await family.traces([made]) == []
    assert await family.traces([Child(made.student, {}, {stranger})]) == []
    assert await traces_of(leaving) == []
    kept_words = {*await names_of(family, before), *await names_of(family, shared)}
    left = await family.traces([Child(made.student, {}, gone - kept_words - {before.user_id})])
    assert left == []
    assert await users_of(family, before) != []
    links = await family.stores.execute("SELECT user_id::text FROM lms_integrations")
    linked = {link["user_id"] for link in links}
    assert before.user_id not in linked
    assert shared.user_id in linked
    assert await family.traces([Child(shared.student, {}, {other_text})]) != []
    assert await lines_with(family, neighbour.words | staying.words, mixed) == their
    assert leaving.org not in {each["spark_org_id"] for each in (await ask(family)).json()["items"]}
    assert (await leaving.erase(apply=True)).json()["erasure"] == certificate


async def names_of(family: Family, child: Child) -> set[str]:
    """What the account itself says."""
    said = str(await users_of(family, child))
    return {word for word in child.words if word in said}


async def test_the_accounts_that_stay_have_the_xp_that_was_not_sparks(family: Family) -> None:
    school = await open_school(family)
    child = await school.raise_child()
    await school.make_older(child)
    total = f"SELECT total_xp FROM users WHERE id = '{child.user_id}'"  # noqa: S608
    [earned] = await family.stores.execute(total)
    assert earned["total_xp"] == 100
    await family.stores.execute(
        "INSERT INTO user_skill_xp (user_id, pillar, xp_amount)"  # noqa: S608
        f" VALUES ('{child.user_id}', 'art', 25)"
    )
    await school.erased()
    [kept] = await family.stores.execute(total)
    assert kept["total_xp"] == 25


async def test_an_organisation_needs_an_id_and_has_to_be_known(family: Family) -> None:
    for nothing in ("", "  ", "\u200b"):
        refused = await family.client.post(
            f"{ORGANISATIONS}/erasures",
            json={"spark_org_id": nothing, "apply": True},
            headers=family.main_app,
        )
        assert_problem(refused, 400, "field_invalid")
        assert (await ask(family, "/export", spark_org_id=nothing)).status_code == 400
    refused = await ask(family, "/export", spark_org_id="nobody")
    assert "organisation list" in str(assert_problem(refused, 404, "not_found")["hint"])
    unknown = await family.client.post(
        f"{ORGANISATIONS}/erasures", json={"spark_org_id": "nobody"}, headers=family.main_app
    )
    assert "organisation list" in str(assert_problem(unknown, 404, "not_found")["hint"])
    of_none = await ask(family, f"/erasures/{uuid4()}")
    assert assert_problem(of_none, 404, "not_found")["hint"]


async def test_who_belongs_to_no_organisation_is_in_none(family: Family) -> None:
    child = Child(await family.spark.sign_in(), {})
    before = await users_of(family, child)
    school = await open_school(family)
    await school.raise_child()
    await school.erased()
    assert await users_of(family, child) == before


async def test_the_same_order_is_one_order_and_one_erasure(family: Family) -> None:
    school = await open_school(family)
    await school.raise_child()
    orders = [(await school.erase(apply=True)).json()["erasure"] for _ in range(3)]
    assert len({order["id"] for order in orders}) == 1
    assert orders[0]["completed_at"] is None
    assert (await school.erased())["id"] == orders[0]["id"]


async def test_who_is_named_elsewhere_is_in_the_way_until_that_is_gone(family: Family) -> None:
    """Everybody else leaves."""
    school = await open_school(family)
    stuck, other = await school.raise_child(), await school.raise_child()
    await family.stores.execute("CREATE TABLE main_app_notes (student uuid REFERENCES users (id))")
    await family.stores.execute(f"INSERT INTO main_app_notes VALUES ('{stuck.user_id}')")  # noqa: S608
    try:
        erasure = (await school.erase(apply=True)).json()["erasure"]
        await do_jobs(family.resources)
        assert (await school.certificate(erasure["id"]))["completed_at"] is None
        [job] = await family.stores.execute(
            f"SELECT state, reason FROM spark.jobs WHERE key = '{erasure['id']}'"  # noqa: S608
        )
        assert job == {"state": "waiting", "reason": "referenced_elsewhere"}
        told = await run_on(family.settings)("organisation", "erase", school.org, "--apply")
        assert (told.exit_code, "not complete yet" in told.stdout) == (1, True)
        assert f"{stuck.user_id} referenced_elsewhere" in told.stderr
        assert await family.traces([other]) == []
    finally:
        await family.stores.execute("DROP TABLE main_app_notes")
    assert (await school.erased())["id"] == erasure["id"]
    assert await family.traces([stuck]) == []


@pytest.mark.parametrize("whose", ["school", "student"])
async def test_what_is_held_goes_only_despite_that(family: Family, whose: str) -> None:
    school = await open_school(family)
    child = await school.raise_child()
    held = {"spark_org_id": school.org} if whose == "school" else {"user_id": child.user_id}
    placed = await family.client.post(
        "/internal/v1/holds", json={"reason": "court", **held}, headers=family.main_app
    )
    assert placed.status_code < 300, placed.text
    assert (await school.erase()).json()["plan"]["holds"] == 1
    problem = assert_problem(await school.erase(apply=True), 409, "referenced_elsewhere")
    assert problem["references"] == [{"table": "spark.holds", "rows": 1}]
    asked = await school.erase(apply=True, despite_hold=True)
    await do_jobs(family.resources)
    assert (await school.certificate(asked.json()["erasure"]["id"]))["completed_at"]
    assert await family.traces([child]) == await traces_of(school) == []


async def test_what_arrives_before_the_certificate_goes_and_what_comes_later_is_new(
    family: Family,
) -> None:
    school = await open_school(family)
    child = await school.raise_child()
    erasure = (await school.erase(apply=True)).json()["erasure"]
    late = await school.raise_child()
    assert await school.announce() == school.quest_id
    certificate = await school.erased()
    assert certificate["id"] == erasure["id"]
    assert certificate["counts"]["students_erased"] == 2
    assert await family.traces([child, late]) == []
    assert await traces_of(school) == []
    work = submission(child.student, school.course.assignment)
    assert (await family.spark.submit(encoded(work))).status_code == 404
    assert await school.announce() != school.quest_id
    changed = await send(family.spark, roster(school.course, entry(child.spark_user_id)))
    assert [each["code"] for each in changed.json()["errors"]] == ["account_inactive"]
    [listed] = [
        each for each in (await ask(family)).json()["items"] if each["spark_org_id"] == school.org
    ]
    assert (listed["courses"], listed["students"]) == (1, 0)
    assert (await school.erased())["id"] != certificate["id"]
    assert await traces_of(school) == []


async def test_a_student_who_moves_to_another_school_meanwhile_is_kept(family: Family) -> None:
    school, other = await open_school(family), await open_school(family)
    child = await school.raise_child()
    assert (await school.erase()).json()["plan"]["erased"] == 1
    await school.erase(apply=True)
    text = await other.hand_in(child)
    certificate = await school.erased()
    assert certificate["counts"]["students_kept"] == 1
    assert "students_erased" not in certificate["counts"]
    assert await family.traces([Child(child.student, {}, {text})]) != []
    assert await traces_of(school) == []


async def test_an_erasure_that_is_killed_anywhere_is_finished_by_another(family: Family) -> None:
    """And a family's wish goes before the school's: who only leaves Spark is erased whole."""
    school, other = await open_school(family), await open_school(family)
    children = [await school.raise_child() for _ in range(3)]
    wished, older, shared = children
    await school.make_older(wished)
    await school.make_older(older)
    await other.hand_in(shared)
    begun = f"SELECT id FROM spark.erasures WHERE user_id = '{wished.user_id}'"  # noqa: S608
    place = 0
    while not await family.stores.execute(begun):
        assert place < 40
        act = partial(erase_once, family.settings, school.org)
        assert await run_apart(act, "commit", kill_at=place) is None
        place += 1
    erased = await family.erased(wished)
    assert erased["counts"]["public.users"] == 1
    assert await family.traces([wished]) == []
    assert await family.erased(wished) == erased
    counts = (await school.erased())["counts"]
    assert counts["students_unlinked"] == counts["students_kept"] == 1
    assert await traces_of(school) == []


# ---------------------------------------------------------------------------- out


def index_of(archive: zipfile.ZipFile) -> dict[str, dict[str, str]]:
    read = csv.DictReader(io.StringIO(archive.read("index.csv").decode("utf-8-sig")))
    return {row["user_id"]: row for row in read}


async def exported(school: School) -> zipfile.ZipFile:
    answer = await ask(school.family, "/export", spark_org_id=school.org)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert len(set(archive.namelist())) == len(archive.namelist())
    return archive


async def test_a_school_gets_what_is_its_own_and_no_more(family: Family) -> None:
    school, other = await open_school(family), await open_school(family)
    made, before, shared = [await school.raise_child() for _ in range(3)]
    await school.make_older(before)
    theirs = await other.hand_in(shared)
    neighbour = await other.raise_child()
    archive = await exported(school)
    index = index_of(archive)
    assert {user: row["what"] for user, row in index.items()} == {
        made.user_id: "erased",
        before.user_id: "unlinked",
        shared.user_id: "kept",
    }
    folders: dict[str, str] = {}
    for child in (made, before, shared):
        folder = index[child.user_id]["folder"]
        inside = [name for name in archive.namelist() if name.startswith(f"{folder}/")]
        folders[child.user_id] = "".join(
            archive.read(name).decode() for name in inside if name.endswith(".jsonl")
        )
        files = {name: archive.read(name) for name in inside if "/files/" in name}
        assert sorted(files.values()) == sorted(child.files.values())
        sums = archive.read(f"{folder}/SHA256SUMS").decode().splitlines()
        assert sums == [
            f"{hashlib.sha256(content).hexdigest()}  {name.removeprefix(f'{folder}/')}"
            for name, content in files.items()
        ]
    assert all(word in folders[made.user_id] for word in made.words - made.unread)
    profile = await names_of(family, before)
    work = before.words - before.unread - profile
    assert all(word in folders[before.user_id] for word in work)
    assert theirs not in folders[shared.user_id]
    whole = "".join(archive.read(name).decode("utf-8", "ignore") for name in archive.namelist())
    assert not any(word in whole for word in neighbour.words | other.words)
    courses = archive.read("organisation/spark.courses.jsonl").decode().splitlines()
    assert [json.loads(row)["spark_org_id"] for row in courses] == [school.org]
    assert index[made.user_id]["spark_user_ids"] == made.spark_user_id
    audit = await family.stores.execute(
        "SELECT unnest(user_ids)::text AS id FROM spark.audit_log"
        " WHERE detail ->> 'what' = 'organisation'"
    )
    assert {row["id"] for row in audit} >= {made.user_id, before.user_id, shared.user_id}


@pytest.mark.parametrize("said", [{}, {"spark_course_id": ...}], ids=["course", "assignment"])
async def test_what_goes_of_who_has_no_account_is_in_the_zip(
    family: Family, said: dict[str, Any]
) -> None:
    school = await open_school(family)
    stranger = SignedIn(f"student_{uuid4().hex}", "", "", "")
    refused = submission(stranger, school.course.assignment, **said)
    assert (await family.spark.submit(refused)).status_code == 404
    messages = (await exported(school)).read("organisation/spark.deliveries.jsonl").decode()
    assert stranger.spark_user_id in messages


async def test_a_name_is_no_formula_in_the_index(family: Family) -> None:
    school = await open_school(family)
    child = await school.raise_child()
    await family.stores.execute(
        f"UPDATE users SET first_name = '=1+1' WHERE id = '{child.user_id}'"  # noqa: S608
    )
    assert index_of(await exported(school))[child.user_id]["given_name"] == "'=1+1"


async def test_an_export_that_breaks_does_not_open(family: Family) -> None:
    school = await open_school(family)
    await school.raise_child()
    received = bytearray()
    async with family.without_store() as broken:
        path = f"{ORGANISATIONS}/export"
        query = {"spark_org_id": school.org}
        async with broken.client.stream(
            "GET", path, params=query, headers=broken.main_app
        ) as answer:
            with suppress(httpx.RemoteProtocolError):
                async for chunk in answer.aiter_bytes():
                    received += chunk
    assert received.startswith(b"PK")
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(received))


# ---------------------------------------------------------------------------- by command


async def test_the_commands_list_export_erase_and_certify(family: Family, tmp_path: Any) -> None:
    run = run_on(family.settings)
    school = await open_school(family)
    child, shared = await school.raise_child(), await school.raise_child()
    await (await open_school(family)).hand_in(shared)
    listed = await run("organisation", "list")
    [line] = [line.split() for line in listed.stdout.splitlines() if school.org in line]
    assert line[:3] == ["1", "2", "1"]
    written = tmp_path / "school.zip"
    done = await run("organisation", "export", school.org, "--output", str(written))
    assert (done.exit_code, done.stdout) == (0, f"{written} is written.\n"), done.output
    assert child.user_id in index_of(zipfile.ZipFile(written))
    dry = await run("organisation", "erase", school.org)
    assert dry.exit_code == 0, dry.output
    assert dry.stdout.splitlines()[-1] == "Nothing was changed; `--apply` erases them."
    assert shared.user_id in dry.stdout
    assert await users_of(family, child) != []
    erased = await run("organisation", "erase", school.org, "--apply")
    assert erased.exit_code == 0, erased.output
    printed = erased.stdout[erased.stdout.index("Certificate") :]
    assert "by command" in printed
    for said in ("1  students whose accounts are erased (students_erased)", "1  courses ("):
        assert f" {said}" in printed
    assert "Backups" in printed
    assert not any(word in printed for word in child.words | shared.words)
    [erasure] = [line.split()[1] for line in printed.splitlines() if line.startswith("erasure:")]
    again = await run("organisation", "certificate", erasure)
    assert (again.exit_code, again.stdout) == (0, printed)
    assert await family.traces([child]) == []
    for nothing in ("", " "):
        refused = await run("organisation", "erase", nothing)
        assert (refused.exit_code, refused.stdout) == (2, "")
