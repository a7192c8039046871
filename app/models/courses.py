"""What Spark calls its courses and assignments, and what they are here."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import SPARK, Id, Moment, Platform, QuestId, Table, Zero


class SparkCourse(Table):
    """A course that was synced, and its quest. `spark_org_id` is empty where Spark names none.

    Of the course's own messages and of its rosters the last that was taken stands here, and the
    latest time that one of them named: what is older may not undo it.
    """

    __tablename__ = "courses"
    __table_args__ = (
        UniqueConstraint("lms_platform", "spark_org_id", "spark_course_id"),
        Index(None, "spark_course_id"),
        {"schema": SPARK},
    )

    id: Mapped[Id]
    lms_platform: Mapped[Platform]
    spark_org_id: Mapped[str] = mapped_column(String(255), server_default=text("''"))
    spark_course_id: Mapped[str] = mapped_column(String(255))
    quest_id: Mapped[QuestId | None] = mapped_column(unique=True)
    created_at: Mapped[Moment]
    synced_at: Mapped[Moment]
    course_digest: Mapped[bytes | None] = mapped_column(comment="SHA-256 of the signed text")
    course_sent_at: Mapped[datetime | None]
    roster_digest: Mapped[bytes | None] = mapped_column(comment="SHA-256 of the signed text")
    roster_sent_at: Mapped[datetime | None]


class SparkAssignment(Table):
    """An assignment of a course, and its template task; retired when Spark no longer names it. If
    the main app deletes the template, title and place are what it is found by. Of a task that a
    person chose the title is the task's, and no course message writes the task.
    """

    __tablename__ = "assignments"
    __table_args__ = (
        UniqueConstraint("course_id", "spark_assignment_id"),
        Index(None, "spark_assignment_id"),
        {"schema": SPARK},
    )

    id: Mapped[Id]
    course_id: Mapped[UUID] = mapped_column(ForeignKey("spark.courses.id", ondelete="CASCADE"))
    spark_assignment_id: Mapped[str] = mapped_column(String(255))
    task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("course_quest_tasks.id", ondelete="SET NULL"), unique=True
    )
    title: Mapped[str] = mapped_column(server_default=text("''"))
    spark_title: Mapped[str | None] = mapped_column(
        comment="As Spark has it, whoever chose the task"
    )
    place: Mapped[Zero]
    due_date: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
    mapped_at: Mapped[datetime | None] = mapped_column(comment="When a person chose the task")
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]


class SparkLink(Table):
    """Which work a person chose for an assignment: a task, or with null the quest's first one. No
    key of the main app's is enforced, for of what went the link still tells.
    """

    __tablename__ = "links"
    __table_args__ = (
        UniqueConstraint(
            "lms_platform",
            "spark_org_id",
            "spark_course_id",
            "spark_assignment_id",
            name="uq_links_assignment",
        ),
        Index(None, "spark_assignment_id"),
        Index(None, "quest_id"),
        {"schema": SPARK},
    )

    id: Mapped[Id]
    lms_platform: Mapped[Platform]
    spark_org_id: Mapped[str] = mapped_column(String(255), server_default=text("''"))
    spark_course_id: Mapped[str] = mapped_column(String(255))
    spark_assignment_id: Mapped[str] = mapped_column(String(255))
    quest_id: Mapped[UUID]
    task_id: Mapped[UUID | None]
    task_title: Mapped[str | None]
    chosen_by: Mapped[bytes | None] = mapped_column(comment="Keyed hash of a teacher's Spark id")
    chosen_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]


# A piece of a statement: the links that hold, each with the template that it means. One that the
# main app's editor made anew is known by its title; a link whose task or quest went does not hold.
LINKS_SQL = """(
    select link.*, case when link.task_id is not null then template.id end as template_id
    from spark.links link
    join quests on quests.id = link.quest_id and quests.is_active
    join lateral (
      select t.id from course_quest_tasks t
      where t.quest_id = link.quest_id
        and (link.task_id is null or t.id = link.task_id or t.title = link.task_title)
      order by t.id = link.task_id desc, t.order_index, t.id limit 1) template on true
    where link.retired_at is null)"""
