"""the tables of the main app, for a database of our own.

On the live Optio database they are the main app's: this branch never runs there.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM, JSONB, TIMESTAMP

revision: str = "optio_0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = ("optio",)
depends_on: str | Sequence[str] | None = None

MOMENT = TIMESTAMP(timezone=True)
NOW = sa.text("now()")
NEW_ID = sa.text("gen_random_uuid()")
UPLOADER_ROLE = ENUM(
    "student", "advisor", "parent", name="evidence_uploader_role", create_type=False
)
SCHOOL_SUBJECT = ENUM(
    "language_arts",
    "math",
    "science",
    "social_studies",
    "financial_literacy",
    "health",
    "pe",
    "fine_arts",
    "cte",
    "digital_literacy",
    "electives",
    name="school_subject",
    create_type=False,
)
TABLES = (
    "users",
    "lms_integrations",
    "quests",
    "lms_grade_sync",
    "user_activity_events",
    "user_skill_xp",
    "user_subject_xp",
    "course_quest_tasks",
    "user_quests",
    "user_quest_tasks",
    "quest_task_completions",
    "user_task_evidence_documents",
    "evidence_document_blocks",
)
# A hosted database (Supabase) gives its data API's roles every new table of `public`: whoever has
# the public key could read children's data, or link an account to somebody else. What a front end
# shall read there, the main app's team grants, with policies.
REVOKE = f"""
do $$
declare hosted text;
begin
    for hosted in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on table {", ".join(TABLES)} from %I', hosted);
    end loop;
end
$$
"""  # noqa: S608 - all names are ours


def upgrade() -> None:
    for enum in (UPLOADER_ROLE, SCHOOL_SUBJECT):
        enum.create(op.get_bind())
    _users()
    _lms_integrations()
    _quests()
    _lms_grade_sync()
    _user_activity_events()
    _user_skill_xp()
    _user_subject_xp()
    _course_quest_tasks()
    _user_quests()
    _user_quest_tasks()
    _quest_task_completions()
    _user_task_evidence_documents()
    _evidence_document_blocks()
    op.execute(REVOKE)


def downgrade() -> None:
    """What was granted is not known any more."""
    for table in reversed(TABLES):
        op.drop_table(table)
    for enum in (UPLOADER_ROLE, SCHOOL_SUBJECT):
        enum.drop(op.get_bind())


def _users() -> None:
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
        sa.Column("last_active", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("org_role", sa.Text(), nullable=True),
        sa.Column("org_roles", JSONB, nullable=True),
        sa.Column("last_logout_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "deletion_status in ('none', 'pending', 'completed')",
            name=op.f("ck_users_deletion_status"),
        ),
        sa.CheckConstraint(
            "role in ('student', 'parent', 'advisor', 'admin', 'observer')",
            name=op.f("ck_users_role"),
        ),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower_case")),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("portfolio_slug", name="uq_users_portfolio_slug"),
    )
    op.create_index(
        "ix_users_email_lower", "users", [sa.literal_column('lower(email COLLATE "C")')]
    )


def _lms_integrations() -> None:
    op.create_table(
        "lms_integrations",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("lms_platform", sa.String(length=50), nullable=False),
        sa.Column("lms_user_id", sa.String(length=255), nullable=False),
        sa.Column("lms_course_id", sa.String(length=255), nullable=True),
        sa.Column("sync_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("sync_status", sa.String(length=20), server_default="active", nullable=False),
        sa.Column("last_sync_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "lms_platform in ('canvas', 'google_classroom', 'schoology', 'moodle', 'spark')",
            name=op.f("ck_lms_integrations_lms_platform"),
        ),
        sa.CheckConstraint(
            "sync_status in ('active', 'paused', 'error')",
            name=op.f("ck_lms_integrations_sync_status"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_lms_integrations_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_lms_integrations"),
        sa.UniqueConstraint(
            "lms_platform", "lms_user_id", name="uq_lms_integrations_lms_platform_lms_user_id"
        ),
        sa.UniqueConstraint(
            "lms_platform", "user_id", name="uq_lms_integrations_lms_platform_user_id"
        ),
    )
    op.create_index("ix_lms_integrations_user_id", "lms_integrations", ["user_id"])


def _quests() -> None:
    op.create_table(
        "quests",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
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
        sa.Column("metadata", JSONB, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("quest_type in ('optio', 'course')", name=op.f("ck_quests_quest_type")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name="fk_quests_created_by", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_quests"),
    )
    op.create_index(
        "ix_quests_lms_platform_lms_assignment_id", "quests", ["lms_platform", "lms_assignment_id"]
    )
    op.create_index(
        "ix_quests_lms_platform_lms_course_id", "quests", ["lms_platform", "lms_course_id"]
    )


def _lms_grade_sync() -> None:
    op.create_table(
        "lms_grade_sync",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("lms_platform", sa.String(length=50), nullable=False),
        sa.Column("lms_assignment_id", sa.String(length=255), nullable=False),
        sa.Column("score", sa.Numeric(precision=5, scale=2), nullable=False),
        sa.Column(
            "max_score",
            sa.Numeric(precision=5, scale=2),
            server_default=sa.text("100"),
            nullable=False,
        ),
        sa.Column("sync_status", sa.String(length=20), server_default="pending", nullable=False),
        sa.Column("sync_attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("synced_at", MOMENT, nullable=True),
        sa.Column("last_attempt_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "lms_platform in ('canvas', 'google_classroom', 'schoology', 'moodle', 'spark')",
            name=op.f("ck_lms_grade_sync_lms_platform"),
        ),
        sa.CheckConstraint(
            "sync_status in ('pending', 'completed', 'failed')",
            name=op.f("ck_lms_grade_sync_sync_status"),
        ),
        sa.CheckConstraint(
            "score >= 0 and score <= max_score", name=op.f("ck_lms_grade_sync_score")
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"], ["quests.id"], name="fk_lms_grade_sync_quest_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_lms_grade_sync_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_lms_grade_sync"),
    )
    op.create_index("ix_lms_grade_sync_user_id", "lms_grade_sync", ["user_id"])


def _user_activity_events() -> None:
    op.create_table(
        "user_activity_events",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.String(length=100), nullable=False),
        sa.Column("event_category", sa.String(length=50), nullable=False),
        sa.Column("event_data", JSONB, nullable=True),
        sa.Column("page_url", sa.Text(), nullable=True),
        sa.Column("referrer_url", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("anonymized_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_activity_events_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_user_activity_events"),
    )
    op.create_index("ix_user_activity_events_created_at", "user_activity_events", ["created_at"])
    op.create_index(
        "ix_user_activity_events_created_at_event_type",
        "user_activity_events",
        ["created_at", "event_type"],
        postgresql_where=sa.text("event_category = 'lms'"),
    )
    op.create_index(
        "ix_user_activity_events_event_type_created_at",
        "user_activity_events",
        ["event_type", "created_at"],
        postgresql_where=sa.text("event_category = 'lms'"),
    )
    op.create_index(
        "ix_user_activity_events_personal",
        "user_activity_events",
        ["created_at"],
        postgresql_where=sa.text(
            "event_category = 'lms' and (user_id is not null or event_data ?| array['ip_address',"
            " 'email', 'user_email', 'spark_user_id', 'user_id', 'submission_id', 'completion_id',"
            " 'task_id', 'document_id'])"
        ),
    )
    op.create_index(
        "ix_user_activity_events_request_id",
        "user_activity_events",
        [sa.literal_column("(event_data ->> 'request_id')")],
        postgresql_where=sa.text(
            "event_category = 'lms' and (event_data ->> 'request_id') is not null"
        ),
    )
    op.create_index("ix_user_activity_events_user_id", "user_activity_events", ["user_id"])


def _user_skill_xp() -> None:
    op.create_table(
        "user_skill_xp",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("pillar", sa.Text(), nullable=False),
        sa.Column("xp_amount", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("xp_amount >= 0", name=op.f("ck_user_skill_xp_xp_amount")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_skill_xp_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_user_skill_xp"),
        sa.UniqueConstraint("user_id", "pillar", name="uq_user_skill_xp_user_id_pillar"),
    )


def _user_subject_xp() -> None:
    op.create_table(
        "user_subject_xp",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("school_subject", SCHOOL_SUBJECT, nullable=False),
        sa.Column("xp_amount", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_subject_xp_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_user_subject_xp"),
        sa.UniqueConstraint(
            "user_id", "school_subject", name="uq_user_subject_xp_user_id_school_subject"
        ),
    )


def _course_quest_tasks() -> None:
    op.create_table(
        "course_quest_tasks",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("pillar", sa.Text(), nullable=False),
        sa.Column("xp_value", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("order_index", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_required", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "diploma_subjects",
            JSONB,
            server_default=sa.text("'[\"Electives\"]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "subject_xp_distribution", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "pillar in ('stem', 'wellness', 'communication', 'civics', 'art')",
            name=op.f("ck_course_quest_tasks_pillar"),
        ),
        sa.CheckConstraint("xp_value > 0", name=op.f("ck_course_quest_tasks_xp_value")),
        sa.ForeignKeyConstraint(
            ["quest_id"], ["quests.id"], name="fk_course_quest_tasks_quest_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_course_quest_tasks"),
    )
    op.create_index(
        "ix_course_quest_tasks_quest_id_order_index",
        "course_quest_tasks",
        ["quest_id", "order_index"],
    )


def _user_quests() -> None:
    op.create_table(
        "user_quests",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "personalization_completed",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column("status", sa.Text(), server_default="picked_up", nullable=False),
        sa.Column("times_picked_up", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("last_picked_up_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "status in ('available', 'picked_up', 'set_down')", name=op.f("ck_user_quests_status")
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"], ["quests.id"], name="fk_user_quests_quest_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_quests_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_user_quests"),
        sa.UniqueConstraint("user_id", "quest_id", name="uq_user_quests_user_id_quest_id"),
    )
    op.create_index("ix_user_quests_quest_id", "user_quests", ["quest_id"])


def _user_quest_tasks() -> None:
    op.create_table(
        "user_quest_tasks",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
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
            JSONB,
            server_default=sa.text("'[\"Electives\"]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "subject_xp_distribution", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("source_task_id", sa.Uuid(), nullable=True),
        sa.Column("due_date", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "approval_status in ('pending', 'approved', 'rejected')",
            name=op.f("ck_user_quest_tasks_approval_status"),
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"], ["quests.id"], name="fk_user_quest_tasks_quest_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_task_id"],
            ["course_quest_tasks.id"],
            name="fk_user_quest_tasks_source_task_id",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_quest_tasks_user_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_quest_id"],
            ["user_quests.id"],
            name="fk_user_quest_tasks_user_quest_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_user_quest_tasks"),
        sa.UniqueConstraint(
            "user_quest_id",
            "source_task_id",
            name="uq_user_quest_tasks_user_quest_id_source_task_id",
        ),
    )
    op.create_index("ix_user_quest_tasks_quest_id", "user_quest_tasks", ["quest_id"])
    op.create_index("ix_user_quest_tasks_source_task_id", "user_quest_tasks", ["source_task_id"])
    op.create_index("ix_user_quest_tasks_user_id", "user_quest_tasks", ["user_id"])


def _quest_task_completions() -> None:
    op.create_table(
        "quest_task_completions",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("user_quest_task_id", sa.Uuid(), nullable=True),
        sa.Column("evidence_url", sa.Text(), nullable=True),
        sa.Column("evidence_text", sa.Text(), nullable=True),
        sa.Column("completed_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("is_confidential", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("scheduled_date", sa.Date(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_quest_task_completions_user_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_quest_task_id"],
            ["user_quest_tasks.id"],
            name="fk_quest_task_completions_user_quest_task_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_quest_task_completions"),
        sa.UniqueConstraint("user_id", "task_id", name="uq_quest_task_completions_user_id_task_id"),
    )
    op.create_index("ix_quest_task_completions_quest_id", "quest_task_completions", ["quest_id"])
    op.create_index(
        "ix_quest_task_completions_user_quest_task_id",
        "quest_task_completions",
        ["user_quest_task_id"],
    )


def _user_task_evidence_documents() -> None:
    op.create_table(
        "user_task_evidence_documents",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quest_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="draft", nullable=False),
        sa.Column("is_confidential", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "status in ('draft', 'completed')", name=op.f("ck_user_task_evidence_documents_status")
        ),
        sa.ForeignKeyConstraint(
            ["quest_id"],
            ["quests.id"],
            name="fk_user_task_evidence_documents_quest_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["user_quest_tasks.id"],
            name="fk_user_task_evidence_documents_task_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name="fk_user_task_evidence_documents_user_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_user_task_evidence_documents"),
        sa.UniqueConstraint(
            "user_id", "task_id", name="uq_user_task_evidence_documents_user_id_task_id"
        ),
    )
    op.create_index(
        "ix_user_task_evidence_documents_quest_id", "user_task_evidence_documents", ["quest_id"]
    )
    op.create_index(
        "ix_user_task_evidence_documents_task_id", "user_task_evidence_documents", ["task_id"]
    )


def _evidence_document_blocks() -> None:
    op.create_table(
        "evidence_document_blocks",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("block_type", sa.Text(), nullable=False),
        sa.Column("content", JSONB, nullable=False),
        sa.Column("order_index", sa.Integer(), nullable=False),
        sa.Column("is_private", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("uploaded_by_user_id", sa.Uuid(), nullable=True),
        sa.Column("uploaded_by_role", UPLOADER_ROLE, server_default="student", nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "block_type in ('text', 'image', 'video', 'link', 'document')",
            name=op.f("ck_evidence_document_blocks_block_type"),
        ),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["user_task_evidence_documents.id"],
            name="fk_evidence_document_blocks_document_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["uploaded_by_user_id"],
            ["users.id"],
            name="fk_evidence_document_blocks_uploaded_by_user_id",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_evidence_document_blocks"),
        sa.UniqueConstraint(
            "document_id", "order_index", name="uq_evidence_document_blocks_document_id_order_index"
        ),
    )
    op.create_index(
        "ix_evidence_document_blocks_uploaded_by_user_id",
        "evidence_document_blocks",
        ["uploaded_by_user_id"],
    )
