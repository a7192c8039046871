"""What is known of one student's homework for one assignment: where it may have got stuck."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.deliveries.read_inbox import Kept
from app.submissions.list_submissions import Listed


@dataclass(frozen=True)
class Asked:
    spark_user_id: str
    spark_assignment_id: str
    spark_course_id: str | None


@dataclass(frozen=True)
class Link:
    """Whose account it is; `reason` is why it takes no homework, a key of FINDINGS."""

    user_id: UUID | None
    reason: str | None
    erased: bool

    @property
    def found(self) -> bool:
        return self.user_id is not None

    @property
    def active(self) -> bool:
        return self.reason is None


@dataclass(frozen=True)
class AssignmentFacts:
    """What the assignment means here; `code` is why that is not known."""

    code: str | None = None
    quest_id: UUID | None = None
    quest_title: str | None = None
    task_template_id: UUID | None = None
    retired: bool = False

    @property
    def found(self) -> bool:
        return self.code is None


@dataclass(frozen=True)
class EnrolmentFacts:
    id: UUID | None = None
    active: bool = False
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def enrolled(self) -> bool:
        return self.id is not None


@dataclass(frozen=True)
class TaskFacts:
    """The student's own copy of the task."""

    task_id: UUID | None = None
    title: str | None = None
    completion_id: UUID | None = None
    completed_at: datetime | None = None
    xp_awarded: int = 0

    @property
    def completed(self) -> bool:
        return self.completion_id is not None


@dataclass(frozen=True)
class Shown(Listed):
    """The current revision, and how much of it readers of the portfolio see."""

    blocks_shown: int
    blocks_private: int
    confidential: bool


@dataclass(frozen=True)
class Facts:
    """`deliveries` are the newest, newest first."""

    link: Link
    assignment: AssignmentFacts
    enrolment: EnrolmentFacts
    task: TaskFacts
    deliveries: Sequence[Kept]
    submission: Shown | None
