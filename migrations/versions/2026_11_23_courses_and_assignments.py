"""courses and assignments."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "courses",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("lms_platform", sa.String(length=50), nullable=False),
        sa.Column(
            "spark_org_id", sa.String(length=255), server_default=sa.text("''"), nullable=False
        ),
        sa.Column("spark_course_id", sa.String(length=255), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "synced_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"], ["quests.id"], name=op.f("fk_courses_quest_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_courses")),
        sa.UniqueConstraint(
            "lms_platform",
            "spark_org_id",
            "spark_course_id",
            name=op.f("uq_courses_lms_platform_spark_org_id_spark_course_id"),
        ),
        sa.UniqueConstraint("quest_id", name=op.f("uq_courses_quest_id")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_courses_spark_course_id"),
        "courses",
        ["spark_course_id"],
        unique=False,
        schema="spark",
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("spark_assignment_id", sa.String(length=255), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("due_date", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("retired_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["course_id"],
            ["spark.courses.id"],
            name=op.f("fk_assignments_course_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["course_quest_tasks.id"],
            name=op.f("fk_assignments_task_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint(
            "course_id",
            "spark_assignment_id",
            name=op.f("uq_assignments_course_id_spark_assignment_id"),
        ),
        sa.UniqueConstraint("task_id", name=op.f("uq_assignments_task_id")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_assignments_spark_assignment_id"),
        "assignments",
        ["spark_assignment_id"],
        unique=False,
        schema="spark",
    )
    # ### end Alembic commands ###


def downgrade() -> None:
    op.drop_index(
        op.f("ix_assignments_spark_assignment_id"), table_name="assignments", schema="spark"
    )
    op.drop_table("assignments", schema="spark")
    op.drop_index(op.f("ix_courses_spark_course_id"), table_name="courses", schema="spark")
    op.drop_table("courses", schema="spark")
    # ### end Alembic commands ###
