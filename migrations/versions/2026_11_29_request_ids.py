"""request ids, to be found by (DESIGN R37)."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

REQUEST_ID = "(event_data ->> 'request_id')"


def upgrade() -> None:
    op.add_column(
        "deliveries",
        sa.Column("request_id", sa.Text(), nullable=True, comment="as the sender was told it"),
        schema="spark",
    )
    op.create_index(
        op.f("ix_deliveries_request_id_id"),
        "deliveries",
        ["request_id", "id"],
        unique=False,
        schema="spark",
    )
    op.create_index(
        op.f("ix_deliveries_webhook_id_id"),
        "deliveries",
        ["webhook_id", "id"],
        unique=False,
        schema="spark",
        postgresql_where=sa.text("webhook_id is not null"),
    )
    op.create_index(
        "ix_user_activity_events_request_id",
        "user_activity_events",
        [sa.text(REQUEST_ID)],
        unique=False,
        postgresql_where=sa.text(f"event_category = 'lms' and {REQUEST_ID} is not null"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_user_activity_events_request_id",
        table_name="user_activity_events",
        postgresql_where=sa.text(f"event_category = 'lms' and {REQUEST_ID} is not null"),
    )
    op.drop_index(
        op.f("ix_deliveries_webhook_id_id"),
        table_name="deliveries",
        schema="spark",
        postgresql_where=sa.text("webhook_id is not null"),
    )
    op.drop_index(op.f("ix_deliveries_request_id_id"), table_name="deliveries", schema="spark")
    op.drop_column("deliveries", "request_id", schema="spark")
