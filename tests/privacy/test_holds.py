"""What retention leaves alone is said by whoever has to keep it, with a reason, and lifted."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.commands import run_on
from tests.support.evidence import body_of
from tests.support.families import Family
from tests.support.problems import assert_problem

HOLDS = "/internal/v1/holds"
REASON = "Order of the court, 7 O 12/26"


async def place(family: Family, **said: Any) -> httpx.Response:
    return await family.client.post(HOLDS, json=said, headers=family.main_app)


async def listed(family: Family) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = body_of(await family.client.get(HOLDS, headers=family.main_app))[
        "items"
    ]
    return items


async def lift(family: Family, hold_id: str) -> httpx.Response:
    return await family.client.delete(f"{HOLDS}/{hold_id}", headers=family.main_app)


async def test_a_hold_is_listed_until_it_is_lifted(family: Family) -> None:
    student = (await family.spark.sign_in()).user_id
    of_student = body_of(await place(family, user_id=student, reason=f" {REASON} "))
    of_school = body_of(await place(family, spark_org_id="24", reason=REASON))
    assert of_student | {"placed_at": None} == {
        "id": of_student["id"],
        "user_id": student,
        "spark_org_id": None,
        "reason": REASON,
        "placed_by": "INTERNAL_API_KEYS[0]",
        "placed_at": None,
    }
    assert (await listed(family))[-2:] == [of_student, of_school]
    for hold in (of_student, of_school):
        assert (await lift(family, hold["id"])).status_code == 204
        assert_problem(await lift(family, hold["id"]), 404, "not_found")
        assert hold not in await listed(family)


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        pytest.param({"spark_org_id": "24"}, 400, "field_invalid", id="no reason"),
        pytest.param({"spark_org_id": "24", "reason": " "}, 400, "field_invalid", id="a blank one"),
        pytest.param({"reason": REASON}, 400, "field_invalid", id="of nobody"),
        pytest.param({"spark_org_id": "", "reason": REASON}, 400, "field_invalid", id="of no id"),
        pytest.param(
            {"spark_org_id": "24", "user_id": str(uuid4()), "reason": REASON},
            *(400, "field_invalid"),
            id="of two",
        ),
        pytest.param({"spark_org_id": "42", "reason": REASON}, 404, "not_found", id="no school"),
        pytest.param(
            {"user_id": str(uuid4()), "reason": REASON}, 404, "not_found", id="no student"
        ),
    ],
)
async def test_a_hold_that_would_keep_nothing_is_refused(
    family: Family, said: dict[str, Any], status: int, code: str
) -> None:
    before = await listed(family)
    assert_problem(await place(family, **said), status, code)
    assert await listed(family) == before


async def test_the_audit_log_says_who_and_not_why(family: Family) -> None:
    child = await family.raise_child()
    held = body_of(await place(family, user_id=child.user_id, reason=f"As {child.user_id} asked"))
    await listed(family)
    await lift(family, held["id"])
    entries = await family.stores.execute(
        "SELECT caller, action, detail FROM spark.audit_log"  # noqa: S608 - an id
        f" WHERE '{child.user_id}'::uuid = any (user_ids || user_id)"
        " AND (detail ? 'hold_id' OR detail ->> 'what' = 'holds') ORDER BY occurred_at"
    )
    ids = {"hold_id": held["id"], "spark_org_id": None}
    assert [(entry["action"], entry["detail"]) for entry in entries] == [
        ("sensitive_create", ids),
        ("sensitive_read", {"what": "holds"}),
        ("sensitive_update", ids),
    ]
    assert {entry["caller"] for entry in entries} == {"INTERNAL_API_KEYS[0]"}


async def test_a_hold_is_the_students_own_and_goes_with_them(family: Family) -> None:
    child = await family.raise_child()
    why = f"As {uuid4()} asked"
    child.words.add(why)
    body_of(await place(family, user_id=child.user_id, reason=why))
    assert await family.traces([child]) != []
    erased = await family.erased(child)
    assert erased["counts"]["spark.holds"] == 1
    assert await family.traces([child]) == []


async def test_a_hold_goes_along_to_the_childs_other_account(family: Family) -> None:
    child, other = await family.raise_child(), await family.spark.sign_in()
    held = body_of(await place(family, user_id=child.user_id, reason=REASON))
    link = f"/internal/v1/students/{other.user_id}/link"
    assert (await family.client.delete(link, headers=family.main_app)).status_code == 204
    moved = await family.client.post(
        link,
        json={"spark_user_id": child.spark_user_id, "from": child.user_id},
        headers=family.main_app,
    )
    assert moved.status_code == 200, moved.text
    assert held | {"user_id": other.user_id} in await listed(family)


async def test_the_same_by_command(family: Family) -> None:
    run = run_on(family.settings)
    student = (await family.spark.sign_in()).user_id
    placed = await run("hold", "add", "--user-id", student, "--reason", REASON)
    assert placed.exit_code == 0, placed.stderr
    hold = json.loads(placed.stdout)
    assert (hold["user_id"], hold["placed_by"]) == (student, "command")
    assert placed.stdout in (await run("hold", "list")).stdout
    for words in (("--user-id", student, "--organisation", "24"), ("--user-id", student)):
        refused = await run("hold", "add", *words, "--reason", "")
        assert (refused.exit_code, refused.stdout) == (1, "")
    unknown = await run("hold", "add", "--organisation", "42", "--reason", REASON)
    assert (unknown.exit_code, unknown.stderr.startswith("not_found: ")) == (1, True)
    lifted = await run("hold", "remove", hold["id"])
    assert (lifted.exit_code, lifted.stdout) == (0, f"{hold['id']} keeps nothing any more.\n")
    assert placed.stdout not in (await run("hold", "list")).stdout
