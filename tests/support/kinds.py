"""The kind of database that this run's tests get: our own, or the main app's, adopted (R50)."""

import os
from typing import Any
from uuid import UUID

import pytest

KIND = os.environ.get("DATABASE_KIND", "own")
assert KIND in {"own", "adopted"}, "DATABASE_KIND is own or adopted"
IS_ADOPTED = KIND == "adopted"

ORGANIZATION = UUID("0f000000-0000-4000-8000-000000000002")  # tests/adoption/20_rows.sql: Optio
# Quests end as they do in databases of our own. Who tests what an operator gets sets that back.
SETTINGS: dict[str, Any] = (
    {"optio_organization_id": ORGANIZATION, "complete_quests": True} if IS_ADOPTED else {}
)
VARIABLES = {name.upper(): str(value) for name, value in SETTINGS.items()}

ADMIN = "superadmin" if IS_ADOPTED else "admin"  # as `users.role` calls whoever may do everything


def fit_to_adopted(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Leaves out what is about databases of our own."""
    ours = [item for item in items if item.get_closest_marker("own_database")]
    config.hook.pytest_deselected(items=ours)
    items[:] = [item for item in items if item not in ours]
