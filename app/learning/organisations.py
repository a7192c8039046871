"""Whose courses a student may mean (DESIGN R17): those of the organisations that name them."""

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, or_, select

from app.models import SparkCourse, UserQuest


def is_own(
    organisation: SQLColumnExpression[Any], user_id: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Whether a course of `organisation` may be the student's; who belongs to none may mean all."""
    known = (
        select(SparkCourse.spark_org_id)
        .join(UserQuest, UserQuest.quest_id == SparkCourse.quest_id)
        .where(UserQuest.user_id == user_id, SparkCourse.spark_org_id != "")
        .correlate_except(SparkCourse, UserQuest)
    )
    return or_(organisation.in_(known), ~known.exists())
