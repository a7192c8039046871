"""The role of docs/deploy/spark_service.sql: its rights, and no others."""

import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.settings import Settings
from tests.support.adopted import SERVICE
from tests.support.beside import serve_beside
from tests.support.commands import run_on
from tests.support.databases import execute
from tests.support.elsewhere import run_elsewhere
from tests.support.main_app import adopted, as_superuser, for_now
from tests.support.problems import assert_problem
from tests.support.processes import environment
from tests.support.programs import run_program
from tests.support.service_role import as_service, give_rights, run_grants

PROJECT = Path(__file__).parents[2]

RIGHTS = """
select n.nspname, c.relname, string_agg(r.privilege, ' ' order by r.place)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references',
    'trigger']) with ordinality as r (privilege, place)
where c.relkind in ('r', 'p', 'v') and has_table_privilege('spark_service', c.oid, r.privilege)
  and n.nspname in ('public', 'auth', 'storage', 'spark')
group by 1, 2 order by 1, 2
"""
ALL, BY_TRIGGER = "select insert update delete", "select insert update"
PUBLIC = {
    **dict.fromkeys(
        (
            *("course_quest_tasks", "diplomas", "evidence_document_blocks", "lms_integrations"),
            "lms_grade_sync",
            *("quest_task_completions", "quests", "user_activity_events", "user_quest_tasks"),
            *("user_quests", "user_skill_xp", "user_subject_xp", "user_task_evidence_documents"),
            "users",
        ),
        ALL,
    ),
    "user_mastery": BY_TRIGGER,
    **dict.fromkeys(("organizations", "quest_sample_tasks", "quest_template_tasks"), "select"),
}


async def test_the_way_back_takes_all_its_rights(settings: Settings) -> None:
    """As written in docs/adoption.md; the role itself is the whole server's, and stays."""
    page = " ".join((PROJECT / "docs" / "adoption.md").read_text().split())
    way_back, _, _ = page.partition("; drop role spark_service`")
    async with adopted(settings) as main_app:
        await give_rights(settings, main_app)
        assert await execute(main_app, RIGHTS)
        async with for_now(main_app, way_back.rpartition("`")[2]) as session:
            assert (await session.execute(text(RIGHTS))).all() == []


async def test_whoever_migrates_as_this_role_is_told_who_may(settings: Settings) -> None:
    async with adopted(settings) as main_app:
        await give_rights(settings, main_app)
        service = main_app.model_copy(update={"database_url": as_service(main_app)})
        refused = await run_on(service)("migrate")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("The role of DATABASE_URL may not change this schema.\n")
    assert "the one that adopted" in refused.stderr


async def test_it_has_the_rights_it_needs_and_no_others(settings: Settings) -> None:
    async with adopted(settings) as main_app:
        await give_rights(settings, main_app)
        assert await run_grants(main_app) == 0  # once more
        held = await execute(main_app, RIGHTS)
        assert {name: rights for schema, name, rights in held if schema == "public"} == PUBLIC
        assert {rights for schema, _, rights in held if schema == "spark"} == {ALL}
        assert {schema for schema, _, _ in held} == {"public", "spark"}
        assert await execute(
            main_app,
            "select has_schema_privilege(rolname, 'auth', 'usage'), rolbypassrls, rolsuper,"
            " rolcreaterole, rolcreatedb, has_schema_privilege(rolname, 'spark', 'create'),"
            " has_schema_privilege(rolname, 'public', 'create')"
            " from pg_roles where rolname = 'spark_service'",
        ) == [(False, True, False, False, False, False, False)]


async def test_the_data_api_cannot_reach_gotrues_users_through_us(settings: Settings) -> None:
    async with adopted(settings) as main_app:
        assert await execute(
            main_app,
            "select distinct has_function_privilege(r.rolname, p.oid, 'execute')"
            " from pg_proc p, pg_roles r where p.pronamespace = 'spark'::regnamespace"
            " and r.rolname in ('anon', 'authenticated', 'service_role')",
        ) == [(False,)]


async def test_what_later_migrations_make_is_its_own_as_well(settings: Settings) -> None:
    async with adopted(settings) as main_app:
        await give_rights(settings, main_app)
        await execute(main_app, "create table spark.later (id bigserial)")
        held = {name: rights for _, name, rights in await execute(main_app, RIGHTS)}
        assert held["later"] == ALL


async def test_what_cannot_be_given_is_named(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    """PostgreSQL itself only warns."""
    async with adopted(settings) as main_app:
        superuser = as_superuser(main_app, settings)
        await execute(superuser, "alter table user_mastery owner to current_user")
        await execute(superuser, "grant select on user_mastery to optio_owner")
        assert await run_grants(main_app) != 0
        assert "spark_service may still not: select on user_mastery" in capfd.readouterr().err


async def test_without_an_organisation_no_link_is_made(settings: Settings) -> None:
    """#4."""
    async with serve_beside(settings, SERVICE, optio_organization_id=None) as beside:
        answer = await beside.spark.launch(beside.spark.launch_token())
        problem = assert_problem(answer, 503, "database_unavailable")
        assert "OPTIO_ORGANIZATION_ID" in str(problem["hint"])
        assert (await beside.spark.sign_in(sub="spark_ann")).user_id  # who has one comes in


@pytest.mark.parametrize("set_to", [None, uuid4()], ids=["#4-none", "#4-nobodys"])
async def test_a_service_without_an_organisation_does_not_start(
    settings: Settings, set_to: UUID | None
) -> None:
    async with adopted(settings) as main_app:
        service = main_app.model_copy(update={"optio_organization_id": set_to})
        ended = await run_program(
            *(sys.executable, "-m", "app", "serve", "--port", "0"),
            env=environment(service),
            folder=PROJECT,
        )
        async with run_elsewhere(service) as elsewhere:  # the database was away at its start
            ready = await elsewhere.spark.browser.get("/readyz")
    assert (ended.code, "OPTIO_ORGANIZATION_ID" in ended.errors) == (1, True)
    assert "Traceback" not in ended.errors
    named = "OPTIO_ORGANIZATION_ID" if set_to else "lms_integrations.organization_id"
    assert (ready.status_code, ready.json()["differences"]) == (503, [named])
