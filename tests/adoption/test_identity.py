"""Whose account a student gets beside the main app: everybody of 20_rows.sql, and races."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import text

from app.database import create_engine
from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.kinds import ORGANIZATION
from tests.support.problems import assert_problem
from tests.support.roster import new_student
from tests.support.service_role import Role
from tests.support.stored import eventually

ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")
EMAIL = "select email from users where id = :id"
ADDRESSES = "select u.email, a.email from users u join auth.users a using (id) where id = :id"
GHOST = UUID("a0000000-0000-4000-8000-0000000000ff")


def person(last: str) -> str:
    return f"a0000000-0000-4000-8000-00000000000{last}"


ANN, BEN, CLEO, EVE, FINN, GUS = (person(last) for last in "34589a")


@pytest.fixture(scope="module", params=ROLES)
async def beside(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, request.param) as running:
        yield running


def fresh_email() -> str:
    return f"person_{secrets.token_hex(6)}@example.test"


async def test_a_new_student_gets_the_row_that_gotrue_needs(beside: Beside) -> None:
    email = fresh_email()
    made = await beside.spark.sign_in(email=email.title(), given_name="Ida", family_name="New")
    [row] = await beside.rows(
        "select u.email, u.role, u.organization_id, a.instance_id, a.aud, a.role, a.email,"
        " a.encrypted_password, a.confirmation_token, a.recovery_token, a.email_change_token_new,"
        " a.email_change, a.raw_app_meta_data, a.raw_user_meta_data, a.is_sso_user,"
        " a.email_confirmed_at is not null and a.confirmed_at = a.email_confirmed_at"
        "   and a.created_at is not null and a.updated_at is not null"
        " from users u join auth.users a using (id) where id = :id",
        id=made.user_id,
    )
    assert row == (
        *(email, "student", None, UUID(int=0), "authenticated", "authenticated", email),
        *("", "", "", "", ""),
        {"provider": "email", "providers": ["email"]},
        {"sso_provider": "spark", "first_name": "Ida", "last_name": "New"},
        *(False, True),
    )
    assert await beside.rows(
        "select organization_id from lms_integrations where user_id = :id", id=made.user_id
    ) == [(ORGANIZATION,)]


async def test_whoever_has_no_address_has_a_made_up_one(beside: Beside) -> None:
    made = await beside.spark.sign_in(email=None, given_name="", family_name="")
    [(email, known_to_gotrue)] = await beside.rows(ADDRESSES, id=made.user_id)
    assert email.endswith("@students.invalid")
    assert known_to_gotrue.endswith("@students.invalid")


@pytest.mark.parametrize(
    ("student", "account"),
    [
        pytest.param("spark_ann", ANN, id="ann"),
        pytest.param("spark_ben", BEN, id="#9-ben-of-a-school"),
        pytest.param("spark_eve", EVE, id="#13-eve-by-her-first-id"),
        pytest.param("spark_eve2", EVE, id="#13-eve-by-her-second-id"),
    ],
)
async def test_who_is_linked_signs_in(beside: Beside, student: str, account: str) -> None:
    assert (await beside.spark.sign_in(sub=student)).user_id == account


@pytest.mark.parametrize(
    ("email", "given_name", "account"),
    [
        pytest.param("CLEO.case@example.test", "Cleo", CLEO, id="#10-cleo-in-capitals"),
        pytest.param("finn@example.test", "Finn", FINN, id="#12-finn-with-nulls"),
        pytest.param("gus@example.test", "Gus", GUS, id="#9-gus-of-a-school"),
    ],
)
async def test_who_is_there_is_linked_by_the_address(
    beside: Beside, email: str, given_name: str, account: str
) -> None:
    student = new_student()
    for _ in range(2):
        came = await beside.spark.sign_in(sub=student, email=email, given_name=given_name)
        assert came.user_id == account
    [(count,)] = await beside.rows(
        "select count(*) from auth.users where email = lower(:email)", email=email
    )
    assert count == 1


@pytest.mark.parametrize("name", ["root", "teach", "pat"])
async def test_staff_and_parents_stay_refused(beside: Beside, name: str) -> None:
    answer = await beside.spark.launch(beside.spark.launch_token(email=f"{name}@example.test"))
    assert_problem(answer, 409, "account_link_forbidden")


@pytest.mark.parametrize("made_staff", ["advisor", "parent", "observer"])
async def test_a_linked_student_who_is_somebody_else_now_is_refused(
    beside: Beside, made_staff: str
) -> None:
    student = new_student()
    user_id = (await beside.spark.sign_in(sub=student)).user_id
    await beside.rows("update users set role = :role where id = :id", role=made_staff, id=user_id)
    answer = await beside.spark.launch(beside.spark.launch_token(sub=student))
    assert_problem(answer, 409, "account_link_forbidden")


@pytest.mark.parametrize(
    ("org_role", "org_roles", "status"),
    [
        ("student", None, 302),
        ("student", "[]", 302),
        ("advisor", '["student"]', 302),
        ("student", '["student", "student"]', 302),
        ("student", '["student", "advisor"]', 409),
        ("student", '["org_admin"]', 409),
        ("student", '"student"', 302),  # no list: the column beside it counts
        ("advisor", None, 409),
        ("observer", "null", 409),
    ],
)
async def test_a_schools_account_is_a_students_by_exactly_that_role(
    beside: Beside, org_role: str, org_roles: str | None, status: int
) -> None:
    student = new_student()
    user_id = (await beside.spark.sign_in(sub=student)).user_id
    await beside.rows(
        "update users set role = 'org_managed', organization_id = :organization,"
        " org_role = :org_role, org_roles = cast(cast(:org_roles as text) as jsonb) where id = :id",
        organization=ORGANIZATION,
        org_role=org_role,
        org_roles=org_roles,
        id=user_id,
    )
    answer = await beside.spark.launch(beside.spark.launch_token(sub=student))
    assert answer.status_code == status, answer.text


async def test_an_orphan_of_gotrue_is_nobodys_account(beside: Beside) -> None:
    """#11: whoever began that registration may hold its password."""
    made = await beside.spark.sign_in(email="ghost@example.test", given_name="Gil")
    assert UUID(made.user_id) != GHOST
    [(email, known_to_gotrue)] = await beside.rows(ADDRESSES, id=made.user_id)
    assert "ghost" not in email + known_to_gotrue
    assert await beside.rows("select email from auth.users where id = :id", id=GHOST) == [
        ("ghost@example.test",)
    ]


async def test_only_a_confirmed_address_links(beside: Beside) -> None:
    """R42, where the main app knows whether it is."""
    email, user_id = fresh_email(), await registered(beside, is_confirmed=False)
    await beside.rows("update users set email = :email where id = :id", email=email, id=user_id)
    await beside.rows(
        "update auth.users set email = :email where id = :id", email=email, id=user_id
    )
    came = await beside.spark.sign_in(email=email, given_name="Reg")
    assert came.user_id != user_id
    assert await beside.rows(
        "select action, detail from spark.audit_log where user_id = :id", id=came.user_id
    ) == [("user_created", {"not_linked": "unconfirmed"})]


async def test_an_address_that_gotrue_knows_as_another_is_not_confirmed(beside: Beside) -> None:
    email, user_id = fresh_email(), await registered(beside)
    await beside.rows("update users set email = :email where id = :id", email=email, id=user_id)
    assert (await beside.spark.sign_in(email=email, given_name="Reg")).user_id != user_id


async def test_by_the_address_that_gotrue_knows_an_account_is_found(beside: Beside) -> None:
    user_id = await registered(beside)
    [(email,)] = await beside.rows("select email from auth.users where id = :id", id=user_id)
    await beside.rows("update users set email = null where id = :id", id=user_id)
    assert (await beside.spark.sign_in(email=email, given_name="Reg")).user_id == user_id


async def registered(beside: Beside, *, is_confirmed: bool = True) -> str:
    """A student who registered in the main app."""
    email = fresh_email()
    [(user_id,)] = await beside.rows(
        "insert into auth.users (id, email, email_confirmed_at)"
        " values (gen_random_uuid(), :email, case when :is_confirmed then now() end) returning id",
        email=email,
        is_confirmed=is_confirmed,
    )
    await beside.rows(
        "insert into users (id, email, role, first_name, last_name)"
        " values (:id, :email, 'student', 'Reg', 'Example')",
        id=user_id,
        email=email,
    )
    return str(user_id)


async def test_what_gotrue_knows_does_not_follow_a_changed_address(beside: Beside) -> None:
    student, before, after = new_student(), fresh_email(), fresh_email()
    made = await beside.spark.sign_in(sub=student, email=before)
    await beside.spark.sign_in(sub=student, email=after)
    await beside.spark.sign_in(sub=student, email="ghost@example.test")  # somebody else's
    assert await beside.rows(ADDRESSES, id=made.user_id) == [(after, before)]
    # The old address is still theirs for GoTrue: a second student of it does not get it.
    other = await beside.spark.sign_in(email=before)
    assert other.user_id != made.user_id
    await beside.spark.sign_in(sub=student, email=before)  # and they may go back to it
    assert await beside.rows(EMAIL, id=made.user_id) == [(before,)]


async def test_twenty_sign_ins_at_once_make_one_account(beside: Beside) -> None:
    student, email = new_student(), fresh_email()
    came = await asyncio.gather(
        *(beside.spark.sign_in(sub=student, email=email, given_name="Ray") for _ in range(20))
    )
    assert len({each.user_id for each in came}) == 1
    assert await beside.rows(
        "select (select count(*) from users where email = :email),"
        " (select count(*) from auth.users where email = :email)",
        email=email,
    ) == [(1, 1)]


async def test_twenty_new_students_of_one_name_sign_in_at_once(beside: Beside) -> None:
    """The main app's trigger looks for a free portfolio name, then takes it."""
    name = {"given_name": "Ida", "family_name": secrets.token_hex(4)}
    made = await asyncio.gather(
        *(beside.spark.sign_in(email=fresh_email(), **name) for _ in range(20))
    )
    assert len({student.user_id for student in made}) == len(made)


async def test_who_registers_at_the_same_moment_has_the_address(beside: Beside) -> None:
    """GoTrue knows none of our locks: its row may come between our look and our insert."""
    email, student = fresh_email(), new_student()
    engine = create_engine(beside.main_app)
    async with engine.begin() as registering:
        await registering.execute(
            text("insert into auth.users (id, email) values (gen_random_uuid(), :email)"),
            {"email": email},
        )
        coming = asyncio.create_task(beside.spark.sign_in(sub=student, email=email))
        await eventually(partial(somebody_waits, beside))
    came = await coming
    await engine.dispose()
    [(kept,)] = await beside.rows(EMAIL, id=came.user_id)
    assert kept.endswith("@students.invalid")
    linked = "select user_id from lms_integrations where lms_user_id = :student"
    assert await beside.rows(linked, student=student) == [(UUID(came.user_id),)]


async def somebody_waits(beside: Beside) -> bool:
    waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock'"
    return bool(await beside.rows(f"{waiting} and datname = current_database()"))
