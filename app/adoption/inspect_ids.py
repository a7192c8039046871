"""Spark's ids as they are stored: those that no message finds, and users who have two.

A finding holds SQL and names of columns, and no id: that would be a child's.
"""

import re

from sqlalchemy.exc import ProgrammingError

from app.adoption.finding import Finding
from app.database import Session
from app.models import PLATFORM
from app.text import ID_EDGES, NO_IDENTIFIER

# Where an id of Spark is looked up, and which rows hold one.
_IDS = (
    ("lms_integrations", "lms_user_id", f"lms_platform = '{PLATFORM}'"),
    ("quests", "lms_course_id", f"coalesce(lms_platform, '{PLATFORM}') = '{PLATFORM}'"),
    ("quests", "lms_assignment_id", f"coalesce(lms_platform, '{PLATFORM}') = '{PLATFORM}'"),
    ("quest_sample_tasks", "spark_assignment_id", "true"),  # what adopting maps
    ("spark.courses", "spark_course_id", "true"),
    ("spark.courses", "spark_org_id", "spark_org_id <> ''"),  # empty: Spark names none
    ("spark.assignments", "spark_assignment_id", "true"),
)


def _class(characters: str) -> str:
    """As Postgres writes them, in ASCII; it stores no NUL."""
    return re.sub("[^!-~]", lambda one: f"\\u{ord(one[0]) or 1:04X}", characters)


# What an id that was read never is (DESIGN R35, R46): empty, surrounded, or with such inside.
_NEVER_READ = f"^$|^[{_class(ID_EDGES)}]|[{_class(ID_EDGES)}]$|[{_class(NO_IDENTIFIER)}]"
_LISTINGS = [
    (
        f"{table}.{column}",
        "ids that no message finds, for what is invisible at their ends or inside",
        f"select id, {column} from {table} where {condition} and {column} ~ '{_NEVER_READ}'",  # noqa: S608
        "Take it off, unless another row has what is left; the rows",
    )
    for table, column, condition in _IDS
]
_TWICE = (
    "select user_id, count(*) from lms_integrations"  # noqa: S608
    f" where lms_platform = '{PLATFORM}' group by user_id having count(*) > 1"
)
_LISTINGS.append(
    (
        "lms_integrations",
        "users with two Spark ids or more",
        _TWICE,
        "Delete the rows of ids that Spark does not use any more; the users",
    )
)


async def inspect_ids(session: Session) -> list[Finding]:
    """None of a table that is missing or not to be read: the catalogue has the finding for that."""
    return [
        Finding("data", subject, f"{what}: {found}", f"{next_step}: {listing};")
        for subject, what, listing, next_step in _LISTINGS
        if (found := await _count(session, listing))
    ]


async def _count(session: Session, listing: str) -> int:
    try:
        async with session.begin_nested():
            counting = f"select count(*) from ({listing}) as listed"  # noqa: S608 - our own
            found: int = (await session.exec_driver_sql(counting)).scalar_one()
            return found
    except ProgrammingError:
        return 0
