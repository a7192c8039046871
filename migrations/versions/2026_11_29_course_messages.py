"""the last course and roster message that was taken (DESIGN R45)."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KINDS = ("course", "roster")


def upgrade() -> None:
    for kind in KINDS:
        digest = sa.Column(
            f"{kind}_digest", sa.LargeBinary(), nullable=True, comment="SHA-256 of the signed text"
        )
        sent_at = sa.Column(f"{kind}_sent_at", sa.DateTime(timezone=True), nullable=True)
        op.add_column("courses", digest, schema="spark")
        op.add_column("courses", sent_at, schema="spark")


def downgrade() -> None:
    for kind in KINDS:
        op.drop_column("courses", f"{kind}_sent_at", schema="spark")
        op.drop_column("courses", f"{kind}_digest", schema="spark")
