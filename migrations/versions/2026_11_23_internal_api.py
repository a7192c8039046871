"""internal API.

The rows of `submission_revisions` are completed here; an instance of the version before cannot
write them any more. Nothing was deployed when this was written.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COMPLETE_REVISIONS = """
UPDATE spark.submission_revisions r
SET quest_id = c.quest_id, replaced_at = replaced.at, written_ids = r.block_ids
FROM quest_task_completions c, (
    SELECT id, lead(created_at) OVER (
        PARTITION BY completion_id ORDER BY submitted_at, revision
    ) AS at FROM spark.submission_revisions
) AS replaced
WHERE c.id = r.completion_id AND replaced.id = r.id
"""
# Rosters name many children and are never replayed: their texts are not kept any more.
FORGET_ROSTERS = """
UPDATE spark.deliveries SET message = NULL WHERE route = '/spark/webhook/roster'
"""

PERSONAL = (
    "event_category = 'lms' and (user_id is not null or event_data ?| array['ip_address', 'email',"
    " 'user_email', 'spark_user_id', 'user_id', 'submission_id', 'completion_id', 'task_id',"
    " 'document_id'])"
)


def upgrade() -> None:
    op.create_table(
        "activity_hours",
        sa.Column("hour", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("event_type", sa.String(length=100), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "event_type", name=op.f("pk_activity_hours")),
        schema="spark",
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column(
            "occurred_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True, comment="nobody's once erased"),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_audit_log_occurred_at"), "audit_log", ["occurred_at"], unique=False, schema="spark"
    )
    op.create_index(
        op.f("ix_audit_log_user_id"), "audit_log", ["user_id"], unique=False, schema="spark"
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_hash", sa.LargeBinary(), nullable=False),
        sa.Column("subject_hash", sa.LargeBinary(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True, comment="null once completed"),
        sa.Column("spark_user_id", sa.Text(), nullable=True, comment="null once completed"),
        sa.Column("requested_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("completed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
        sa.UniqueConstraint("user_hash", name=op.f("uq_erasures_user_hash")),
        sa.UniqueConstraint("user_id", name=op.f("uq_erasures_user_id")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_erasures_subject_hash"), "erasures", ["subject_hash"], unique=False, schema="spark"
    )
    op.create_table(
        "service_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the secret"),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "scopes <@ array['read', 'write', 'admin']", name=op.f("ck_service_keys_scopes")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_keys")),
        schema="spark",
    )
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["user_activity_events.id"],
            name=op.f("fk_events_event_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_events_event_id")),
        sa.UniqueConstraint("position", name=op.f("uq_events_position")),
        schema="spark",
    )
    op.create_index(
        "ix_deliveries_accepted",
        "deliveries",
        ["id"],
        unique=False,
        schema="spark",
        postgresql_where=sa.text("code is null"),
    )
    op.create_index(
        "ix_events_waiting",
        "events",
        ["number"],
        unique=False,
        schema="spark",
        postgresql_where=sa.text("position is null"),
    )
    op.create_index(op.f("ix_lms_sessions_expires_at"), "lms_sessions", ["expires_at"])
    op.create_index(
        op.f("ix_lms_sessions_revoked_at"),
        "lms_sessions",
        ["revoked_at"],
        postgresql_where=sa.text("revoked_at is not null"),
    )
    op.create_index(
        op.f("ix_user_activity_events_event_type_created_at"),
        "user_activity_events",
        ["event_type", "created_at"],
        unique=False,
        postgresql_where=sa.text("event_category = 'lms'"),
    )
    op.create_index(
        "ix_user_activity_events_personal",
        "user_activity_events",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text(PERSONAL),
    )
    op.add_column(
        "submission_revisions", sa.Column("quest_id", sa.Uuid(), nullable=True), schema="spark"
    )
    op.add_column(
        "submission_revisions", sa.Column("restored_from", sa.Uuid(), nullable=True), schema="spark"
    )
    op.add_column(
        "submission_revisions",
        sa.Column("replaced_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        schema="spark",
    )
    op.add_column(
        "submission_revisions",
        sa.Column(
            "written_ids",
            postgresql.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="the blocks this revision wrote",
        ),
        schema="spark",
    )
    op.add_column(
        "submission_revisions",
        sa.Column(
            "was_hidden",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="a part of it was, when it was replaced",
        ),
        schema="spark",
    )
    op.alter_column(
        "submission_revisions",
        "block_ids",
        comment="those that nobody else has changed",
        existing_comment="the blocks this revision wrote",
        schema="spark",
    )
    op.execute(COMPLETE_REVISIONS)
    op.alter_column("submission_revisions", "quest_id", nullable=False, schema="spark")
    op.execute(FORGET_ROSTERS)
    op.drop_index(
        op.f("ix_submission_revisions_user_id"), table_name="submission_revisions", schema="spark"
    )
    op.create_index(
        op.f("ix_submission_revisions_quest_id_id"),
        "submission_revisions",
        ["quest_id", "id"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        "ix_submission_revisions_replaced",
        "submission_revisions",
        ["id", "quest_id", "spark_assignment_id"],
        unique=False,
        schema="spark",
        postgresql_where=sa.text("replaced_at is not null"),
    )
    op.create_index(
        op.f("ix_submission_revisions_restored_from"),
        "submission_revisions",
        ["restored_from"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        op.f("ix_submission_revisions_spark_assignment_id_id"),
        "submission_revisions",
        ["spark_assignment_id", "id"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        op.f("ix_submission_revisions_user_id_id"),
        "submission_revisions",
        ["user_id", "id"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        "uq_submission_revisions_current",
        "submission_revisions",
        ["completion_id"],
        unique=True,
        schema="spark",
        postgresql_where=sa.text("replaced_at is null"),
    )
    op.create_foreign_key(
        op.f("fk_submission_revisions_restored_from"),
        "submission_revisions",
        "submission_revisions",
        ["restored_from"],
        ["id"],
        source_schema="spark",
        referent_schema="spark",
        ondelete="CASCADE",
    )
    op.add_column("uploads", sa.Column("document_id", sa.Uuid(), nullable=True), schema="spark")
    op.create_index(
        op.f("ix_uploads_document_id"), "uploads", ["document_id"], unique=False, schema="spark"
    )
    op.create_foreign_key(
        op.f("fk_uploads_document_id"),
        "uploads",
        "user_task_evidence_documents",
        ["document_id"],
        ["id"],
        source_schema="spark",
        ondelete="SET NULL",
    )
    op.create_index(
        "ix_uploads_ownerless",
        "uploads",
        ["id"],
        schema="spark",
        postgresql_where=sa.text(
            "state = 'committed' and submission_id is null and document_id is null"
        ),
    )
    op.create_index(
        op.f("ix_xp_ledger_user_id_id"),
        "xp_ledger",
        ["user_id", "id"],
        unique=False,
        schema="spark",
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_xp_ledger_user_id_id"), table_name="xp_ledger", schema="spark")
    op.drop_constraint(
        op.f("fk_uploads_document_id"), "uploads", schema="spark", type_="foreignkey"
    )
    op.drop_index(
        "ix_uploads_ownerless",
        table_name="uploads",
        schema="spark",
        postgresql_where=sa.text(
            "state = 'committed' and submission_id is null and document_id is null"
        ),
    )
    op.drop_index(op.f("ix_uploads_document_id"), table_name="uploads", schema="spark")
    op.drop_column("uploads", "document_id", schema="spark")
    op.drop_constraint(
        op.f("fk_submission_revisions_restored_from"),
        "submission_revisions",
        schema="spark",
        type_="foreignkey",
    )
    op.drop_index(
        "uq_submission_revisions_current",
        table_name="submission_revisions",
        schema="spark",
        postgresql_where=sa.text("replaced_at is null"),
    )
    op.drop_index(
        op.f("ix_submission_revisions_user_id_id"),
        table_name="submission_revisions",
        schema="spark",
    )
    op.drop_index(
        op.f("ix_submission_revisions_spark_assignment_id_id"),
        table_name="submission_revisions",
        schema="spark",
    )
    op.drop_index(
        op.f("ix_submission_revisions_restored_from"),
        table_name="submission_revisions",
        schema="spark",
    )
    op.drop_index(
        "ix_submission_revisions_replaced",
        table_name="submission_revisions",
        schema="spark",
        postgresql_where=sa.text("replaced_at is not null"),
    )
    op.drop_index(
        op.f("ix_submission_revisions_quest_id_id"),
        table_name="submission_revisions",
        schema="spark",
    )
    op.create_index(
        op.f("ix_submission_revisions_user_id"),
        "submission_revisions",
        ["user_id"],
        unique=False,
        schema="spark",
    )
    op.alter_column(
        "submission_revisions",
        "block_ids",
        comment="the blocks this revision wrote",
        existing_comment="those that nobody else has changed",
        schema="spark",
    )
    op.drop_column("submission_revisions", "was_hidden", schema="spark")
    op.drop_column("submission_revisions", "written_ids", schema="spark")
    op.drop_column("submission_revisions", "replaced_at", schema="spark")
    op.drop_column("submission_revisions", "restored_from", schema="spark")
    op.drop_column("submission_revisions", "quest_id", schema="spark")
    op.drop_index(
        op.f("ix_user_activity_events_event_type_created_at"),
        table_name="user_activity_events",
        postgresql_where=sa.text("event_category = 'lms'"),
    )
    op.drop_index(
        op.f("ix_lms_sessions_revoked_at"),
        table_name="lms_sessions",
        postgresql_where=sa.text("revoked_at is not null"),
    )
    op.drop_index(op.f("ix_lms_sessions_expires_at"), table_name="lms_sessions")
    op.drop_index(
        "ix_user_activity_events_personal",
        table_name="user_activity_events",
        postgresql_where=sa.text(PERSONAL),
    )
    op.drop_index(
        "ix_deliveries_accepted",
        table_name="deliveries",
        schema="spark",
        postgresql_where=sa.text("code is null"),
    )
    op.drop_index(
        "ix_events_waiting",
        table_name="events",
        schema="spark",
        postgresql_where=sa.text("position is null"),
    )
    op.drop_table("events", schema="spark")
    op.drop_table("service_keys", schema="spark")
    op.drop_index(op.f("ix_erasures_subject_hash"), table_name="erasures", schema="spark")
    op.drop_table("erasures", schema="spark")
    op.drop_index(op.f("ix_audit_log_user_id"), table_name="audit_log", schema="spark")
    op.drop_index(op.f("ix_audit_log_occurred_at"), table_name="audit_log", schema="spark")
    op.drop_table("audit_log", schema="spark")
    op.drop_table("activity_hours", schema="spark")
