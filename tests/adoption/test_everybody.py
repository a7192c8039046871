"""Everybody of 20_rows.sql: signed in, or refused with a documented code."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import ESSAY
from tests.support.roster import new_student
from tests.support.service_role import Role
from tests.support.spark import SignedIn, submission

ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")
PEOPLE = """
select coalesce(u.first_name, 'ghost') as name, a.id, coalesce(u.email, a.email) as email,
  coalesce(array_agg(l.lms_user_id::text order by l.lms_user_id)
    filter (where l.lms_platform = 'spark'), '{}') as spark_ids
from auth.users a left join users u using (id) left join lms_integrations l on l.user_id = a.id
group by u.first_name, a.id, u.email, a.email
"""
FORBIDDEN = "account_link_forbidden"
# By name: what Spark's click for them leads to. `own` is the account that is there.
CLICKS = {
    **dict.fromkeys(("Root", "Tess", "Pat"), FORBIDDEN),
    **dict.fromkeys(("Ann", "Ben", "Cleo", "Dana", "Eve", "Finn", "Gus"), "own"),
    "ghost": "another",
}
# And a stranger's, who claims their address and another name.
STRANGERS = {name: FORBIDDEN if way == FORBIDDEN else "another" for name, way in CLICKS.items()}


@pytest.fixture(params=ROLES)
async def beside(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, request.param) as running:
        yield running


async def click(beside: Beside, person: Any, **claims: Any) -> str:
    """Where it leads, and whether homework follows."""
    token = beside.spark.launch_token(**{"email": person.email, "given_name": person.name} | claims)
    answer = await beside.spark.launch(token)
    if answer.status_code != HTTPStatus.FOUND:
        code: str = answer.json()["code"]
        return code
    came = await beside.spark.exchange(answer.headers["location"].partition("code=")[2])
    assert came.status_code == HTTPStatus.OK, came.text
    return "own" if came.json()["user_id"] == str(person.id) else "another"


async def test_everybody_signs_in_or_is_refused_with_the_documented_code(beside: Beside) -> None:
    people = await beside.rows(PEOPLE)
    clicks, handed_in = {}, {}
    for person in people:
        names = person.spark_ids or [new_student()]
        ways = {await click(beside, person, sub=name) for name in names}
        assert len(ways) == 1, person.name
        clicks[person.name] = ways.pop()
        work = submission(SignedIn(names[-1], "", "", ""), ESSAY)
        answer = await beside.spark.submit(work)
        handed_in[person.name] = answer.json().get("code") or answer.json()["status"]
    assert clicks == CLICKS
    assert handed_in == {
        name: "user_not_found" if way == FORBIDDEN else "success" for name, way in CLICKS.items()
    }


async def test_nobody_comes_into_an_account_by_the_address_alone(beside: Beside) -> None:
    people = await beside.rows(PEOPLE)
    assert {
        person.name: await click(beside, person, given_name="Somebody Else") for person in people
    } == STRANGERS


async def test_no_question_about_anybody_fails(beside: Beside) -> None:
    about = "/internal/v1/students/{}"
    paths = (about, f"{about}/xp", f"{about}/export", "/internal/v1/completions?user_id={}")
    for person in await beside.rows(PEOPLE):
        for path in paths:
            answer = await beside.spark.browser.get(path.format(person.id), headers=beside.key)
            code = answer.json()["code"] if answer.status_code != HTTPStatus.OK else None
            assert code in (None, "not_found", "not_a_student"), (person.name, path)
