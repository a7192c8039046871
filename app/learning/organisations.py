"""Whose courses a student may mean (DESIGN R17): those of the organisations that name them."""

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, or_, select
from sqlalchemy.orm import aliased

from app.models import SparkCourse, UserQuest


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
