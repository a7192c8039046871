"""A child has two accounts: what came through Spark moves to the other (ADOPTION 7)."""

import asyncio
from typing import Any
from uuid import UUID, uuid5

import pytest

from app.privacy.holdings import HOLDINGS
from app.worker import sweep
from tests.support.bodies import Part
from tests.support.evidence import body_of
from tests.support.families import STUDENTS, Family
from tests.support.moves import ask, hand_in, moved, older_account, shown_files, state, total
from tests.support.problems import assert_problem
from tests.support.spark import submission


async def test_what_came_through_spark_moves_with_the_link(family: Family) -> None:
    child, older = await family.raise_child(), await older_account(family)
    assert (await family.add_file(child, b"my own notes", "own.txt")).status_code == 200
    await family.stores.execute(
        "INSERT INTO spark.jobs (kind, key, user_id)"  # noqa: S608
        f" VALUES ('later', '{child.submission_id}', '{child.user_id}') RETURNING id"
    )
    files, xp = await shown_files(family, child.user_id), await total(family, child.user_id)
    before = await state(family, child.user_id, older.user_id)
    assert files
    assert xp > 0

    would = await moved(family, child, older, dry_run=True)
    assert (would["moved"]["completions"], would["moved"]["jobs"]) == (1, 1)
    assert await state(family, child.user_id, older.user_id) == before

    done = await moved(family, child, older)
    assert done == would
    assert await moved(family, child, older) == {"moved": {}, "conflicts": []}
    assert await state(family, child.user_id) == {table: [] for table in before} | {
        "user_skill_xp": (await state(family, child.user_id))["user_skill_xp"]
    }
    assert await shown_files(family, older.user_id) == files
    assert await total(family, child.user_id) == 0
    assert await total(family, older.user_id) == xp
    assert (await family.spark.sign_in(sub=child.spark_user_id)).user_id == older.user_id


async def test_old_objects_go_and_the_empty_account_is_erased_without_the_work(
    family: Family,
) -> None:
    child, older = await family.raise_child(), await older_account(family)
    files = await shown_files(family, child.user_id)
    await moved(family, child, older)
    await sweep(family.resources)
    keys = await asyncio.to_thread(family.stores.object_keys)
    assert not [key for key in keys if key.startswith(child.user_id)]
    assert [key for key in keys if key.startswith(older.user_id)]
    erased = await family.client.delete(f"{STUDENTS}/{child.user_id}", headers=family.main_app)
    assert body_of(erased)["counts"].get("spark.submission_revisions", 0) == 0
    assert await shown_files(family, older.user_id) == files


async def test_homework_goes_on_at_the_other_account(family: Family) -> None:
    """A new revision replaces the one that was moved, and pays nothing again."""
    child, older = await family.raise_child(), await older_account(family)
    xp = await total(family, child.user_id)
    await moved(family, child, older)
    again = submission(child.student, family.course.assignment)
    answer = await family.spark.submit_form(again, Part("file", b"corrected", filename="c.txt"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["revision"] > 1
    assert answer.json()["xp_awarded"] == 0
    assert await total(family, older.user_id) == xp
    assert b"corrected" in await shown_files(family, older.user_id)


async def test_a_move_that_was_cut_off_is_done_again(family: Family) -> None:
    """Killed after a copy, before the rows: what is left are rows of copies, and objects."""
    child, older = await family.raise_child(), await older_account(family)
    files = await shown_files(family, child.user_id)
    rows = await family.stores.execute(
        "SELECT id::text, object_key FROM spark.uploads"  # noqa: S608
        f" WHERE user_id = '{child.user_id}' AND state = 'committed'"
    )
    for row in rows:
        copy = uuid5(UUID(row["id"]), older.user_id)
        key = f"{older.user_id}/{copy}.{row['object_key'].rpartition('.')[2]}"
        await family.stores.execute(
            "INSERT INTO spark.uploads (id, user_id, object_key, lease_until)"  # noqa: S608
            f" VALUES ('{copy}', '{older.user_id}', '{key}', now()) RETURNING id"
        )
    await moved(family, child, older)
    assert await shown_files(family, older.user_id) == files
    await sweep(family.resources)
    assert await shown_files(family, older.user_id) == files


async def test_copies_of_a_move_that_never_came_are_swept(family: Family) -> None:
    child, older = await family.raise_child(), await older_account(family)
    await family.stores.execute(
        "INSERT INTO spark.uploads (id, user_id, object_key, lease_until)"
        f" SELECT gen_random_uuid(), '{older.user_id}', '{older.user_id}/x.txt', now()"
        " RETURNING id"
    )
    await sweep(family.resources)
    rows = await family.stores.execute(
        f"SELECT id FROM spark.uploads WHERE user_id = '{older.user_id}'"  # noqa: S608
    )
    assert rows == []
    assert await shown_files(family, child.user_id)


async def test_what_both_have_worked_on_is_refused_and_named(family: Family) -> None:
    child, older = await family.raise_child(), await older_account(family)
    await hand_in(family, older)
    before = await state(family, child.user_id, older.user_id)
    refused = assert_problem(await ask(family, child, older), 409, "account_link_forbidden")
    assert "1 of the tasks" in str(refused["hint"])
    would = await moved(family, child, older, dry_run=True)
    assert len(would["conflicts"]) == 1
    assert await state(family, child.user_id, older.user_id) == before


async def test_who_is_enrolled_already_gets_the_work_in_that_enrolment(family: Family) -> None:
    """The copies of the task that nobody worked on are exchanged: nothing is deleted."""
    courses = [family.course.assignment.spark_course_id]
    child, older = await family.raise_child(), await older_account(family, courses=courses)
    files, xp = await shown_files(family, child.user_id), await total(family, child.user_id)
    before = await state(family, child.user_id, older.user_id)
    assert (await moved(family, child, older))["moved"]["completions"] == 1
    after = await state(family, child.user_id, older.user_id)
    for table in ("user_quests", "user_quest_tasks", "quest_task_completions"):
        assert len(after[table]) == len(before[table])
    sources = [
        (row["row"]["user_id"], row["row"]["source_task_id"]) for row in after["user_quest_tasks"]
    ]
    assert len(set(sources)) == len(sources)
    enrolments = {row["row"]["id"]: row["row"]["user_id"] for row in after["user_quests"]}
    for row in after["user_quest_tasks"]:
        assert enrolments[row["row"]["user_quest_id"]] == row["row"]["user_id"]
    assert await shown_files(family, older.user_id) == files
    assert (await total(family, child.user_id), await total(family, older.user_id)) == (0, xp)
    again = await family.spark.submit(submission(child.student, family.course.assignment))
    assert (again.status_code, again.json()["xp_awarded"]) == (200, 0)


async def test_files_that_arrive_during_the_move_are_sent_again(family: Family) -> None:
    """Neither lost nor under the wrong account: 503 says to come again, or all is well."""
    for _ in range(3):
        child, older = await family.raise_child(), await older_account(family)
        work = submission(child.student, family.course.assignment)
        part = Part("file", b"rain" * 5000, filename="r.txt")
        moving, answer = await asyncio.gather(
            ask(family, child, older), family.spark.submit_form(work, part)
        )
        assert moving.status_code == 200, moving.text
        assert answer.status_code in {200, 503}, answer.text
        if answer.status_code == 503:
            assert answer.headers["retry-after"]
            assert (await family.spark.submit_form(work, part)).status_code == 200
        assert part.content in await shown_files(family, older.user_id)
        assert not (await state(family, child.user_id))["spark.submission_revisions"]


async def test_homework_during_the_move_is_neither_lost_nor_doubled(family: Family) -> None:
    for _ in range(3):
        child, older = await family.raise_child(), await older_account(family)
        xp = await total(family, child.user_id)
        sent = [submission(child.student, family.course.assignment) for _ in range(6)]
        moving, *answers = await asyncio.gather(
            ask(family, child, older), *map(family.spark.submit, sent)
        )
        assert moving.status_code == 200, moving.text
        assert [answer.status_code for answer in answers] == [200] * len(sent)
        left = await state(family, child.user_id)
        assert not left["spark.submission_revisions"], left
        numbers = await family.stores.execute(
            "SELECT revision FROM spark.submission_revisions"  # noqa: S608
            f" WHERE user_id = '{older.user_id}' ORDER BY 1"
        )
        assert len({row["revision"] for row in numbers}) == len(numbers) >= len(sent)
        assert await total(family, older.user_id) == xp


@pytest.mark.parametrize("who", ["parent", "linked", "nobody"])
async def test_a_move_to_whom_it_may_not_go_changes_nothing(family: Family, who: str) -> None:
    child, older = await family.raise_child(), await older_account(family)
    if who == "parent":
        await family.stores.execute(
            f"UPDATE users SET role = 'parent' WHERE id = '{older.user_id}'"  # noqa: S608
        )
        assert_problem(await ask(family, child, older), 409, "not_a_student")
    elif who == "linked":
        other = await family.spark.sign_in()
        assert_problem(await ask(family, child, other), 409, "account_link_forbidden")
    else:
        stranger = await older_account(family)
        said = {"from": stranger.user_id}
        assert_problem(await ask(family, child, older, **said), 404, "not_found")
    assert (await state(family, child.user_id))["lms_integrations"]


async def test_files_by_url_move_with_the_homework(family: Family) -> None:
    """One that is stored names the copy of its file; the other is fetched into the new account."""
    child, older = await family.raise_child(), await older_account(family)
    await family.stores.execute(
        "INSERT INTO spark.downloads (id, submission_id, user_id, position, place, is_private, url,"  # noqa: S608
        " host, filename, state, upload_id)"
        " SELECT gen_random_uuid(), u.submission_id, u.user_id, 90 + u.position, 90, false,"
        " 'https://files.example/x', 'files.example', u.filename,"
        " CASE WHEN u.position = 0 THEN 'pending' ELSE 'stored' END, u.id"
        f" FROM spark.uploads u WHERE u.submission_id = '{child.submission_id}' RETURNING id"
    )
    assert (await moved(family, child, older))["moved"]["downloads"] == len(child.files)
    named = await family.stores.execute(
        "SELECT d.state, u.state AS file FROM spark.downloads d"  # noqa: S608
        " JOIN spark.uploads u ON u.id = d.upload_id AND u.user_id = d.user_id"
        f" WHERE d.user_id = '{older.user_id}'"
    )
    assert {(row["state"], row["file"]) for row in named} == {
        ("pending", "committed"),
        ("stored", "committed"),
    }


async def test_of_a_quest_of_the_main_apps_what_was_handed_in_moves_alone(family: Family) -> None:
    """Whoever else is in that quest stays: the other account gets an enrolment of its own."""
    quest = await family.stores.execute(
        "INSERT INTO quests (title, quest_type, is_public) VALUES ('Rain', 'optio', true)"
        " RETURNING id::text"
    )
    quest_id = quest[0]["id"]
    await family.stores.execute(
        "INSERT INTO course_quest_tasks (quest_id, title, pillar, xp_value, order_index)"  # noqa: S608
        f" SELECT '{quest_id}', 'Task ' || n, 'art', 30, n FROM generate_series(1, 3) n"
        " RETURNING id"
    )
    said = {
        "spark_course_id": family.course.assignment.spark_course_id,
        "spark_assignment_id": "linked_by_hand",
        "quest_id": quest_id,
    }
    linked = await family.client.put("/internal/v1/links", json=said, headers=family.main_app)
    assert linked.status_code == 200, linked.text
    child, older = await family.raise_child(), await older_account(family)
    work = submission(child.student, family.course.assignment, spark_assignment_id="linked_by_hand")
    answer = body_of(await family.spark.submit(work))
    await family.stores.execute(
        "INSERT INTO quest_task_completions (user_id, quest_id, task_id, completed_at)"  # noqa: S608
        " SELECT user_id, quest_id, id, now() FROM user_quest_tasks"
        f" WHERE user_id = '{child.user_id}' AND title = 'Task 3' RETURNING id"
    )
    xp = await total(family, child.user_id)

    await moved(family, child, older)

    rows = await family.stores.execute(
        "SELECT t.id::text, t.title, t.user_id::text, e.user_id::text AS enrolled,"  # noqa: S608
        " k.user_id::text AS did"
        " FROM user_quest_tasks t JOIN user_quests e ON e.id = t.user_quest_id"
        " LEFT JOIN quest_task_completions k ON k.task_id = t.id"
        f" WHERE t.quest_id = '{quest_id}'"
    )
    assert all(row["user_id"] == row["enrolled"] for row in rows), rows
    assert {(row["title"], row["did"]) for row in rows if row["did"]} == {
        ("Task 1", older.user_id),
        ("Task 3", child.user_id),
    }
    for user_id in (child.user_id, older.user_id):
        titles = sorted(row["title"] for row in rows if row["user_id"] == user_id)
        assert titles == ["Task 1", "Task 2", "Task 3"]
    assert answer["task_id"] in {row["id"] for row in rows if row["user_id"] == older.user_id}
    assert (await total(family, child.user_id), await total(family, older.user_id)) == (0, xp)


async def test_of_moves_at_once_to_several_accounts_one_is_made(family: Family) -> None:
    child = await family.raise_child()
    files, xp = await shown_files(family, child.user_id), await total(family, child.user_id)
    others = [await older_account(family) for _ in range(3)]
    asked = [ask(family, child, other) for other in others for _ in range(2)]
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200, 404}, [a.text for a in answers]
    refused = next(answer for answer in answers if answer.status_code == 404)
    assert "`from` is not linked" in str(assert_problem(refused, 404, "not_found")["hint"])
    owners = [
        other
        for other, first, again in zip(others, answers[::2], answers[1::2], strict=True)
        if {first.status_code, again.status_code} == {200}
    ]
    assert len(owners) == 1
    assert await shown_files(family, owners[0].user_id) == files
    for other in others:
        is_owner = other is owners[0]
        assert await total(family, other.user_id) == (xp if is_owner else 0)
        assert bool((await state(family, other.user_id))["lms_integrations"]) == is_owner
    await sweep(family.resources)
    assert await shown_files(family, owners[0].user_id) == files


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"from": "itself"}, "from"),
        ({"from": None, "dry_run": True}, "dry_run"),
        ({"from": None, "prefer": "moved"}, "prefer"),
    ],
    ids=["from-itself", "dry-run-of-a-link", "prefer-of-a-link"],
)
async def test_what_no_move_is_asked_is_refused_and_nothing_is_linked(
    family: Family, more: dict[str, Any], field: str
) -> None:
    older = await older_account(family)
    said = {"spark_user_id": "somebody"} | more
    if said["from"]:
        said["from"] = older.user_id
    path = f"{STUDENTS}/{older.user_id}/link"
    answer = await family.client.post(path, json=said, headers=family.main_app)
    problem = assert_problem(answer, 400, "field_invalid")
    assert problem["error"] == f"Invalid field: {field}"
    assert problem["hint"]
    assert not (await state(family, older.user_id))["lms_integrations"]


async def test_a_store_that_is_away_changes_nothing_and_a_lost_file_stops_no_move(
    family: Family,
) -> None:
    child, older = await family.raise_child(), await older_account(family)
    xp, before = await total(family, child.user_id), await state(family, child.user_id)
    async with family.without_store() as without:
        refused = await ask(without, child, older)
        assert_problem(refused, 503, "storage_unavailable")
        assert refused.headers["retry-after"]
        assert await state(family, child.user_id) == before
    keys = await asyncio.to_thread(family.stores.object_keys)
    lost = next(key for key in keys if key.startswith(child.user_id))
    await family.resources.bucket.delete(lost)
    assert (await moved(family, child, older))["moved"]["files"] == len(child.files)
    assert await total(family, older.user_id) == xp
    await sweep(family.resources)
    keys = await asyncio.to_thread(family.stores.object_keys)
    assert len([key for key in keys if key.startswith(older.user_id)]) == len(child.files) - 1


@pytest.mark.parametrize("both", [False, True], ids=["one-worked", "both-worked"])
async def test_a_file_of_the_main_apps_editor_is_shown_after_the_move(
    family: Family, *, both: bool
) -> None:
    """It stays where that editor put it: who added the block says whose file it is."""
    async with family.beside_main_app("https://db.example.test") as beside:
        child, older = await beside.raise_child(), await older_account(beside)
        if both:
            await hand_in(beside, older)
        key = f"evidence-blocks/{child.user_id}/native.jpg"
        pointer = f"https://db.example.test/storage/v1/object/public/{beside.settings.s3_bucket}"
        await beside.stores.execute(
            "INSERT INTO evidence_document_blocks"  # noqa: S608
            " (document_id, block_type, content, order_index, uploaded_by_user_id)"
            f" SELECT id, 'image', '{{\"url\": \"{pointer}/{key}\"}}', 50, user_id"
            f" FROM user_task_evidence_documents WHERE user_id = '{child.user_id}' RETURNING id"
        )
        await moved(beside, child, older, prefer="moved")
        listed = await beside.client.get(
            f"/internal/v1/completions?user_id={older.user_id}", headers=beside.main_app
        )
        [done] = body_of(listed)["items"]
        read = await beside.client.get(
            f"/internal/v1/completions/{done['id']}", headers=beside.main_app
        )
        urls = [block["content"].get("url", "") for block in body_of(read)["blocks"]]
        assert [f"/{key}?" in url and "X-Amz-Signature=" in url for url in urls].count(True) == 1
        mine = [url for url in urls if f"/{older.user_id}/" in url]
        assert len(mine) == len(child.files)


# Totals follow the ledger; who came, and who looked at it, was the account it came to.
STAYS = {
    *("public.user_skill_xp", "public.user_subject_xp"),
    *("spark.audit_log", "spark.lms_sessions", "spark.spark_auth_codes"),
}


async def test_of_every_table_that_names_a_student_the_rows_move(family: Family) -> None:
    """A new one is moved, too, or named among those that stay."""
    tables = {holding.name for holding in HOLDINGS if "user_id" in holding.table.__table__.columns}
    child, older = await family.raise_child(), await older_account(family)
    for path, said in (
        ("holds", {"user_id": child.user_id, "reason": "A lawsuit"}),
        ("grades", {"user_id": child.user_id, "task_id": child.task_id, "score": 80}),
    ):
        answer = await family.client.post(
            f"/internal/v1/{path}", json=said, headers=family.main_app
        )
        assert answer.is_success, answer.text
    await family.stores.execute(
        "INSERT INTO spark.downloads"  # noqa: S608
        " (id, submission_id, user_id, position, place, is_private, host, filename)"
        f" VALUES (gen_random_uuid(), '{child.submission_id}', '{child.user_id}', 9, 9, false,"
        " 'files.example', 'rain.csv') RETURNING id"
    )
    await family.stores.execute(
        f"INSERT INTO spark.jobs (kind, key, user_id) VALUES ('later', 'x', '{child.user_id}')"  # noqa: S608
        " RETURNING id"
    )

    async def tables_of(user_id: str) -> set[str]:
        listed = " UNION ALL ".join(
            f"SELECT '{name}' AS name FROM {name} WHERE user_id = '{user_id}'"  # noqa: S608
            for name in tables
        )
        return {row["name"] for row in await family.stores.execute(listed)}

    assert tables - await tables_of(child.user_id) <= STAYS
    await moved(family, child, older)
    await sweep(family.resources)
    assert await tables_of(child.user_id) <= STAYS
    assert tables - await tables_of(older.user_id) <= STAYS
