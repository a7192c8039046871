"""inbox and subject XP."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "user_subject_xp",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("school_subject", sa.Text(), nullable=False),
        sa.Column("xp_amount", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "school_subject in ('language_arts', 'math', 'science', 'social_studies',"
            " 'financial_literacy', 'health', 'pe', 'fine_arts', 'cte',"
            " 'digital_literacy', 'electives')",
            name=op.f("ck_user_subject_xp_school_subject"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_subject_xp_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_subject_xp")),
        sa.UniqueConstraint(
            "user_id", "school_subject", name=op.f("uq_user_subject_xp_user_id_school_subject")
        ),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "answered_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("replayed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the signed text"),
        sa.Column("webhook_id", sa.Text(), nullable=True),
        sa.Column("message", sa.LargeBinary(), nullable=True),
        sa.Column("body_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("spark_user_id", sa.String(length=255), nullable=True),
        sa.Column("spark_assignment_id", sa.String(length=255), nullable=True),
        sa.Column("spark_course_id", sa.String(length=255), nullable=True),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["spark.submission_revisions.id"],
            name=op.f("fk_deliveries_submission_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_deliveries_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_deliveries_code_id"),
        "deliveries",
        ["code", "id"],
        unique=False,
        schema="spark",
        postgresql_where=sa.text("code is not null"),
    )
    op.create_index(
        op.f("ix_deliveries_digest"), "deliveries", ["digest"], unique=False, schema="spark"
    )
    op.create_index(
        op.f("ix_deliveries_received_at"),
        "deliveries",
        ["received_at"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        "ix_deliveries_refused",
        "deliveries",
        ["id", "spark_assignment_id"],
        unique=False,
        schema="spark",
        postgresql_where=sa.text("code is not null"),
    )
    op.create_index(
        op.f("ix_deliveries_spark_assignment_id_id"),
        "deliveries",
        ["spark_assignment_id", "id"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        op.f("ix_deliveries_spark_user_id_id"),
        "deliveries",
        ["spark_user_id", "id"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        op.f("ix_deliveries_submission_id"),
        "deliveries",
        ["submission_id"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        op.f("ix_deliveries_user_id"), "deliveries", ["user_id"], unique=False, schema="spark"
    )
    op.alter_column(
        "idempotency_keys", "user_id", existing_type=sa.UUID(), nullable=True, schema="spark"
    )
    op.create_index(
        op.f("ix_idempotency_keys_created_at"),
        "idempotency_keys",
        ["created_at"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        op.f("ix_user_activity_events_created_at_event_type"),
        "user_activity_events",
        ["created_at", "event_type"],
        unique=False,
        postgresql_where=sa.text("event_category = 'lms'"),
    )
    # ### end Alembic commands ###


def downgrade() -> None:
    op.drop_index(
        op.f("ix_user_activity_events_created_at_event_type"),
        table_name="user_activity_events",
        postgresql_where=sa.text("event_category = 'lms'"),
    )
    op.drop_index(
        op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys", schema="spark"
    )
    op.alter_column(
        "idempotency_keys", "user_id", existing_type=sa.UUID(), nullable=False, schema="spark"
    )
    op.drop_index(op.f("ix_deliveries_user_id"), table_name="deliveries", schema="spark")
    op.drop_index(op.f("ix_deliveries_submission_id"), table_name="deliveries", schema="spark")
    op.drop_index(op.f("ix_deliveries_spark_user_id_id"), table_name="deliveries", schema="spark")
    op.drop_index(
        op.f("ix_deliveries_spark_assignment_id_id"), table_name="deliveries", schema="spark"
    )
    op.drop_index(
        "ix_deliveries_refused",
        table_name="deliveries",
        schema="spark",
        postgresql_where=sa.text("code is not null"),
    )
    op.drop_index(op.f("ix_deliveries_received_at"), table_name="deliveries", schema="spark")
    op.drop_index(op.f("ix_deliveries_digest"), table_name="deliveries", schema="spark")
    op.drop_index(
        op.f("ix_deliveries_code_id"),
        table_name="deliveries",
        schema="spark",
        postgresql_where=sa.text("code is not null"),
    )
    op.drop_table("deliveries", schema="spark")
    op.drop_table("user_subject_xp")
    # ### end Alembic commands ###
