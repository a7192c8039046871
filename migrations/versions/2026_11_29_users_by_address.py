"""users are found by their address in lower case, of ASCII letters alone (DESIGN R42)."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_users_email_lower", "users", [sa.text('lower(email COLLATE "C")')], unique=False
    )
    op.drop_index("ix_users_email", table_name="users")


def downgrade() -> None:
    op.create_index("ix_users_email", "users", ["email"], unique=False)
    op.drop_index("ix_users_email_lower", table_name="users")
