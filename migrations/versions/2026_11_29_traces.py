"""traces: a key for tombstones that no secret's rotation ends, and whom a list showed.

The key is made here, once: 244 random bits, in the database that keeps the hashes under it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MAKE_KEY = """
insert into spark.tombstone_key (key)
select sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
"""
REVOKE = """
do $$
declare hosted text;
begin
    for hosted in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on table spark.tombstone_key from %I', hosted);
    end loop;
end
$$
"""


def upgrade() -> None:
    op.create_table(
        "tombstone_key",
        sa.Column("id", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id", name=op.f("ck_tombstone_key_is_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstone_key")),
        schema="spark",
    )
    op.execute(MAKE_KEY)
    op.execute(REVOKE)
    op.add_column(
        "audit_log",
        sa.Column(
            "user_ids",
            sa.ARRAY(sa.Uuid()),
            nullable=True,
            comment="of a list; without who was erased",
        ),
        schema="spark",
    )
    op.create_index(
        "ix_audit_log_user_ids",
        "audit_log",
        ["user_ids"],
        unique=False,
        schema="spark",
        postgresql_using="gin",
        postgresql_where=sa.text("user_ids is not null"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_audit_log_user_ids",
        table_name="audit_log",
        schema="spark",
        postgresql_using="gin",
        postgresql_where=sa.text("user_ids is not null"),
    )
    op.drop_column("audit_log", "user_ids", schema="spark")
    op.drop_table("tombstone_key", schema="spark")
