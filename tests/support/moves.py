"""A child with two accounts, and the move of its work from one to the other (ADOPTION 7)."""

from typing import Any

import httpx

from tests.support.bodies import Part
from tests.support.evidence import body_of
from tests.support.families import STUDENTS, Child, Family
from tests.support.spark import SignedIn, submission


async def older_account(family: Family, **claims: Any) -> SignedIn:
    """An account of the main app, which Spark does not know."""
    older = await family.spark.sign_in(**claims)
    path = f"{STUDENTS}/{older.user_id}/link"
    assert (await family.client.delete(path, headers=family.main_app)).status_code == 204
    return older


async def hand_in(
    family: Family, older: SignedIn, *files: Part, **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """As a student of Spark's, for a while: what was said and what it was answered."""
    path, said = f"{STUDENTS}/{older.user_id}/link", {"spark_user_id": older.spark_user_id}
    linked = await family.client.post(path, json=said, headers=family.main_app)
    assert linked.status_code == 200, linked.text
    work = submission(older, family.course.assignment, **changes)
    spark = family.spark
    answer = await (spark.submit_form(work, *files) if files else spark.submit(work))
    await family.client.delete(path, headers=family.main_app)
    return work, body_of(answer)


async def ask(family: Family, child: Child, older: SignedIn, **more: Any) -> httpx.Response:
    said = {"spark_user_id": child.spark_user_id, "from": child.user_id} | more
    path = f"{STUDENTS}/{older.user_id}/link"
    return await family.client.post(path, json=said, headers=family.main_app)


async def moved(family: Family, child: Child, older: SignedIn, **more: Any) -> dict[str, Any]:
    moved: dict[str, Any] = body_of(await ask(family, child, older, **more))
    return moved


async def state(family: Family, *user_ids: str) -> dict[str, list[Any]]:
    """Every row of these accounts, but what is told of them."""
    listed = ", ".join(f"'{user_id}'" for user_id in user_ids)
    tables = (
        *("quest_task_completions", "user_task_evidence_documents", "user_quest_tasks"),
        *("user_quests", "spark.submission_revisions", "spark.xp_ledger", "spark.deliveries"),
        *("lms_integrations", "user_skill_xp", "spark.idempotency_keys", "spark.jobs"),
    )
    return {
        table: await family.stores.execute(
            f"SELECT to_jsonb(t) - 'updated_at' AS row FROM {table} t"  # noqa: S608
            f" WHERE user_id IN ({listed}) ORDER BY 1"
        )
        for table in tables
    }


async def total(family: Family, user_id: str) -> int:
    rows = await family.stores.execute(
        f"SELECT total_xp FROM users WHERE id = '{user_id}'"  # noqa: S608
    )
    total: int = rows[0]["total_xp"]
    return total


async def shown_files(family: Family, user_id: str) -> list[bytes]:
    """What the links of all completions of this account give."""
    listed = await family.client.get(
        f"/internal/v1/completions?user_id={user_id}", headers=family.main_app
    )
    contents = []
    for each in body_of(listed)["items"]:
        found = body_of(
            await family.client.get(
                f"/internal/v1/completions/{each['id']}", headers=family.main_app
            )
        )
        for block in found["blocks"]:
            if url := block["content"].get("url"):
                async with httpx.AsyncClient(trust_env=False) as reader:
                    answer = await reader.get(url)
                assert answer.status_code == 200, answer.text
                contents.append(answer.content)
    return contents
