"""hosted roles: the data API of a hosted database may touch no table of ours.

A hosted database (Supabase) gives its API's roles every new table of `public`: whoever has the
public key could read children's data, or write a sign-in code for somebody else's account. What a
front end shall read there, the main app's team grants, with policies.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = (
    "course_quest_tasks",
    "evidence_document_blocks",
    "lms_integrations",
    "lms_sessions",
    "quest_task_completions",
    "quests",
    "spark_auth_codes",
    "user_activity_events",
    "user_quest_tasks",
    "user_quests",
    "user_skill_xp",
    "user_subject_xp",
    "user_task_evidence_documents",
    "users",
)
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
    op.execute(REVOKE)


def downgrade() -> None:
    """What was granted is not known any more."""
