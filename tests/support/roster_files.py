"""Roster files as other systems export them, and the main Optio app, which sends them."""

import csv
import io
import zipfile
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import select

from app.database import Sessions
from app.models import LmsIntegration, User, UserQuest
from tests.support.roster import Course

IMPORTS = "/internal/v1/roster/imports"
FLAT = ("sourcedId", "email", "givenName", "familyName", "role")
USERS = ("sourcedId", "status", "enabledUser", "givenName", "familyName", "role", "email")
USERS_1_2 = ("sourcedId", "status", "enabledUser", "givenName", "familyName", "email")
ROLES = ("sourcedId", "userSourcedId", "roleType", "role", "orgSourcedId")
ENROLLMENTS = (
    "sourcedId",
    "status",
    "classSourcedId",
    "schoolSourcedId",
    "userSourcedId",
    "role",
)


def table(columns: Sequence[str], *rows: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows])
    return text.getvalue().encode()


def flat(*students: str, role: str = "student") -> bytes:
    return table(
        FLAT, *((name, f"{name}@example.com", "Ada", "Example", role) for name in students)
    )


def bundle(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.csv", content)
    return packed.getvalue()


def user(name: str, role: str = "student", status: str = "") -> tuple[str, ...]:
    return (name, status, "true", "Ada", "Example", role, f"{name}@example.com")


def takes_part(
    course: Course, name: str, role: str = "student", status: str = ""
) -> tuple[str, ...]:
    return (
        f"{name}-{course.spark_course_id}",
        status,
        course.spark_course_id,
        course.spark_org_id,
        name,
        role,
    )


def whole_list(course: Course, *students: str) -> bytes:
    return bundle(
        users=table(USERS, *map(user, students)),
        enrollments=table(ENROLLMENTS, *(takes_part(course, name) for name in students)),
    )


class Importer:
    """The main Optio app, which sends roster files."""

    def __init__(self, browser: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self._browser = browser
        self._headers = headers

    async def post(self, content: bytes, **query: str) -> httpx.Response:
        return await self._browser.post(
            IMPORTS, content=content, headers=self._headers, params=query
        )

    async def check(self, content: bytes) -> dict[str, Any]:
        return _report(await self.post(content))

    async def apply(self, content: bytes) -> dict[str, Any]:
        return _report(await self.post(content, apply="true"))

    async def confirm(self, import_id: str) -> dict[str, Any]:
        return _report(
            await self._browser.post(f"{IMPORTS}/{import_id}/confirm", headers=self._headers)
        )

    async def confirm_unknown(self) -> httpx.Response:
        return await self._browser.post(f"{IMPORTS}/{uuid4()}/confirm", headers=self._headers)


def _report(answer: httpx.Response) -> dict[str, Any]:
    """Of an answer 200, whose counts must add up."""
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    read = [report["counts"][source] for source in ("users", "enrollments")]
    assert sum(sum(counts.values()) for counts in read) == report["rows"]
    return report


def counted(report: dict[str, Any], source: str = "users") -> dict[str, int]:
    return {outcome: rows for outcome, rows in report["counts"][source].items() if rows}


def codes(report: dict[str, Any]) -> list[str | None]:
    return [row["code"] or row["outcome"] for row in report["examples"]]


async def linked(sessions: Sessions, *students: str) -> dict[str, str]:
    """Addresses by Spark id."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(LmsIntegration.lms_user_id, User.email)
            .join(User, User.id == LmsIntegration.user_id)
            .where(LmsIntegration.lms_user_id.in_(students))
        )
        return {row.lms_user_id: str(row.email) for row in found}


async def active_in(sessions: Sessions, course: Course) -> set[str]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(LmsIntegration.lms_user_id)
            .join(UserQuest, UserQuest.user_id == LmsIntegration.user_id)
            .where(UserQuest.quest_id == course.quest_id, UserQuest.is_active)
        )
        return set(found.scalars())
