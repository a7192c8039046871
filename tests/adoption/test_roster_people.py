"""Many students at once beside the main app: by a roster file, and by a roster of Spark's."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.roster import counts, entry, roster, send, sync_course
from tests.support.roster_files import FLAT, Importer, codes, counted, table
from tests.support.service_role import Role

ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")
LINKED = (
    "select l.lms_user_id, u.first_name, u.email, a.email from lms_integrations l"
    " join users u on u.id = l.user_id join auth.users a on a.id = u.id"
    " where l.lms_user_id = any (:students)"
)


@pytest.fixture(params=ROLES)
async def beside(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, request.param, database_pool_size=20) as running:
        yield running


PEOPLE = {
    "cleo": ("CLEO.CASE@example.test", "Cleo"),
    "ghost": ("ghost@example.test", "Gil"),
    "gus": ("gus@example.test", "Gus"),
    "nobody": ("", "Nan"),
    "new": ("New.One@example.test", "Ned"),
    "sibling": ("new.one@example.test", "Nia"),
    "teach": ("teach@example.test", "Tess"),
}
# By name: the account's first name, and whether its address is the student's own.
FOUND = {
    "cleo": ("Cleo", True),
    "ghost": ("Gil", False),
    "gus": ("Gus", True),
    "nobody": ("Nan", False),
    "new": ("Ned", True),
    "sibling": ("Nia", False),
}


def new_names() -> dict[str, str]:
    """Spark ids in this order: of siblings the first one has the address."""
    mark = secrets.token_hex(4)
    return {name: f"{mark}_{place}" for place, name in enumerate(PEOPLE)}


async def linked(beside: Beside, names: dict[str, str]) -> dict[str, tuple[str, bool]]:
    rows = await beside.rows(LINKED, students=list(names.values()))
    return {
        name: (first_name, email.lower() == known == PEOPLE[name][0].lower())
        for name, student in names.items()
        for spark_id, first_name, email, known in rows
        if spark_id == student
    }


@pytest.mark.parametrize("row", ["#3-#4-#9-#10-#11"])
async def test_a_file_finds_who_is_there_and_makes_the_others(beside: Beside, row: str) -> None:
    names = new_names()
    content = table(
        FLAT,
        *(
            (names[name], email, given, "Example", "student")
            for name, (email, given) in PEOPLE.items()
        ),
    )
    importer = Importer(beside.spark.browser, beside.key)
    assert counted(await importer.check(content)) == {"create": 4, "link": 2, "error": 1}
    report = await importer.apply(content)
    assert counted(report) == {"create": 4, "link": 2, "error": 1}
    assert codes(report)[0] == "account_link_forbidden"
    assert await linked(beside, names) == FOUND
    assert counted(await importer.apply(content)) == {"unchanged": 6, "error": 1}


async def test_a_roster_of_sparks_does_the_same(beside: Beside) -> None:
    course = await sync_course(beside.spark)
    names = new_names()
    entries = [
        entry(names[name], email=email or ..., given_name=given, family_name="Example")
        for name, (email, given) in PEOPLE.items()
    ]
    answer = await send(beside.spark, roster(course, *entries))
    assert {name: counts(answer)[name] for name in ("enrolled", "users_created", "errors")} == {
        "enrolled": 6,
        "users_created": 4,
        "errors": 1,
    }
    assert await linked(beside, names) == FOUND


async def test_a_first_roster_and_its_students_come_at_once(beside: Beside) -> None:
    """A file of 250 in two transactions, and ten of them click meanwhile."""
    mark = secrets.token_hex(4)
    students = [f"{mark}_{number}" for number in range(250)]
    rows = [(name, f"{name}@example.test", "Ada", "Example", "student") for name in students]
    importer = Importer(beside.spark.browser, beside.key)
    report, *came = await asyncio.gather(
        importer.apply(table(FLAT, *rows)),
        *(
            beside.spark.sign_in(sub=name, email=f"{name}@example.test", given_name="Ada")
            for name in students[::25]
        ),
    )
    assert "error" not in counted(report)
    assert len({each.user_id for each in came}) == 10
    made = await beside.rows(LINKED, students=students)
    assert sorted(made) == sorted(
        (name, "Ada", f"{name}@example.test", f"{name}@example.test") for name in students
    )
