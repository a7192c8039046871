"""`python -m app adopt` moves in beside the main app, and says before what it will do."""

import asyncio
import json

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from app.migrate import migrate
from app.settings import Settings
from tests.support.commands import run_on
from tests.support.databases import empty_database, execute
from tests.support.pooler import needs_pgbouncer, run_pooler
from tests.support.schema_dump import dump_schema

# Of everything that is not ours, whatever grants it.
GRANTS = """
select 'table', oid::regclass::text, relacl::text from pg_class
where relnamespace <> coalesce(to_regnamespace('spark'), 0) and relkind <> 'i'
    and relnamespace <> 'pg_toast'::regnamespace
union all select 'column', attrelid::regclass || '.' || attname, attacl::text from pg_attribute
where attacl is not null
union all select 'schema', nspname, nspacl::text from pg_namespace where nspname <> 'spark'
union all select 'function', oid::regprocedure::text, proacl::text from pg_proc
where pronamespace <> coalesce(to_regnamespace('spark'), 0)
union all select 'default', defaclrole::regrole || ' ' || defaclnamespace, defaclacl::text
from pg_default_acl
union all select 'database', datname, datacl::text from pg_database
where datname = current_database()
order by 1, 2, 3
"""


async def test_it_shows_what_it_would_do_and_changes_nothing(found: Settings) -> None:
    before = await dump_schema(found)
    shown = await run_on(found)("adopt", "--indexes", "--courses")
    assert shown.exit_code == 0, shown.output
    for line in (
        "data     user_quests: students with several enrolments in one quest: 2; the newest active",
        "data     user_quest_tasks: enrolments with several copies of one task: 1;",
        "data     lms_integrations: users with several Spark ids: 1;",
        "data     users.email: addresses with capitals: 1; they are compared in lower case",
        "data     auth.users: registrations that ended half-way, without a row in users: 1;",
        "would    schema spark: create it (32 tables), with short locks on course_quest_tasks,",
        "would    quests: map courses of the predecessor: 1, assignments: 2",
        "would    quests: CREATE INDEX CONCURRENTLY ix_quests_lms_platform_lms_course_id ON quests",
    ):
        assert line in shown.stdout
    assert await dump_schema(found) == before


async def test_the_organisation_of_new_students_is_named_or_asked_for(found: Settings) -> None:
    subject = "lms_integrations.organization_id: is mandatory"
    assert (
        f"adapt    {subject}: OPTIO_ORGANIZATION_ID = Optio\n"
        in (await run_on(found)("adopt")).stdout
    )
    refused = await run_on(found.model_copy(update={"optio_organization_id": None}))("adopt")
    assert refused.exit_code == 2
    assert f"refuse   {subject}, and OPTIO_ORGANIZATION_ID is not set" in refused.stdout


async def test_every_finding_about_rows_names_the_sql_that_lists_them(found: Settings) -> None:
    shown = await run_on(found)("adopt", "--json")
    told = json.loads(shown.stdout)
    asked = [each for each in told if "lists them" in (each["next_step"] or "")]
    assert len(asked) >= 5
    for each in asked:
        _, _, listing = each["next_step"].partition(": ")
        rows = await execute(found, listing)
        assert f": {len(rows)}; " in each["text"]


async def test_adopted_the_main_apps_schema_and_every_right_are_as_before(found: Settings) -> None:
    schemas = ("public", "auth", "storage", "extensions")
    before = await dump_schema(found, *schemas), await execute(found, GRANTS)
    done = await run_on(found)("adopt", "--apply", "--courses")
    assert done.exit_code == 0, done.output
    assert (await dump_schema(found, *schemas), await execute(found, GRANTS)) == before
    rows = await execute(
        found, "select adopted_by, jsonb_array_length(findings) from spark.adoption"
    )
    assert rows[0][0] == "optio_owner"
    assert rows[0][1]


async def test_a_second_time_there_is_nothing_to_do(found: Settings) -> None:
    everything = ("adopt", "--apply", "--alter", "--indexes", "--courses")
    assert (await run_on(found)(*everything)).exit_code == 0
    before = await dump_schema(found)
    again = await run_on(found)(*everything)
    assert again.exit_code == 0
    assert "would" not in again.stdout
    assert again.stdout.endswith("There is nothing to do.\n")
    assert await dump_schema(found) == before
    await asyncio.to_thread(migrate, found)
    assert await dump_schema(found) == before


async def test_whoever_went_back_may_adopt_again(found: Settings) -> None:
    before = await dump_schema(found)
    for _ in range(2):
        assert (await run_on(found)("adopt", "--apply")).exit_code == 0
        await execute(found, "drop schema spark cascade")
        assert await dump_schema(found) == before


async def test_a_schema_of_somebody_elses_stays_as_it_is(found: Settings) -> None:
    await execute(found, "create schema spark create table jobs ()")
    refused = await run_on(found)("adopt", "--apply")
    assert refused.exit_code == 2
    assert "refuse   schema spark: " in refused.stdout
    assert await execute(found, "select * from spark.jobs") == []


@pytest.mark.parametrize("tables", [[], ["users"], ["badges", "users"]], ids=str)
async def test_where_no_optio_application_is_nothing_is_adopted(
    settings: Settings, tables: list[str]
) -> None:
    async with empty_database(settings) as empty:
        for table in tables:
            await execute(empty, f"create table {table} ()")
        refused = await run_on(empty)("adopt", "--apply")
        assert refused.exit_code == 2
        assert refused.stdout.startswith("refuse   database: ")
        assert await execute(empty, "select to_regnamespace('spark')") == [(None,)]


async def test_our_own_database_needs_no_adoption(settings: Settings) -> None:
    refused = await run_on(settings)("adopt", "--apply")
    assert refused.exit_code == 2
    assert "`python -m app migrate` is all it needs" in refused.stdout


OLDER = (
    *("lms_integrations.organization_id", "user_quest_tasks.due_date"),
    *("user_quest_tasks.source_task_id", "users.last_logout_at", "users.org_role"),
    *("users.org_roles", "users.organization_id"),
)


async def test_the_older_shape_is_refused_by_name(older: Settings) -> None:
    before = await dump_schema(older)
    refused = await run_on(older)("adopt", "--apply")
    assert refused.exit_code == 2
    for name in OLDER:
        assert f"refuse   {name}: " in refused.stdout
    assert "adopt --apply --alter" in refused.stdout
    shown = await run_on(older)("adopt", "--alter")
    assert shown.exit_code == 0, shown.output
    for name in OLDER:
        assert f"would    {name}: alter table public." in shown.stdout
    assert await dump_schema(older) == before


async def test_the_older_shape_is_taken_with_alter(older: Settings) -> None:
    await execute(older, "insert into auth.users (id) values (gen_random_uuid())")
    await execute(older, "insert into users (id, role) select id, 'student' from auth.users")
    await execute(
        older,
        "insert into spark_auth_codes (code, user_id, expires_at)"
        " select 'code', id, now() from users",
    )
    shown = await run_on(older)("adopt", "--apply", "--alter")
    assert shown.exit_code == 0, shown.output
    assert (
        "data     spark_auth_codes: codes of the predecessor, readable as they are: 1;"
        in shown.stdout
    )
    added = "select attrelid::regclass || '.' || attname from pg_attribute"
    for name in OLDER:
        condition = f"attrelid::regclass || '.' || attname = '{name}' and not attnotnull"
        assert await execute(older, f"{added} where {condition}")
    await asyncio.to_thread(migrate, older)
    assert "nothing to do" in (await run_on(older)("adopt", "--apply", "--alter")).stdout


KEY = "quest_task_completions_user_id_task_id_key"
MADE = "'uq_quest_task_completions_user_id_task_id'::regclass"


async def test_a_missing_key_is_made_where_the_rows_allow_it(found: Settings) -> None:
    await execute(found, f"alter table quest_task_completions drop constraint {KEY}")
    refused = await run_on(found)("adopt", "--apply")
    assert refused.exit_code == 2
    assert "refuse   quest_task_completions (user_id, task_id): " in refused.stdout
    done = await run_on(found)("adopt", "--apply", "--alter")
    assert done.exit_code == 0, done.output
    made = f"select indisvalid and indisunique from pg_index where indexrelid = {MADE}"  # noqa: S608 - our own name
    assert await execute(found, made) == [(True,)]


async def test_a_missing_key_is_refused_with_the_sql_that_lists_the_rows(found: Settings) -> None:
    await execute(found, f"alter table quest_task_completions drop constraint {KEY}")
    await execute(
        found,
        "insert into quest_task_completions (user_id, quest_id, task_id)"
        " select user_id, quest_id, task_id from quest_task_completions limit 1",
    )
    before = await dump_schema(found)
    refused = await run_on(found)("adopt", "--apply", "--alter", "--json")
    assert refused.exit_code == 2
    told = json.loads(refused.stdout)
    steps = [each["next_step"] for each in told if each["mark"] == "refuse"]
    assert len(steps) == 1
    assert len(await execute(found, steps[0].partition(": ")[2])) == 1
    assert await dump_schema(found) == before


STRANGER = """
do $$ begin create role stranger login bypassrls password 'nobody';
exception when duplicate_object then null; end $$
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), ("may not create a schema in this database", "may not refer to ")),
        (("--indexes",), ("may not alter ",)),
    ],
    ids=["apply", "indexes"],
)
async def test_whoever_does_not_own_the_tables_is_told_who_does(
    settings: Settings, found: Settings, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    await execute(settings, STRANGER)
    for grant in (
        "usage on schema public",
        "select, insert, update, delete on all tables in schema public",
    ):
        await execute(found, f"grant {grant} to stranger")
    assert found.database_url
    url = make_url(found.database_url.get_secret_value()).set(
        username="stranger", password="nobody"
    )
    address = SecretStr(url.render_as_string(hide_password=False))
    refused = await run_on(found.model_copy(update={"database_url": address}))("adopt", *words)
    assert refused.exit_code == 2
    for words_ in told:
        assert f"refuse   role stranger: {words_}" in refused.stdout
    assert "Supabase: postgres" in refused.stdout


@needs_pgbouncer
@pytest.mark.parametrize("is_told", [False, True], ids=["found out", "told"])
async def test_a_pooler_in_transaction_mode_is_refused(found: Settings, *, is_told: bool) -> None:
    async with run_pooler(found) as pooled:
        changes = {"database_url": pooled, "database_transaction_pooler": is_told}
        refused = await run_on(found.model_copy(update=changes))("adopt", "--apply")
    assert refused.exit_code == 2
    assert refused.stdout.startswith("refuse   DATABASE_URL: ")
    assert "port 5432" in refused.stdout
    assert await execute(found, "select to_regnamespace('spark')") == [(None,)]


@needs_pgbouncer
async def test_a_pooler_in_session_mode_will_do(found: Settings) -> None:
    async with run_pooler(found, "session") as pooled:
        through = found.model_copy(update={"database_url": pooled})
        done = await run_on(through)("adopt", "--apply", "--indexes")
    assert done.exit_code == 0, done.output
