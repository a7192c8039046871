"""A school's data as one zip: an index for people, what is its own, and a folder for each student.

Of an account that Spark made everything is in it, as in a student's export; of one that was there
before, what came through Spark; of who also belongs to another organisation, what was done in the
courses of this one.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Text, any_, bindparam, or_, select

from app.activity.audit import record_audit_of_many
from app.database import Columns, Sessions
from app.errors import NotFoundError
from app.models import (
    CourseQuestTask,
    InboxDelivery,
    Quest,
    RosterRow,
    SparkAssignment,
    SparkCourse,
    SparkLink,
)
from app.privacy.export import UNSAFE, Folder
from app.privacy.holdings import PAGE_LARGE_ROWS, Holding, find_optional
from app.privacy.organisation_members import UNKNOWN, list_members
from app.privacy.organisation_rows import find_own
from app.privacy.purposes import HOMEWORK
from app.privacy.spark_work import (
    OF_COURSE_WORK,
    OF_COURSES,
    OF_ORGANISATION,
    OF_SPARK,
    plan_work,
)
from app.privacy.zip_stream import Entry, stream_zip
from app.storage.bucket import Bucket
from app.text import csv_line

README = """\
Everything that the Spark integration service keeps for one organisation, on {at:%Y-%m-%d}.

index.csv       each student: the folder, and what is in it
organisation/   what is no student's: courses, assignments, rosters, messages of who has no account
students/       a folder for each student: files/, SHA256SUMS for them, and tables as *.jsonl

In index.csv `erased` are accounts that Spark made: everything is here. `unlinked` are accounts that
were there before: what came through Spark is here. `kept` also belong to another organisation: what
they did in the courses of this one is here. *.jsonl has one JSON object a line for each row of a
table; times are UTC.
"""
HEAD = ("folder", "given_name", "family_name", "email", "spark_user_ids", "user_id", "what")

_COURSES = select(SparkCourse.id).where(SparkCourse.spark_org_id == OF_ORGANISATION)
_QUESTS = select(SparkCourse.quest_id).where(SparkCourse.spark_org_id == OF_ORGANISATION)
_OF_ASSIGNMENTS = bindparam("of_assignments", type_=ARRAY(Text))
# What `organisation_rows` erases.
OWN = (
    Holding(SparkCourse, "courses", HOMEWORK, SparkCourse.spark_org_id == OF_ORGANISATION),
    Holding(SparkAssignment, "assignments", HOMEWORK, SparkAssignment.course_id.in_(_COURSES)),
    Holding(
        SparkLink,
        "links",
        HOMEWORK,
        (SparkLink.spark_org_id == OF_ORGANISATION)
        | ((SparkLink.spark_org_id == "") & (SparkLink.spark_course_id == any_(OF_COURSES))),
    ),
    Holding(Quest, "quests", HOMEWORK, Quest.id.in_(_QUESTS)),
    Holding(CourseQuestTask, "tasks", HOMEWORK, CourseQuestTask.quest_id.in_(_QUESTS)),
    Holding(
        RosterRow,
        "rosters",
        HOMEWORK,
        (RosterRow.spark_org_id == OF_ORGANISATION)
        | (RosterRow.spark_course_id == any_(OF_COURSES)),
    ),
    Holding(
        InboxDelivery,
        "messages",
        HOMEWORK,
        InboxDelivery.user_id.is_(None)
        & or_(
            InboxDelivery.spark_course_id == any_(OF_COURSES),
            InboxDelivery.spark_course_id.is_(None)
            & (InboxDelivery.spark_assignment_id == any_(_OF_ASSIGNMENTS)),
        ),
        page_rows=PAGE_LARGE_ROWS,
    ),
)


async def begin_organisation_export(
    sessions: Sessions, bucket: Bucket, spark_org_id: str, *, caller: str, now: datetime
) -> AsyncGenerator[bytes, None]:
    """The zip in chunks. The audit log has it, with all whom it shows, before there is a first one.

    Raises NotFoundError at once; the stream raises StorageUnavailableError or one of OUTAGES.
    """
    shown = [member["user_id"] async for member in list_members(sessions, spark_org_id)]
    async with sessions() as session, session.begin():
        own = await find_own(session, spark_org_id)
        await record_audit_of_many(
            session, caller, "sensitive_read", shown or [None], what="organisation"
        )
    if not (own["quests"] or shown):
        raise NotFoundError(hint=UNKNOWN)
    whose = {"of_organisation": spark_org_id, "of_courses": own["courses"]}
    whose["of_assignments"] = own["assignments"]
    folder = Folder(sessions, bucket, whose, now)
    return stream_zip(_Organisation(folder, spark_org_id).entries())


@dataclass(frozen=True)
class _Organisation:
    folder: Folder
    spark_org_id: str

    async def entries(self) -> AsyncIterator[Entry]:
        yield self.folder.text("README.txt", self._readme())
        yield self.folder.text("index.csv", self._index())
        own = replace(self.folder, path="organisation/")
        for holding in OWN:
            async for entry in own.filled(holding):
                yield entry
        async for member in list_members(self.folder.sessions, self.spark_org_id):
            folder = await self._folder_of(member)
            async for entry in folder.entries():
                yield entry

    async def _readme(self) -> AsyncIterator[bytes]:
        yield README.format(at=self.folder.now).encode()

    async def _index(self) -> AsyncIterator[bytes]:
        # By the mark spreadsheets know that it is UTF-8.
        yield b"\xef\xbb\xbf" + csv_line(HEAD).encode()
        async for member in list_members(self.folder.sessions, self.spark_org_id):
            ids = " ".join(member["spark_user_ids"])
            names = (member["first_name"], member["last_name"], member["email"])
            cells = (_path(member), *names, ids, member["user_id"], member["fate"])
            yield csv_line(cells).encode()

    async def _folder_of(self, member: Columns) -> Folder:
        user_id, fate = member["user_id"], member["fate"]
        whose: dict[str, Any] = {"of_user": user_id}
        async with self.folder.sessions() as session, session.begin():
            optional = await find_optional(session) if fate == "erased" else []
            if fate != "erased":
                org = self.spark_org_id if fate == "kept" else None
                whose = await plan_work(session, user_id, org)
        whose["of_spark_users"] = member["spark_user_ids"]
        rows = {"erased": None, "unlinked": OF_SPARK, "kept": OF_COURSE_WORK}[fate]
        return replace(
            self.folder, whose=whose, optional=optional, path=f"{_path(member)}/", rows=rows
        )


def _path(member: Columns) -> str:
    """Unique by the id, with a name that leads to no other folder."""
    name = UNSAFE.sub("_", "".join(member["spark_user_ids"][:1]))[:60].strip(" .")
    return f"students/{name}_{member['user_id']}"
