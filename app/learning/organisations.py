"""Whose courses a student may mean (DESIGN R17): those of the organisations that name them."""

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, bindparam, or_, select
from sqlalchemy.orm import aliased

from app.database import Session
from app.models import PLATFORM, SparkCourse, UserQuest


def is_own(
    organisation: SQLColumnExpression[Any], user_id: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Whether a course of `organisation` may be the student's: any, when they belong to none."""
    named, enrolment = aliased(SparkCourse), aliased(UserQuest)
    known = (
        select(named.id)
        .join(enrolment, enrolment.quest_id == named.quest_id)
        .where(enrolment.user_id == user_id, named.spark_org_id != "")
        .correlate_except(named, enrolment)
    )
    # Each EXISTS stops at the first enrolment that fits; a list of them would be made whole.
    return or_(known.where(named.spark_org_id == organisation).exists(), ~known.exists())


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
