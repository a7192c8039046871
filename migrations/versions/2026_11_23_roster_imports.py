"""roster imports."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "roster_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="reading", nullable=False),
        sa.Column("is_whole", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("applied_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('reading', 'checked', 'applying', 'held', 'applied')",
            name=op.f("ck_roster_imports_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roster_imports")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_roster_imports_created_at"),
        "roster_imports",
        ["created_at"],
        unique=False,
        schema="spark",
    )
    op.create_table(
        "roster_rows",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("spark_user_id", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("given_name", sa.Text(), nullable=True),
        sa.Column("family_name", sa.Text(), nullable=True),
        sa.Column("is_student", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("spark_org_id", sa.Text(), nullable=True),
        sa.Column("spark_course_id", sa.Text(), nullable=True),
        sa.Column("quest_id", sa.Uuid(), nullable=True),
        sa.Column("leaves", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("is_done", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "source in ('users', 'roles', 'enrollments', 'absent')",
            name=op.f("ck_roster_rows_source"),
        ),
        sa.CheckConstraint(
            "outcome in ('create', 'link', 'enrol', 'drop', 'held', 'unchanged', 'skipped',"
            " 'error')",
            name=op.f("ck_roster_rows_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["spark.roster_imports.id"],
            name=op.f("fk_roster_rows_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "number", name=op.f("pk_roster_rows")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_roster_rows_import_id_spark_user_id_source"),
        "roster_rows",
        ["import_id", "spark_user_id", "source"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        op.f("ix_roster_rows_import_id_quest_id"),
        "roster_rows",
        ["import_id", "quest_id"],
        unique=False,
        schema="spark",
    )


def downgrade() -> None:
    op.drop_table("roster_rows", schema="spark")
    op.drop_table("roster_imports", schema="spark")
