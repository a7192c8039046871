"""Whose courses a student may mean (DESIGN R17): those of the organisations that name them."""

from app.database import Session, Statement
from app.models import PLATFORM


def is_own_sql(organisation: str, user_id: str) -> str:
    """Whether a course of `organisation` may be the student's: any, when they belong to none."""
    known = f"""exists (
        select from spark.courses named join user_quests on user_quests.quest_id = named.quest_id
        where user_quests.user_id = {user_id} and named.spark_org_id <> ''"""
    # Each stops at the first enrolment that fits; a list of them would be made whole.
    return f"({known} and named.spark_org_id = {organisation}) or not {known}))"


_WITH_ONE = Statement(
    f"select from spark.courses where lms_platform = '{PLATFORM}'"
    " and spark_course_id = :course_id and spark_org_id <> '' limit 1"
)


async def has_organisation(session: Session, spark_course_id: str) -> bool:
    """Whether a course of this id belongs to one."""
    return bool(await _WITH_ONE.send(session, {"course_id": spark_course_id}))
