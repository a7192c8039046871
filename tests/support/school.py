"""Schools with students of every fate, and what must be left of them."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx

from app.clock import new_id, utc_now
from app.main import open_resources
from app.privacy.erase_organisation import erase_some
from app.privacy.order_organisation import OrganisationOrder, order_erasure
from app.settings import Settings
from app.worker import eraser_of
from tests.support.courses import course, synced
from tests.support.families import Child, Family, dump
from tests.support.roster import Course
from tests.support.spark import Assignment, SignedIn, submission
from tests.support.work import do_jobs

ORGANISATIONS = "/internal/v1/organisations"


@dataclass
class School:
    """An organisation with one course; `words` tell of no other."""

    family: Family  # whose course is the school's
    said: dict[str, Any]  # of the course
    words: set[str]
    children: list[Child] = field(default_factory=list)

    @property
    def org(self) -> str:
        return self.family.course.spark_org_id

    @property
    def course(self) -> Course:
        return self.family.course

    @property
    def quest_id(self) -> str:
        return str(self.course.quest_id)

    async def announce(self) -> str:
        """The course, once more: its quest."""
        return await synced(self.family.spark, self.said)

    async def raise_child(self) -> Child:
        child = await self.family.raise_child()
        self.children.append(child)
        return child

    async def hand_in(self, child: Child) -> str:
        """Homework for this school's course: its text."""
        work = submission(child.student, self.course.assignment)
        answer = await self.family.spark.submit(work)
        assert answer.status_code == 200, answer.text
        return str(work["submission_text"])

    async def make_older(self, child: Child) -> None:
        """The account was there before Spark linked it."""
        await self.family.stores.execute(
            "UPDATE users SET created_at = created_at - interval '1 day'"  # noqa: S608
            f" WHERE id = '{child.user_id}'"
        )

    async def erase(self, **asked: Any) -> httpx.Response:
        return await self.family.client.post(
            f"{ORGANISATIONS}/erasures",
            json={"spark_org_id": self.org, **asked},
            headers=self.family.main_app,
        )

    async def certificate(self, erasure_id: str) -> dict[str, Any]:
        path = f"{ORGANISATIONS}/erasures/{erasure_id}"
        answer = await self.family.client.get(path, headers=self.family.main_app)
        assert answer.status_code == 200, answer.text
        read: dict[str, Any] = answer.json()
        return read

    async def erased(self) -> dict[str, Any]:
        """The certificate, once the worker has done it."""
        asked = await self.erase(apply=True)
        assert asked.status_code == 200, asked.text
        await do_jobs(self.family.resources)
        certificate = await self.certificate(asked.json()["erasure"]["id"])
        assert certificate["completed_at"], certificate
        return certificate


async def open_school(family: Family) -> School:
    title, essay = (f"{word}_{secrets.token_hex(6)}" for word in ("Weather", "essay"))
    said = course(essay, course_title=title)
    quest_id = UUID(await synced(family.spark, said))
    org, course_id = said["spark_org_id"], said["spark_course_id"]
    own = Course(quest_id, course_id, org, Assignment(quest_id, essay, course_id))
    words = {title, essay, org, course_id, str(quest_id)}
    return School(replace(family, course=own), said, words)


async def erase_once(settings: Settings, org: str) -> None:
    """Order it, and do what there is of it."""
    async with open_resources(settings) as opened:
        order = OrganisationOrder(new_id(), org, "test", utc_now())
        erasure_id = await order_erasure(opened.sessions, order)
        while await erase_some(eraser_of(opened), erasure_id, []):
            pass


async def lines_with(family: Family, words: Iterable[str], without: Iterable[str]) -> set[str]:
    """Rows, as text, that have one of these words and none of those."""
    found = set()
    for place, lines in (await dump(family.stores)).items():
        for line in lines.splitlines():
            if any(word in line for word in words) and not any(word in line for word in without):
                found.add(f"{place}: {line}")
    return found


async def traces_of(school: School) -> list[str]:
    """Where one of the school's own words is still; the certificate names it."""
    nobody = Child(SignedIn("", "", "", ""), {}, school.words)
    found = await school.family.traces([nobody])
    return [trace for trace in found if trace != f"spark.organisation_erasures: {school.org}"]
