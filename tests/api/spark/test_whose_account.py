"""Whose account a student gets who clicks: rows P018 to P021 and P035 to P037 of the fault list.

Which account an address links is decided in test_account_links.py, at every door.
"""

import asyncio
import re
import secrets
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, select, update

from app.accounts.students import unroutable_email
from app.database import Sessions
from app.models import ActivityEvent, LmsIntegration, User
from app.settings import Settings
from app.signing import sign_token, token_key
from tests.api.spark.conftest import spark_at
from tests.api.spark.test_sso import (
    account,
    change_link,
    create_user,
    fresh_email,
    user,
    users_of,
)
from tests.support.kinds import ADMIN
from tests.support.problems import assert_problem
from tests.support.spark import SignedIn, Spark

SIGNED_IN = ("spark_sso_success", False)


async def told(sessions: Sessions, student: SignedIn) -> list[tuple[str, bool]]:
    """The student's events, and whether they say that an account was made."""
    made = ActivityEvent.event_data["user_created"].as_boolean()
    query = select(ActivityEvent.event_type, made)
    async with sessions() as session:
        found = await session.execute(
            query.where(
                ActivityEvent.user_id == UUID(student.user_id),
                ActivityEvent.event_type.in_(("spark_account_linked", "spark_sso_success")),
            ).order_by(ActivityEvent.created_at, ActivityEvent.event_type)
        )
        return [(kind, made) for kind, made in found]


async def link_of(sessions: Sessions, spark_user_id: str) -> Row[Any]:
    async with sessions() as session:
        links = select(LmsIntegration.__table__)
        found = await session.execute(links.where(LmsIntegration.lms_user_id == spark_user_id))
        return found.one()


async def test_a_number_and_its_text_are_one_student(lms: Spark) -> None:
    """P018"""
    number = secrets.randbits(60)
    first, again = await lms.sign_in(sub=number), await lms.sign_in(sub=str(number))
    assert first.user_id == again.user_id


@pytest.mark.parametrize(
    "address",
    [
        *("", "ada", "a" * 300 + "@example.com", "ada@example.com\r\nBcc: x", "\ua7cb@example.com"),
        *("a@example." + "c" * 300, None, " ", [], ["ada@example.com"]),
    ],
    ids=[
        *("P019-empty", "P019-no-at", "P019-long", "P019-line-break", "P019-newer-than-python"),
        *("P019-long-end", "F20-null", "F20-blank", "F20-no-list", "P019-list"),
    ],
)
async def test_an_unusable_address_is_replaced_by_one_that_reaches_nobody(
    lms: Spark, sessions: Sessions, address: object
) -> None:
    student = await lms.sign_in(email=address)
    made = await user(sessions, UUID(student.user_id))
    assert made.email == unroutable_email(student.spark_user_id)
    assert re.fullmatch(r"spark-[0-9a-f]{32}@students\.invalid", made.email)


async def test_nobody_is_merged_with_an_address_that_we_made(lms: Spark) -> None:
    """P019"""
    nameless = await lms.sign_in(email="")
    claimant = await lms.sign_in(email=unroutable_email(nameless.spark_user_id))
    assert claimant.user_id != nameless.user_id


async def test_names_are_kept_without_what_postgres_cannot_keep(
    lms: Spark, sessions: Sessions
) -> None:
    """P021"""
    student = await lms.sign_in(given_name="A\0da", family_name="Ex\ud83d")
    made = await user(sessions, UUID(student.user_id))
    assert (made.first_name, made.last_name) == ("Ada", "Ex\ufffd")
    assert made.display_name == "Ada Ex\ufffd"
    assert made.role == "student"


async def test_a_first_sign_in_links_the_plain_student_of_the_address(
    lms: Spark, sessions: Sessions
) -> None:
    email = fresh_email()
    known = await create_user(sessions, email=email, role="student", first_name="Old")
    student = await lms.sign_in(email=email.upper(), given_name="OLD")
    assert student.user_id == str(known)
    assert (await user(sessions, known)).email == email


@pytest.mark.parametrize("role", ["advisor", "parent", ADMIN, "observer"], ids="P035-{}".format)
async def test_no_claim_attaches_a_student_to_staff_or_parents(
    lms: Spark, sessions: Sessions, role: str
) -> None:
    email = fresh_email()
    known = await create_user(sessions, email=email, role=role, first_name="Grace")
    before = await user(sessions, known)
    claims = lms.claims(email=email.title())
    answer = await lms.launch(sign_token(claims, key=token_key(lms.sso_secret)))
    assert_problem(answer, 409, "account_link_forbidden")
    assert email not in answer.text.lower()
    assert await account(sessions, claims["sub"]) is None
    assert await user(sessions, known) == before


@pytest.mark.own_database("beside GoTrue an address is that of one account")
async def test_two_students_of_one_address_cannot_be_told_apart(
    lms: Spark, sessions: Sessions
) -> None:
    email = fresh_email()
    for _ in range(2):
        await create_user(sessions, email=email, role="student")
    answer = await lms.launch(lms.launch_token(email=email))
    assert_problem(answer, 409, "account_link_forbidden")


async def test_linking_by_address_can_be_switched_off(
    settings: Settings, sessions: Sessions
) -> None:
    email = fresh_email()
    await create_user(sessions, email=email, role="student")
    async with spark_at(settings, sso_link_by_email=False) as lms:
        answer = await lms.launch(lms.launch_token(email=email))
        assert_problem(answer, 409, "account_link_forbidden")
        shared = fresh_email()
        siblings = [await lms.sign_in(email=shared) for _ in range(2)]
    assert len({sibling.user_id for sibling in siblings}) == 2


async def test_siblings_may_share_an_address(lms: Spark, sessions: Sessions) -> None:
    email = fresh_email()
    older, younger = await lms.sign_in(email=email), await lms.sign_in(email=email)
    assert older.user_id != younger.user_id
    assert (await user(sessions, UUID(older.user_id))).email == email
    kept = (await user(sessions, UUID(younger.user_id))).email
    assert kept == unroutable_email(younger.spark_user_id)


@pytest.mark.parametrize(
    "change", [{"sync_enabled": False}, {"sync_status": "paused"}], ids=["disabled", "paused"]
)
async def test_a_paused_link_lets_nobody_in(
    lms: Spark, sessions: Sessions, change: dict[str, Any]
) -> None:
    student = await lms.sign_in()
    await change_link(sessions, student.spark_user_id, **change)
    answer = await lms.launch(lms.launch_token(sub=student.spark_user_id))
    assert_problem(answer, 403, "account_inactive")


async def test_a_link_whose_sync_failed_lets_its_student_in(lms: Spark, sessions: Sessions) -> None:
    student = await lms.sign_in()
    await change_link(sessions, student.spark_user_id, sync_status="error")
    assert (await lms.launch(lms.launch_token(sub=student.spark_user_id))).status_code == 302


@pytest.mark.parametrize("status", ["pending", "completed"])
async def test_an_account_under_deletion_lets_nobody_in(
    lms: Spark, sessions: Sessions, status: str
) -> None:
    student = await lms.sign_in()
    async with sessions() as session, session.begin():
        chosen = update(User).where(User.id == UUID(student.user_id))
        await session.execute(chosen.values(deletion_status=status))
    answer = await lms.launch(lms.launch_token(sub=student.spark_user_id))
    assert_problem(answer, 403, "account_inactive")


async def test_an_unlinked_account_under_deletion_is_not_linked(
    lms: Spark, sessions: Sessions
) -> None:
    email = fresh_email()
    await create_user(sessions, email=email, role="student", deletion_status="pending")
    claims = lms.claims(email=email)
    answer = await lms.launch(sign_token(claims, key=token_key(lms.sso_secret)))
    assert_problem(answer, 403, "account_inactive")
    assert await account(sessions, claims["sub"]) is None


async def test_names_and_address_follow_spark(lms: Spark, sessions: Sessions) -> None:
    """P036"""
    student, email = await lms.sign_in(), fresh_email()
    again = await lms.sign_in(
        sub=student.spark_user_id, email=email.upper(), given_name="Grace", family_name="New"
    )
    assert again.user_id == student.user_id
    now = await user(sessions, UUID(student.user_id))
    assert (now.first_name, now.last_name, now.display_name) == ("Grace", "New", "Grace New")
    assert now.email == email
    assert now.last_active is not None


async def test_names_that_spark_never_said_are_not_there(lms: Spark, sessions: Sessions) -> None:
    student = await lms.sign_in(given_name="", family_name=...)
    made = await user(sessions, UUID(student.user_id))
    assert (made.first_name, made.last_name, made.display_name) == (None, None, None)


async def test_the_name_that_is_shown_is_cut(lms: Spark, sessions: Sessions) -> None:
    student = await lms.sign_in(given_name="G" * 60, family_name="F" * 60)
    made = await user(sessions, UUID(student.user_id))
    assert made.display_name == "G" * 60 + " " + "F" * 39


async def test_each_sign_in_is_told_with_what_it_made(lms: Spark, sessions: Sessions) -> None:
    email, before = fresh_email(), datetime.now(tz=UTC)
    known = await create_user(sessions, email=email, role="student")
    linked, made = await lms.sign_in(email=email), await lms.sign_in()
    assert linked.user_id == str(known)
    assert await told(sessions, linked) == [("spark_account_linked", False), SIGNED_IN]
    assert await told(sessions, made) == [("spark_sso_success", True)]
    for student in (linked, made):
        await lms.sign_in(sub=student.spark_user_id)
        assert (await told(sessions, student))[-1] == SIGNED_IN
        link = await link_of(sessions, student.spark_user_id)
        assert link.created_at < min(link.last_sync_at, link.updated_at)
        assert link.last_sync_at >= before


async def test_a_synthesised_address_gives_way_to_a_real_one(
    lms: Spark, sessions: Sessions
) -> None:
    student, email = await lms.sign_in(email=""), fresh_email()
    await lms.sign_in(sub=student.spark_user_id, email=email)
    assert (await user(sessions, UUID(student.user_id))).email == email


async def test_names_that_spark_leaves_out_stay(lms: Spark, sessions: Sessions) -> None:
    student = await lms.sign_in(given_name="Ada", family_name="Lovelace")
    await lms.sign_in(sub=student.spark_user_id, given_name=..., family_name=...)
    now = await user(sessions, UUID(student.user_id))
    assert (now.first_name, now.last_name, now.display_name) == ("Ada", "Lovelace", "Ada Lovelace")


@pytest.mark.parametrize("role", ["student", ADMIN])
async def test_a_known_student_takes_no_address_that_somebody_has(
    lms: Spark, sessions: Sessions, role: str
) -> None:
    student, email = await lms.sign_in(), fresh_email()
    await create_user(sessions, email=email, role=role)
    again = await lms.sign_in(sub=student.spark_user_id, email=email)
    assert again.user_id == student.user_id
    assert (await user(sessions, UUID(student.user_id))).email != email


async def test_twenty_first_sign_ins_at_once_make_one_account(
    lms: Spark, sessions: Sessions
) -> None:
    """P037"""
    claims = lms.claims()
    tokens = [lms.launch_token(**claims | {"jti": str(n)}) for n in range(20)]
    answers = await asyncio.gather(*map(lms.launch, tokens))
    assert {answer.status_code for answer in answers} == {302}
    assert await account(sessions, claims["sub"]) is not None
    assert await users_of(sessions, claims["email"]) == 1


async def test_of_twenty_siblings_at_once_one_gets_the_address(
    lms: Spark, sessions: Sessions
) -> None:
    """P037"""
    email = fresh_email()
    siblings = await asyncio.gather(*(lms.sign_in(email=email) for _ in range(20)))
    assert len({sibling.user_id for sibling in siblings}) == 20
    assert await users_of(sessions, email) == 1


async def test_of_twenty_known_students_at_once_one_takes_the_address(
    lms: Spark, sessions: Sessions
) -> None:
    known = [await lms.sign_in(email="") for _ in range(20)]
    email = fresh_email()
    await asyncio.gather(*(lms.sign_in(sub=each.spark_user_id, email=email) for each in known))
    assert await users_of(sessions, email) == 1


async def test_of_twenty_claimants_at_once_one_is_linked(lms: Spark, sessions: Sessions) -> None:
    """P037"""
    email = fresh_email()
    known = await create_user(sessions, email=email, role="student")
    claimants = await asyncio.gather(*(lms.sign_in(email=email) for _ in range(20)))
    assert [claimant.user_id for claimant in claimants].count(str(known)) == 1


@pytest.mark.parametrize("role", ["advisor", ADMIN, "parent", "observer"])
async def test_a_link_does_not_let_spark_into_an_account_that_is_no_students_any_more(
    lms: Spark, sessions: Sessions, role: str
) -> None:
    student = await lms.sign_in()
    async with sessions() as session, session.begin():
        await session.execute(
            update(User).where(User.id == UUID(student.user_id)).values(role=role)
        )
    answer = await lms.launch(lms.launch_token(sub=student.spark_user_id))
    assert_problem(answer, 409, "account_link_forbidden")
