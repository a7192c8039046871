"""What the main app may do to its tables, and which of it stops an act of ours."""

import re
import secrets
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from app.adoption.compare import compare, differences, missing_columns, missing_keys
from app.adoption.read_catalogue import read_catalogue
from app.adoption.requirements import AUTH_COLUMNS, PUBLIC
from app.settings import Settings
from tests.support.adopted import main_app_database
from tests.support.databases import execute
from tests.support.main_app import adopted, as_superuser, for_now, grants

BLOCKS = "evidence_document_blocks"
KEY = "user_skill_xp_user_id_pillar_key"

# The statements, and what is named then.
NAMED = {
    "a view in a table's place": (
        "alter table quests rename to all_quests; create view quests as select * from all_quests",
        "quests",
    ),
    "organisations that are elsewhere": (
        "alter table organizations rename to schools",
        "organizations",
    ),
    "a column of a key, gone with it": (
        "alter table user_skill_xp drop pillar",
        "user_skill_xp.pillar",
    ),
    "a narrower text": (
        "alter table lms_integrations alter lms_user_id type varchar(40)",
        "lms_integrations.lms_user_id",
    ),
    "a time without its zone": (
        "alter table user_quests alter started_at type timestamp",
        "user_quests.started_at",
    ),
    "jsonb that is json": (
        "alter table user_activity_events alter event_data type json",
        "user_activity_events.event_data",
    ),
    "a domain": (
        (
            "create domain pillar_name as text check (value <> 'art');"
            " alter table user_skill_xp alter pillar type pillar_name"
        ),
        "user_skill_xp.pillar",
    ),
    "a generated column": (
        (
            "alter table quests drop description; alter table quests"
            " add description text generated always as (title) stored"
        ),
        "quests.description",
    ),
    "mandatory without its default": (
        f"alter table {BLOCKS} alter is_private drop default",
        f"{BLOCKS}.is_private",
    ),
    "mandatory, with a default that a null does not use": (
        (
            "update quests set description = ''; alter table quests"
            " alter description set default '', alter description set not null"
        ),
        "quests.description",
    ),
    "an id without its default": (
        "alter table lms_integrations alter id drop default",
        "lms_integrations.id",
    ),
    "a key that is deferrable": (
        (
            f"alter table user_skill_xp drop constraint {KEY};"
            " alter table user_skill_xp add unique (user_id, pillar) deferrable"
        ),
        "user_skill_xp (user_id, pillar)",
    ),
    "a key that is partial": (
        (
            f"alter table user_skill_xp drop constraint {KEY};"
            " create unique index on user_skill_xp (user_id, pillar) where xp_amount > 0"
        ),
        "user_skill_xp (user_id, pillar)",
    ),
    "a key of an expression": (
        (
            f"alter table user_skill_xp drop constraint {KEY};"
            " create unique index on user_skill_xp (user_id, lower(pillar))"
        ),
        "user_skill_xp (user_id, pillar)",
    ),
    "a key with one column more": (
        (
            f"alter table user_skill_xp drop constraint {KEY};"
            " create unique index on user_skill_xp (user_id, pillar, xp_amount)"
        ),
        "user_skill_xp (user_id, pillar)",
    ),
    "a check without a list": (
        "alter table users add check (role !~ 'stud') not valid",
        "users.role",
    ),
    "a check of one value": (
        "alter table lms_integrations add check (lms_platform = 'canvas') not valid",
        "lms_integrations.lms_platform",
    ),
    "a check beside one that fails by itself": (
        (
            "alter table quests"
            " add check (1 / (length(lms_platform) - 5) > 0) not valid,"
            " add check (lms_platform <> 'spark') not valid"
        ),
        "quests.lms_platform",
    ),
    "a pillar that is gone": (
        "alter table user_quest_tasks add check (pillar <> 'civics') not valid",
        "user_quest_tasks.pillar",
    ),
    "an enum without our value": (
        (
            f"create type role2 as enum ('advisor', 'parent'); alter table {BLOCKS}"
            " alter uploaded_by_role drop default, alter uploaded_by_role type role2"
            " using 'parent';"
            " drop type evidence_uploader_role; alter type role2 rename to evidence_uploader_role"
        ),
        f"{BLOCKS}.uploaded_by_role",
    ),
    "an enum of another name": (
        "alter type school_subject rename to subject",
        "user_subject_xp.school_subject",
    ),
    "a path to other tables": ("create schema mine; set local search_path = mine", "search_path"),
}
HARMLESS = {
    "a new table": "create table notes (id uuid primary key)",
    "a new column": "alter table users add nickname text",
    "a mandatory column with a default": "alter table users"
    " add theme text not null default 'light'",
    "a wider text": "alter table users alter email type text",
    "a shorter text that holds our values": "alter table"
    " quests alter lms_platform type varchar(20)",
    "a larger number": "alter table user_skill_xp alter xp_amount type bigint",
    "mandatory, and always written": "alter table quests alter quest_type set not null",
    "mandatory, and only read": "update users set org_roles = '[]'; alter table users"
    " alter org_roles set default '[]', alter org_roles set not null",
    "the same key by an index": f"alter table user_skill_xp drop constraint {KEY};"
    " create unique index on user_skill_xp (pillar, user_id) include (xp_amount)",
    "a column that no statement names": "alter table quests drop big_idea",
    "a wider check": "alter table quests drop constraint check_quest_type; alter table quests"
    " add check (quest_type in ('optio', 'course', 'class', 'club'))",
    "a check of two columns": "alter table users add check (role <> 'student' or username is null)",
    "a check that raises": "create function refuse(text) returns boolean immutable language sql as"
    " 'select 1 / 0 = 1'; alter table quests add check (refuse(quest_type)) not valid",
    "an own trigger": "create trigger again before update on users for each row execute function"
    " update_updated_at_column()",
    "a label of an enum": "alter type evidence_uploader_role add value 'observer'",
}
AUTH_CHANGES = {
    "an address in auth": ("alter table auth.users drop email cascade", "auth.users.email"),
    "a mark of auth": (
        "alter table auth.users rename is_sso_user to sso",
        "auth.users.is_sso_user",
    ),
    "a key of auth": ("drop index auth.users_email_partial_key", "auth.users (email)"),
    "a mandatory column of auth": (
        "truncate auth.users cascade; alter table auth.users add tenant text not null",
        "auth.users.tenant",
    ),
}


@pytest.fixture(scope="module")
async def beside(settings: Settings) -> AsyncIterator[Settings]:
    """An adopted database, in which nothing is left that a test does."""
    async with adopted(settings) as found:
        yield found


@pytest.mark.parametrize("difference", NAMED)
async def test_a_difference_is_named(beside: Settings, difference: str) -> None:
    statements, subject = NAMED[difference]
    async with for_now(beside, statements) as session:
        found = differences(await read_catalogue(session))
    assert subject in {finding.subject for finding in found}
    assert all(finding.mark == "refuse" and finding.next_step for finding in found)


async def test_of_a_path_to_other_tables_nothing_else_is_said(beside: Settings) -> None:
    async with for_now(beside, NAMED["a path to other tables"][0]) as session:
        [found] = differences(await read_catalogue(session))
    assert found.subject == "search_path"


@pytest.mark.parametrize("difference", HARMLESS)
async def test_what_stops_no_act_is_none(beside: Settings, difference: str) -> None:
    async with for_now(beside, HARMLESS[difference]) as session:
        assert differences(await read_catalogue(session)) == []


@pytest.mark.parametrize("difference", AUTH_CHANGES)
async def test_a_difference_of_auth_is_named(
    settings: Settings, beside: Settings, difference: str
) -> None:
    """Its tables are not the owner's, whose rights are looked at."""
    statements, subject = AUTH_CHANGES[difference]
    async with for_now(as_superuser(beside, settings), statements) as session:
        found = differences(await read_catalogue(session, role="optio_owner"))
    assert subject in {finding.subject for finding in found}


async def test_an_erasure_without_its_trigger_is_told_by_doctor_alone(beside: Settings) -> None:
    switch = "alter table users disable trigger trigger_sync_auth_user_deletion"
    async with for_now(beside, switch) as session:
        catalogue = await read_catalogue(session)
    assert differences(catalogue) == []
    assert [one.subject for one in compare(catalogue) if one.mark == "refuse"] == ["users"]


@pytest.mark.parametrize(
    ("revoked", "subject"),
    [
        ("update on users", "users"),
        ("delete on user_quest_tasks", "user_quest_tasks"),
        ("insert on diplomas", "diplomas"),
        ("select on user_mastery", "user_mastery"),
        ("select on organizations", "organizations"),
        ("select on spark.uploads", "spark.uploads"),
        ("usage on sequence spark.events_number_seq", "spark.events"),
        ("execute on function spark.find_auth_users", "schema spark"),
        (None, None),
    ],
)
async def test_a_missing_right_is_named(
    settings: Settings, beside: Settings, revoked: str | None, subject: str | None
) -> None:
    role = f"service_{secrets.token_hex(4)}"
    async with for_now(as_superuser(beside, settings)) as session:
        for statement in grants(role):
            await session.execute(text(statement))
        if revoked:
            await session.execute(text(f"revoke {revoked} from {role}"))
        found = differences(await read_catalogue(session, role=role))
    assert [finding.subject for finding in found] == ([subject] if subject else [])


@pytest.mark.parametrize("revoked", ["insert", "select"])
async def test_in_auth_the_rights_of_who_adopted_count(
    settings: Settings, beside: Settings, revoked: str
) -> None:
    """Whose our functions are: on the hosted platform nobody else can be let in."""
    role = f"service_{secrets.token_hex(4)}"
    async with for_now(as_superuser(beside, settings)) as session:
        for statement in grants(role):
            await session.execute(text(statement))
        await session.execute(text("revoke pg_read_all_data from optio_owner"))
        await session.execute(text(f"revoke {revoked} on auth.users from optio_owner"))
        [found] = differences(await read_catalogue(session, role=role))
    assert found.subject == "auth.users"
    assert "role optio_owner may not" in found.text


async def test_what_our_functions_write_in_auth_is_what_is_looked_at(beside: Settings) -> None:
    source = "select prosrc from pg_proc where proname = 'add_auth_users'"
    [(written,)] = await execute(beside, source)
    columns = re.search(r"insert into auth.users \((.*?)\)", str(written), re.DOTALL)
    assert columns
    assert set(re.findall(r"\w+", columns[1])) == set(AUTH_COLUMNS) - {"is_sso_user"}


async def test_row_security_on_auth_is_our_functions_owners_matter(
    settings: Settings, beside: Settings
) -> None:
    role = f"service_{secrets.token_hex(4)}"
    async with for_now(as_superuser(beside, settings)) as session:
        for statement in (*grants(role), "alter role optio_owner nobypassrls"):
            await session.execute(text(statement))
        [found] = differences(await read_catalogue(session, role=role))
    assert found.text.endswith("hides rows of auth.users")
    assert found.next_step == "alter role optio_owner bypassrls"


async def test_rights_on_each_column_are_as_good_as_on_the_table(
    settings: Settings, beside: Settings
) -> None:
    role = f"service_{secrets.token_hex(4)}"
    columns = ", ".join(PUBLIC["quests"].columns)
    async with for_now(as_superuser(beside, settings)) as session:
        for statement in grants(role):
            await session.execute(text(statement))
        await session.execute(text(f"revoke update on quests from {role}"))
        await session.execute(text(f"grant update ({columns}) on quests to {role}"))
        assert differences(await read_catalogue(session, role=role)) == []


@pytest.mark.parametrize("own", ["an owner", "a stranger"])
async def test_row_security_is_named_for_whom_it_hides_rows(
    settings: Settings, beside: Settings, own: str
) -> None:
    """Whom a table belongs to, it hides rows from where it is forced."""
    role = f"blind_{secrets.token_hex(4)}"
    async with for_now(as_superuser(beside, settings)) as session:
        for statement in grants(role):
            await session.execute(text(statement))
        await session.execute(text(f"alter role {role} nobypassrls"))
        if own == "an owner":
            await session.execute(text(f"grant optio_owner, supabase_auth_admin to {role}"))
        [found] = differences(await read_catalogue(session, role=role))
    assert found.subject == "row security"
    hidden = found.text.rpartition(" of ")[2].split(", ")
    assert "user_skill_xp" in hidden
    assert ("users" in hidden) == (own == "a stranger")
    assert found.next_step == f"alter role {role} bypassrls"


async def test_the_older_shape_lacks_what_alter_adds(settings: Settings) -> None:
    async with main_app_database(settings, "2025_12") as found, for_now(found) as session:
        catalogue = await read_catalogue(session)
        assert [f"{table}.{column}" for table, column, _ in missing_columns(catalogue)] == [
            finding.subject for finding in differences(catalogue)
        ]
        assert list(missing_keys(catalogue)) == []
        for table, column, type_ in missing_columns(catalogue):
            await session.execute(text(f"alter table {table} add {column} {type_}"))
        key = "alter table quest_task_completions drop constraint"
        await session.execute(text(f"{key} quest_task_completions_user_id_task_id_key"))
        altered = await read_catalogue(session)
        assert list(missing_columns(altered)) == []
        assert list(missing_keys(altered)) == [("quest_task_completions", ("user_id", "task_id"))]
        [left] = differences(altered)
        assert "--alter" in (left.next_step or "")
