"""What the main app reads of a student's XP."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from app.api.internal.schemas import MOMENT_EXAMPLE, UUID_EXAMPLE
from app.api.paging import NextCursor


class AwardItem(BaseModel):
    """What a task paid; it pays a student once."""

    id: UUID = Field(title="Award id", description="The award.", examples=[UUID_EXAMPLE])
    task_id: UUID = Field(
        title="Task id", description="The student's own copy of the task.", examples=[UUID_EXAMPLE]
    )
    completion_id: UUID = Field(
        title="Completion id", description="What it was paid for.", examples=[UUID_EXAMPLE]
    )
    quest_id: UUID | None = Field(
        title="Quest id",
        description="The task's quest; null once the task is gone.",
        examples=[UUID_EXAMPLE],
    )
    title: str | None = Field(
        title="Title", description="The task's; null once it is gone.", examples=["Research"]
    )
    pillar: str = Field(title="Pillar", description="The task's.", examples=["stem"])
    xp_amount: int = Field(ge=0, title="XP", description="What it paid.", examples=[100])
    awarded_at: datetime = Field(
        title="Awarded at", description="When it was paid.", examples=[MOMENT_EXAMPLE]
    )


class ExperienceAnswer(BaseModel):
    """A student's totals, and a page of the ledger behind them."""

    user_id: UUID = Field(title="User id", description="The student.", examples=[UUID_EXAMPLE])
    total: int = Field(ge=0, title="Total", description="Over all pillars.", examples=[350])
    pillars: dict[str, int] = Field(
        title="Pillars",
        description="Totals, with what the main app awarded natively.",
        examples=[{"stem": 250, "art": 100}],
    )
    subjects: dict[str, int] = Field(
        title="Subjects",
        description="Diploma credit by school subject; it has no ledger.",
        examples=[{"science": 60}],
    )
    items: list[AwardItem] = Field(
        title="Items", description="The ledger, newest first; at most `limit`."
    )
    next_cursor: NextCursor
