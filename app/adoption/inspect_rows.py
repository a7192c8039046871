"""Rows of the main app's that somebody should look at. Nothing is repaired: that its team decides.

One SQL text says what is meant: its rows are counted here, and whoever wants to see them runs it.
"""

import re
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.adoption.finding import Finding
from app.database import Session, sqlstate_of
from app.text import ID_EDGES, NO_IDENTIFIER

# Undefined table or column, no right to read it: what matters of that the catalogue names.
NOT_SEEN = ("42P01", "42703", "42501")


class Question(NamedTuple):
    """`does` is what the service does about such rows."""

    subject: str
    what: str
    does: str
    sql: str


def _bracketed(characters: str) -> str:
    """As Postgres writes them, in ASCII; it stores no NUL."""
    return "[" + re.sub("[^!-~]", lambda one: f"\\u{ord(one[0]) or 1:04X}", characters) + "]"


# What no id has that was read (DESIGN R35, R46): these at its ends, those anywhere.
NEVER_READ = f"^{_bracketed(ID_EDGES)}|{_bracketed(ID_EDGES)}$|{_bracketed(NO_IDENTIFIER)}"
_OF_SPARK = "coalesce(lms_platform, 'spark') = 'spark'"
# Where an id of Spark is looked up, and which rows hold one.
_IDS = (
    ("public.lms_integrations", "lms_user_id", _OF_SPARK),
    ("public.quests", "lms_course_id", _OF_SPARK),
    ("public.quests", "lms_assignment_id", _OF_SPARK),
    ("public.quest_sample_tasks", "spark_assignment_id", "true"),  # what adopting maps
    ("spark.courses", "spark_course_id", "true"),
    ("spark.courses", "spark_org_id", "true"),
    ("spark.assignments", "spark_assignment_id", "true"),
    ("spark.links", "spark_assignment_id", "true"),
)
QUESTIONS = (
    *(
        Question(
            f"{table.removeprefix('public.')}.{column}",
            "ids with invisible characters",
            "no message finds them, for an id loses these when it is read",
            f"select id, {column} from {table} where {condition} and {column} ~ '{NEVER_READ}'",  # noqa: S608
        )
        for table, column, condition in _IDS
    ),
    Question(
        "user_quests",
        "students with several enrolments in one quest",
        "the newest active one is used",
        "select user_id, quest_id, count(*) from public.user_quests"
        " group by user_id, quest_id having count(*) > 1",
    ),
    Question(
        "user_quest_tasks",
        "enrolments with several copies of one task",
        "none is removed",
        "select user_quest_id, source_task_id, count(*) from public.user_quest_tasks"
        " where source_task_id is not null"
        " group by user_quest_id, source_task_id having count(*) > 1",
    ),
    Question(
        "lms_integrations",
        "users with several Spark ids",
        "each signs in as this user, and the newest is shown",
        "select user_id, count(*), array_agg(lms_user_id order by created_at)"
        " from public.lms_integrations where lms_platform = 'spark'"
        " group by user_id having count(*) > 1",
    ),
    Question(
        "users.email",
        "addresses with capitals",
        "they are compared in lower case",
        "select id, email from public.users where email <> lower(email)",
    ),
    Question(
        "users.email",
        "addresses of several users",
        "linked only where the name leaves one of them",
        "select lower(email), array_agg(id) from public.users where email is not null"
        " group by lower(email) having count(*) > 1",
    ),
    Question(
        "auth.users",
        "registrations that ended half-way, without a row in users",
        "whoever comes from Spark with such an address gets an account with a made-up one",
        "select id, email from auth.users a"
        " where not exists (select from public.users u where u.id = a.id)",
    ),
    Question(
        "lms_sessions",
        "sessions of the predecessor",
        "nothing reads them: ours stand in schema spark",
        "select user_id, created_at, expires_at from public.lms_sessions"
        " where lms_platform = 'spark'",
    ),
    Question(
        "spark_auth_codes",
        "codes of the predecessor, readable as they are",
        "nothing reads them: ours stand in schema spark",
        "select user_id, expires_at, used from public.spark_auth_codes",
    ),
)


async def inspect_rows(session: Session) -> list[Finding]:
    """In the caller's transaction. How many there are, and never whose."""
    return [finding for question in QUESTIONS if (finding := await _ask(session, question))]


async def _ask(session: Session, question: Question) -> Finding | None:
    counting = f"select count(*) from ({question.sql}) as rows"  # noqa: S608 - our own words
    try:
        async with session.begin_nested():
            rows = await session.scalar(text(counting))
    except DBAPIError as failure:
        if sqlstate_of(failure) in NOT_SEEN:
            return None
        raise
    if not rows:
        return None
    said = f"{question.what}: {rows}; {question.does}"
    return Finding("data", question.subject, said, f"This lists them: {question.sql}")
