"""Whose courses a student may mean (DESIGN R17): those of the organisations that name them."""

from sqlalchemy import bindparam, select

from app.database import Session
from app.models import PLATFORM, SparkCourse


def is_own_sql(organisation: str, user_id: str) -> str:
    """Whether a course of `organisation` may be the student's: any, when they belong to none."""
    known = f"""exists (
        select from spark.courses named join user_quests on user_quests.quest_id = named.quest_id
        where user_quests.user_id = {user_id} and named.spark_org_id <> ''"""
    # Each stops at the first enrolment that fits; a list of them would be made whole.
    return f"({known} and named.spark_org_id = {organisation}) or not {known}))"


_WITH_ONE = select(
    select(SparkCourse.id)
    .where(
        SparkCourse.lms_platform == PLATFORM,
        SparkCourse.spark_course_id == bindparam("course_id"),
        SparkCourse.spark_org_id != "",
    )
    .exists()
)


async def has_organisation(session: Session, spark_course_id: str) -> bool:
    """Whether a course of this id belongs to one."""
    found = await session.execute(_WITH_ONE, {"course_id": spark_course_id})
    return bool(found.scalar_one())
