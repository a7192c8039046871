"""Nothing is kept for longer than its rule says; the pass says how much went (FAULTS P270)."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.errors import StorageUnavailableError
from app.privacy.retention import BATCH_ROWS, rules
from app.worker import sweep
from tests.support.families import Family

# Rows of each kind, `{days}` old, each with the words `{mark}` to find it by. A user is there.
KINDS = {
    "launches": (
        1,
        (
            "INSERT INTO spark.sso_replays (key, code_hash, expires_at)"
            " VALUES ('{mark}', '{mark}', {then})"
        ),
        "spark.sso_replays",
    ),
    "codes": (
        1,
        (
            "INSERT INTO spark.spark_auth_codes (code, user_id, expires_at)"
            " VALUES ('{mark}', '{user}', {then})"
        ),
        "spark.spark_auth_codes",
    ),
    "sessions": (
        30,
        (
            "INSERT INTO spark.lms_sessions (user_id, lms_platform, session_token, expires_at,"
            " revoked_at) VALUES ('{user}', 'spark', '{mark}', now() + interval '9 days', {then}),"
            " ('{user}', 'spark', '{mark}', {then}, NULL)"
        ),
        "spark.lms_sessions",
    ),
    "deliveries": (
        30,
        (
            "INSERT INTO spark.deliveries (id, route, media_type, received_at, status, digest,"
            " body_bytes) VALUES (gen_random_uuid(), '{mark}', '', {then}, 200, '', 0)"
        ),
        "spark.deliveries",
    ),
    "idempotency_keys": (
        30,
        (
            "INSERT INTO spark.idempotency_keys (key, owner, lease_until, created_at)"
            " VALUES ('{mark}', gen_random_uuid(), now(), {then})"
        ),
        "spark.idempotency_keys",
    ),
    "roster_imports": (
        30,
        (
            "WITH made AS (INSERT INTO spark.roster_imports (id, state, created_at)"
            " VALUES (gen_random_uuid(), 'checked', {then}) RETURNING id)"
            " INSERT INTO spark.roster_rows (import_id, number, source, spark_user_id)"
            " SELECT id, 1, 'users', '{mark}' FROM made"
        ),
        "spark.roster_rows",
    ),
    "activity": (
        400,
        (
            "INSERT INTO user_activity_events (session_id, event_type, event_category, created_at)"
            " VALUES (gen_random_uuid(), '{mark}', 'lms', {then})"
        ),
        "user_activity_events",
    ),
    "activity_hours": (
        400,
        "INSERT INTO spark.activity_hours VALUES (date_trunc('hour', {then}), '{mark}', 7)",
        "spark.activity_hours",
    ),
    "audit_log": (
        400,
        (
            "INSERT INTO spark.audit_log (occurred_at, caller, action, detail)"
            " VALUES ({then}, '{mark}', 'sensitive_read', '{{}}')"
        ),
        "spark.audit_log",
    ),
}
TWO_ROWS = "sessions"


@pytest.mark.parametrize("row", ["P270"])
async def test_what_is_old_goes_and_what_is_younger_stays(family: Family, row: str) -> None:
    user = (await family.spark.sign_in()).user_id
    for days, insert, _ in KINDS.values():
        for mark, age in (("old", days + 1), ("young", days - 1)):
            then = f"now() - interval '{age} days'"
            await family.stores.execute(insert.format(mark=mark + user, user=user, then=then))
    removed = await sweep(family.resources)
    for name, (_, _, table) in KINDS.items():
        assert removed[name] >= 1 + (name == TWO_ROWS), name
        assert await count(family, table, "old" + user) == 0, name
        assert await count(family, table, "young" + user) == 1 + (name == TWO_ROWS), name
    again = await sweep(family.resources)
    assert {name: again[name] for name in KINDS} == dict.fromkeys(KINDS, 0)


async def count(family: Family, table: str, mark: str) -> int:
    as_bytes = mark.encode().hex()
    found = await family.stores.execute(
        f"SELECT count(*) AS rows FROM {table} t"  # noqa: S608 - our own
        f" WHERE t::text LIKE '%{mark}%' OR t::text LIKE '%{as_bytes}%'"
    )
    rows: int = found[0]["rows"]
    return rows


PERSONAL = {
    "spark_user_id": "student_42",
    "ip_address": "192.0.2.7",
    "email": "a@example.com",
    "user_email": "a@example.com",
    "user_id": "42",
    "quest_id": "kept",
}


async def add_events(family: Family, user: str, days: Sequence[int], category: str) -> None:
    for age in days:
        await family.stores.execute(
            "INSERT INTO user_activity_events (user_id, session_id, event_type, event_category,"  # noqa: S608
            " event_data, referrer_url, user_agent, page_url, created_at) VALUES"
            f" ('{user}', gen_random_uuid(), 'aged {age}', '{category}', '{json.dumps(PERSONAL)}',"
            f" 'https://r.example', 'Firefox', '/spark/sso', now() - interval '{age} days')"
        )


@pytest.mark.parametrize("row", ["P270"])
async def test_an_old_event_is_nobodys(family: Family, row: str) -> None:
    user = (await family.spark.sign_in()).user_id
    await add_events(family, user, (91, 89), "lms")
    await add_events(family, user, (500,), "web")
    assert (await sweep(family.resources))["activity_personal"] == 1
    rows = await family.stores.execute(
        "SELECT * FROM user_activity_events WHERE event_type LIKE 'aged%' ORDER BY created_at"
    )
    web, old, young = rows
    for untouched in (web, young):
        assert str(untouched["user_id"]) == user
        assert untouched["event_data"] == PERSONAL
    assert {old[name] for name in ("user_id", "user_agent", "referrer_url")} == {None}
    assert old["event_data"] == {"quest_id": "kept"}
    assert old["page_url"] == "/spark/sso"
    assert old["anonymized_at"]
    assert (await sweep(family.resources))["activity_personal"] == 0


async def test_sessions_at_other_platforms_are_not_ours(family: Family) -> None:
    user = (await family.spark.sign_in()).user_id
    await family.stores.execute(
        "INSERT INTO spark.lms_sessions (user_id, lms_platform, session_token, expires_at)"  # noqa: S608
        f" VALUES ('{user}', 'canvas', 'theirs', now() - interval '31 days')"
    )
    await sweep(family.resources)
    kept = await family.stores.execute(
        "SELECT * FROM spark.lms_sessions WHERE session_token = 'theirs'"
    )
    assert len(kept) == 1


async def test_what_the_main_app_anonymised_loses_its_ids_as_well(family: Family) -> None:
    """Its job leaves keys that lead to the student (CONTRACT 9.1)."""
    user = (await family.spark.sign_in()).user_id
    await add_events(family, user, (91, 89), "lms")
    await family.stores.execute(
        "UPDATE user_activity_events SET user_id = NULL, user_agent = NULL, referrer_url = NULL,"  # noqa: S608
        f" event_type = 'native' WHERE user_id = '{user}' AND event_type LIKE 'aged%'"
    )
    assert (await sweep(family.resources))["activity_personal"] == 1
    rows = await family.stores.execute(
        "SELECT event_data FROM user_activity_events WHERE event_type = 'native'"
        " ORDER BY created_at"
    )
    assert [row["event_data"] for row in rows] == [{"quest_id": "kept"}, PERSONAL]
    assert (await sweep(family.resources))["activity_personal"] == 0


async def test_what_is_nobodys_leads_to_nobody(family: Family) -> None:
    """Neither while the student is here, nor once the student is erased."""
    child = await family.raise_child()
    ids = {child.user_id, child.task_id, child.submission_id}
    await family.stores.execute(
        "UPDATE user_activity_events SET created_at = created_at - interval '91 days'"  # noqa: S608
        f" WHERE user_id = '{child.user_id}'"
    )
    assert (await sweep(family.resources))["activity_personal"] >= 3
    events = await family.stores.execute(
        "SELECT t::text AS line FROM user_activity_events t WHERE anonymized_at IS NOT NULL"
    )
    assert not [row for row in events if any(each in row["line"] for each in ids)]
    await family.erased(child)
    assert await family.traces([child]) == []


async def test_a_step_that_fails_stops_no_other(family: Family) -> None:
    """The store is away; what needs no store is done all the same, and the pass says it failed."""
    child = await family.raise_child()
    await family.stores.execute(
        "INSERT INTO spark.deliveries (id, route, media_type, received_at, status, digest,"  # noqa: S608
        f" body_bytes) VALUES (gen_random_uuid(), 'old{child.user_id}', '',"
        " now() - interval '31 days', 200, '', 0)"
    )
    await family.stores.execute(
        "UPDATE spark.uploads SET state = 'deleting', lease_until = now()"  # noqa: S608
        f" WHERE user_id = '{child.user_id}'"
    )
    async with family.without_store() as broken:
        with pytest.raises(StorageUnavailableError):
            await sweep(broken.resources)
    assert await count(family, "spark.deliveries", "old" + child.user_id) == 0


async def test_answers_are_kept_as_long_as_what_may_be_replayed(family: Family) -> None:
    settings = family.settings.model_copy(update={"inbox_retention_days": 90})
    kept = {rule.name: rule.kept for rule in rules(settings)}
    assert kept["idempotency_keys"] == kept["deliveries"]


async def test_how_long_is_a_setting_and_passes_take_turns(family: Family) -> None:
    """More than a batch, by two workers at once: each row is counted by one of them."""
    user = (await family.spark.sign_in()).user_id
    rows = 2 * BATCH_ROWS + 10
    await family.stores.execute("DELETE FROM user_activity_events")
    await family.stores.execute(
        "INSERT INTO user_activity_events (user_id, session_id, event_type, event_category,"  # noqa: S608
        f" created_at) SELECT '{user}', gen_random_uuid(), 'many', 'lms', now() - interval '8 days'"
        f" FROM generate_series(1, {rows})"
    )
    opened = family.resources
    shorter = opened.settings.model_copy(update={"activity_personal_days": 7})
    both = await asyncio.gather(*(sweep(replace(opened, settings=shorter)) for _ in range(2)))
    assert sum(removed["activity_personal"] for removed in both) == rows
    assert sum(removed["activity"] for removed in both) == 0
    gone = opened.settings.model_copy(update={"audit_retention_days": 7})
    assert (await sweep(replace(opened, settings=gone)))["activity"] >= rows
