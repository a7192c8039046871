"""first tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "sso_replays",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("exchanged_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sso_replays")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_sso_replays_code_hash"), "sso_replays", ["code_hash"], unique=False, schema="spark"
    )
    op.create_index(
        op.f("ix_sso_replays_expires_at"),
        "sso_replays",
        ["expires_at"],
        unique=False,
        schema="spark",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("first_name", sa.String(length=100), nullable=True),
        sa.Column("last_name", sa.String(length=100), nullable=True),
        sa.Column("display_name", sa.String(length=100), nullable=True),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("role", sa.String(length=50), server_default="student", nullable=False),
        sa.Column("portfolio_slug", sa.String(length=100), nullable=True),
        sa.Column("total_xp", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("date_of_birth", sa.Date(), nullable=True),
        sa.Column("deletion_status", sa.String(length=20), server_default="none", nullable=False),
        sa.Column("last_active", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "deletion_status in ('none', 'pending', 'completed')",
            name=op.f("ck_users_deletion_status"),
        ),
        sa.CheckConstraint(
            "role in ('student', 'parent', 'advisor', 'admin', 'observer')",
            name=op.f("ck_users_role"),
        ),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("portfolio_slug", name=op.f("uq_users_portfolio_slug")),
    )
    op.create_index(op.f("ix_users_email"), "users", ["email"], unique=False)
    op.create_table(
        "lms_integrations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("lms_platform", sa.String(length=50), nullable=False),
        sa.Column("lms_user_id", sa.String(length=255), nullable=False),
        sa.Column("lms_course_id", sa.String(length=255), nullable=True),
        sa.Column("sync_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("sync_status", sa.String(length=20), server_default="active", nullable=False),
        sa.Column("last_sync_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
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
        sa.CheckConstraint(
            "lms_platform in ('canvas', 'google_classroom', 'schoology', 'moodle', 'spark')",
            name=op.f("ck_lms_integrations_lms_platform"),
        ),
        sa.CheckConstraint(
            "sync_status in ('active', 'paused', 'error')",
            name=op.f("ck_lms_integrations_sync_status"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_lms_integrations_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lms_integrations")),
        sa.UniqueConstraint(
            "lms_platform", "lms_user_id", name=op.f("uq_lms_integrations_lms_platform_lms_user_id")
        ),
        sa.UniqueConstraint(
            "lms_platform", "user_id", name=op.f("uq_lms_integrations_lms_platform_user_id")
        ),
    )
    op.create_index(
        op.f("ix_lms_integrations_user_id"), "lms_integrations", ["user_id"], unique=False
    )
    op.create_table(
        "lms_sessions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("lms_platform", sa.String(length=50), nullable=False),
        sa.Column("session_token", sa.String(length=500), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "lms_platform in ('canvas', 'google_classroom', 'schoology', 'moodle', 'spark')",
            name=op.f("ck_lms_sessions_lms_platform"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_lms_sessions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lms_sessions")),
    )
    op.create_index(op.f("ix_lms_sessions_user_id"), "lms_sessions", ["user_id"], unique=False)
    op.create_table(
        "quests",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("big_idea", sa.Text(), nullable=True),
        sa.Column("quest_type", sa.String(length=100), server_default="optio", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_public", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("material_link", sa.Text(), nullable=True),
        sa.Column("header_image_url", sa.Text(), nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("lms_course_id", sa.String(length=255), nullable=True),
        sa.Column("lms_assignment_id", sa.String(length=255), nullable=True),
        sa.Column("lms_platform", sa.String(length=50), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
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
        sa.CheckConstraint("quest_type in ('optio', 'course')", name=op.f("ck_quests_quest_type")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_quests_created_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quests")),
    )
    op.create_index(
        op.f("ix_quests_lms_platform_lms_assignment_id"),
        "quests",
        ["lms_platform", "lms_assignment_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_quests_lms_platform_lms_course_id"),
        "quests",
        ["lms_platform", "lms_course_id"],
        unique=False,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("response", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_idempotency_keys_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_idempotency_keys_user_id"),
        "idempotency_keys",
        ["user_id"],
        unique=False,
        schema="spark",
    )
    op.create_table(
        "xp_ledger",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("pillar", sa.Text(), nullable=False),
        sa.Column("xp_amount", sa.Integer(), nullable=False),
        sa.Column(
            "awarded_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_xp_ledger_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_xp_ledger")),
        sa.UniqueConstraint("user_id", "task_id", name=op.f("uq_xp_ledger_user_id_task_id")),
        schema="spark",
    )
    op.create_table(
        "user_activity_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.String(length=100), nullable=False),
        sa.Column("event_category", sa.String(length=50), nullable=False),
        sa.Column("event_data", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("page_url", sa.Text(), nullable=True),
        sa.Column("referrer_url", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("anonymized_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_user_activity_events_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_activity_events")),
    )
    op.create_index(
        op.f("ix_user_activity_events_created_at"),
        "user_activity_events",
        ["created_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_user_activity_events_user_id"), "user_activity_events", ["user_id"], unique=False
    )
    op.create_table(
        "user_skill_xp",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("pillar", sa.Text(), nullable=False),
        sa.Column("xp_amount", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("xp_amount >= 0", name=op.f("ck_user_skill_xp_xp_amount")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_skill_xp_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_skill_xp")),
        sa.UniqueConstraint("user_id", "pillar", name=op.f("uq_user_skill_xp_user_id_pillar")),
    )
    op.create_table(
        "course_quest_tasks",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("pillar", sa.Text(), nullable=False),
        sa.Column("xp_value", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("order_index", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_required", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "diploma_subjects",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[\"Electives\"]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "subject_xp_distribution",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
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
        sa.CheckConstraint(
            "pillar in ('stem', 'wellness', 'communication', 'civics', 'art')",
            name=op.f("ck_course_quest_tasks_pillar"),
        ),
        sa.CheckConstraint("xp_value > 0", name=op.f("ck_course_quest_tasks_xp_value")),
        sa.ForeignKeyConstraint(
            ["quest_id"],
            ["quests.id"],
            name=op.f("fk_course_quest_tasks_quest_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_course_quest_tasks")),
    )
    op.create_index(
        op.f("ix_course_quest_tasks_quest_id_order_index"),
        "course_quest_tasks",
        ["quest_id", "order_index"],
        unique=False,
    )
    op.create_table(
        "spark_auth_codes",
        sa.Column("code", sa.Text(), nullable=False, comment="SHA-256 of the code, in hex"),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("used", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("superseded_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["lms_sessions.id"],
            name=op.f("fk_spark_auth_codes_session_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_spark_auth_codes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_spark_auth_codes")),
    )
    op.create_index(
        op.f("ix_spark_auth_codes_session_id"), "spark_auth_codes", ["session_id"], unique=False
    )
    op.create_index(
        op.f("ix_spark_auth_codes_user_id"), "spark_auth_codes", ["user_id"], unique=False
    )
    op.create_table(
        "user_quests",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column(
            "started_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("completed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "personalization_completed",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column("status", sa.Text(), server_default="picked_up", nullable=False),
        sa.Column("times_picked_up", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("last_picked_up_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('available', 'picked_up', 'set_down')", name=op.f("ck_user_quests_status")
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"], ["quests.id"], name=op.f("fk_user_quests_quest_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_quests_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_quests")),
        sa.UniqueConstraint("user_id", "quest_id", name=op.f("uq_user_quests_user_id_quest_id")),
    )
    op.create_index(op.f("ix_user_quests_quest_id"), "user_quests", ["quest_id"], unique=False)
    op.create_table(
        "user_quest_tasks",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("user_quest_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("pillar", sa.Text(), nullable=False),
        sa.Column("xp_value", sa.Integer(), server_default=sa.text("100"), nullable=True),
        sa.Column("order_index", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_manual", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("approval_status", sa.Text(), server_default="approved", nullable=False),
        sa.Column(
            "diploma_subjects",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[\"Electives\"]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "subject_xp_distribution",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("source_task_id", sa.Uuid(), nullable=True),
        sa.Column("due_date", postgresql.TIMESTAMP(timezone=True), nullable=True),
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
        sa.CheckConstraint(
            "approval_status in ('pending', 'approved', 'rejected')",
            name=op.f("ck_user_quest_tasks_approval_status"),
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"],
            ["quests.id"],
            name=op.f("fk_user_quest_tasks_quest_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["source_task_id"],
            ["course_quest_tasks.id"],
            name=op.f("fk_user_quest_tasks_source_task_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_quest_tasks_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_quest_id"],
            ["user_quests.id"],
            name=op.f("fk_user_quest_tasks_user_quest_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_quest_tasks")),
        sa.UniqueConstraint(
            "user_quest_id",
            "source_task_id",
            name=op.f("uq_user_quest_tasks_user_quest_id_source_task_id"),
        ),
    )
    op.create_index(
        op.f("ix_user_quest_tasks_quest_id"), "user_quest_tasks", ["quest_id"], unique=False
    )
    op.create_index(
        op.f("ix_user_quest_tasks_source_task_id"),
        "user_quest_tasks",
        ["source_task_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_user_quest_tasks_user_id"), "user_quest_tasks", ["user_id"], unique=False
    )
    op.create_table(
        "quest_task_completions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("user_quest_task_id", sa.Uuid(), nullable=True),
        sa.Column("evidence_url", sa.Text(), nullable=True),
        sa.Column("evidence_text", sa.Text(), nullable=True),
        sa.Column(
            "completed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("is_confidential", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("scheduled_date", sa.Date(), nullable=True),
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
            ["user_id"],
            ["users.id"],
            name=op.f("fk_quest_task_completions_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_quest_task_id"],
            ["user_quest_tasks.id"],
            name=op.f("fk_quest_task_completions_user_quest_task_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quest_task_completions")),
        sa.UniqueConstraint(
            "user_id", "task_id", name=op.f("uq_quest_task_completions_user_id_task_id")
        ),
    )
    op.create_index(
        op.f("ix_quest_task_completions_quest_id"),
        "quest_task_completions",
        ["quest_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_quest_task_completions_user_quest_task_id"),
        "quest_task_completions",
        ["user_quest_task_id"],
        unique=False,
    )
    op.create_table(
        "user_task_evidence_documents",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="draft", nullable=False),
        sa.Column("is_confidential", sa.Boolean(), server_default=sa.text("false"), nullable=False),
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
        sa.Column("completed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('draft', 'completed')", name=op.f("ck_user_task_evidence_documents_status")
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"],
            ["quests.id"],
            name=op.f("fk_user_task_evidence_documents_quest_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["user_quest_tasks.id"],
            name=op.f("fk_user_task_evidence_documents_task_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_user_task_evidence_documents_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_task_evidence_documents")),
        sa.UniqueConstraint(
            "user_id", "task_id", name=op.f("uq_user_task_evidence_documents_user_id_task_id")
        ),
    )
    op.create_index(
        op.f("ix_user_task_evidence_documents_quest_id"),
        "user_task_evidence_documents",
        ["quest_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_user_task_evidence_documents_task_id"),
        "user_task_evidence_documents",
        ["task_id"],
        unique=False,
    )
    op.create_table(
        "evidence_document_blocks",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("block_type", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("order_index", sa.Integer(), nullable=False),
        sa.Column("is_private", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("uploaded_by_user_id", sa.Uuid(), nullable=True),
        sa.Column("uploaded_by_role", sa.Text(), server_default="student", nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "block_type in ('text', 'image', 'video', 'link', 'document')",
            name=op.f("ck_evidence_document_blocks_block_type"),
        ),
        sa.CheckConstraint(
            "uploaded_by_role in ('student', 'advisor', 'parent')",
            name=op.f("ck_evidence_document_blocks_uploaded_by_role"),
        ),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["user_task_evidence_documents.id"],
            name=op.f("fk_evidence_document_blocks_document_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["uploaded_by_user_id"],
            ["users.id"],
            name=op.f("fk_evidence_document_blocks_uploaded_by_user_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence_document_blocks")),
        sa.UniqueConstraint(
            "document_id",
            "order_index",
            name=op.f("uq_evidence_document_blocks_document_id_order_index"),
        ),
    )
    op.create_index(
        op.f("ix_evidence_document_blocks_uploaded_by_user_id"),
        "evidence_document_blocks",
        ["uploaded_by_user_id"],
        unique=False,
    )
    op.create_table(
        "submission_revisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("spark_assignment_id", sa.String(length=255), nullable=False),
        sa.Column("spark_course_id", sa.String(length=255), nullable=True),
        sa.Column("submission_text", sa.Text(), nullable=True),
        sa.Column("grade", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column(
            "block_ids",
            sa.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="the blocks this revision wrote",
        ),
        sa.Column("submitted_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["quest_task_completions.id"],
            name=op.f("fk_submission_revisions_completion_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_submission_revisions_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission_revisions")),
        sa.UniqueConstraint(
            "completion_id", "revision", name=op.f("uq_submission_revisions_completion_id_revision")
        ),
        schema="spark",
    )
    op.create_index(
        op.f("ix_submission_revisions_user_id"),
        "submission_revisions",
        ["user_id"],
        unique=False,
        schema="spark",
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state in ('pending', 'committed', 'deleting')", name=op.f("ck_uploads_state")
        ),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["spark.submission_revisions.id"],
            name=op.f("fk_uploads_submission_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("object_key", name=op.f("uq_uploads_object_key")),
        schema="spark",
    )
    op.create_index(
        op.f("ix_uploads_lease_until"),
        "uploads",
        ["lease_until"],
        unique=False,
        schema="spark",
        postgresql_where=sa.text("state <> 'committed'"),
    )
    op.create_index(
        op.f("ix_uploads_submission_id"), "uploads", ["submission_id"], unique=False, schema="spark"
    )
    op.create_index(
        op.f("ix_uploads_user_id"), "uploads", ["user_id"], unique=False, schema="spark"
    )
    # ### end Alembic commands ###


def downgrade() -> None:
    op.drop_index(op.f("ix_uploads_user_id"), table_name="uploads", schema="spark")
    op.drop_index(op.f("ix_uploads_submission_id"), table_name="uploads", schema="spark")
    op.drop_index(
        op.f("ix_uploads_lease_until"),
        table_name="uploads",
        schema="spark",
        postgresql_where=sa.text("state <> 'committed'"),
    )
    op.drop_table("uploads", schema="spark")
    op.drop_index(
        op.f("ix_submission_revisions_user_id"), table_name="submission_revisions", schema="spark"
    )
    op.drop_table("submission_revisions", schema="spark")
    op.drop_index(
        op.f("ix_evidence_document_blocks_uploaded_by_user_id"),
        table_name="evidence_document_blocks",
    )
    op.drop_table("evidence_document_blocks")
    op.drop_index(
        op.f("ix_user_task_evidence_documents_task_id"), table_name="user_task_evidence_documents"
    )
    op.drop_index(
        op.f("ix_user_task_evidence_documents_quest_id"), table_name="user_task_evidence_documents"
    )
    op.drop_table("user_task_evidence_documents")
    op.drop_index(
        op.f("ix_quest_task_completions_user_quest_task_id"), table_name="quest_task_completions"
    )
    op.drop_index(op.f("ix_quest_task_completions_quest_id"), table_name="quest_task_completions")
    op.drop_table("quest_task_completions")
    op.drop_index(op.f("ix_user_quest_tasks_user_id"), table_name="user_quest_tasks")
    op.drop_index(op.f("ix_user_quest_tasks_source_task_id"), table_name="user_quest_tasks")
    op.drop_index(op.f("ix_user_quest_tasks_quest_id"), table_name="user_quest_tasks")
    op.drop_table("user_quest_tasks")
    op.drop_index(op.f("ix_user_quests_quest_id"), table_name="user_quests")
    op.drop_table("user_quests")
    op.drop_index(op.f("ix_spark_auth_codes_user_id"), table_name="spark_auth_codes")
    op.drop_index(op.f("ix_spark_auth_codes_session_id"), table_name="spark_auth_codes")
    op.drop_table("spark_auth_codes")
    op.drop_index(
        op.f("ix_course_quest_tasks_quest_id_order_index"), table_name="course_quest_tasks"
    )
    op.drop_table("course_quest_tasks")
    op.drop_table("user_skill_xp")
    op.drop_index(op.f("ix_user_activity_events_user_id"), table_name="user_activity_events")
    op.drop_index(op.f("ix_user_activity_events_created_at"), table_name="user_activity_events")
    op.drop_table("user_activity_events")
    op.drop_table("xp_ledger", schema="spark")
    op.drop_index(
        op.f("ix_idempotency_keys_user_id"), table_name="idempotency_keys", schema="spark"
    )
    op.drop_table("idempotency_keys", schema="spark")
    op.drop_index(op.f("ix_quests_lms_platform_lms_course_id"), table_name="quests")
    op.drop_index(op.f("ix_quests_lms_platform_lms_assignment_id"), table_name="quests")
    op.drop_table("quests")
    op.drop_index(op.f("ix_lms_sessions_user_id"), table_name="lms_sessions")
    op.drop_table("lms_sessions")
    op.drop_index(op.f("ix_lms_integrations_user_id"), table_name="lms_integrations")
    op.drop_table("lms_integrations")
    op.drop_index(op.f("ix_users_email"), table_name="users")
    op.drop_table("users")
    op.drop_index(op.f("ix_sso_replays_expires_at"), table_name="sso_replays", schema="spark")
    op.drop_index(op.f("ix_sso_replays_code_hash"), table_name="sso_replays", schema="spark")
    op.drop_table("sso_replays", schema="spark")
    # ### end Alembic commands ###
