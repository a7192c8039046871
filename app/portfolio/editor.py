"""Who edits: a student, or a service in a student's name."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class Editor:
    """Edits the evidence of `user_id`; `caller` is for the audit log. Only a service may say that
    somebody else wrote a block.
    """

    user_id: UUID
    caller: str
    is_service: bool
    now: datetime
    new_id: Callable[[], UUID]
