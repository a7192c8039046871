"""The sample course of the integration guide, for a first try and for the tests."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.database import Sessions
from app.models import PLATFORM, CourseQuestTask, Quest

COURSE_ID = "test_course_001"
ASSIGNMENT_ID = "test_assignment_001"
QUEST_ID = UUID("018f0000-0000-7000-8000-000000000001")
TASKS = (
    (UUID("018f0000-0000-7000-8000-000000000011"), "Research the water cycle", 100),
    (UUID("018f0000-0000-7000-8000-000000000012"), "Build a rain gauge", 150),
    (UUID("018f0000-0000-7000-8000-000000000013"), "Present a week of measurements", 100),
)


async def seed_sample_course(sessions: Sessions) -> None:
    """Idempotent: what is there already stays as it is."""
    async with sessions() as session, session.begin():
        await session.execute(
            insert(Quest)
            .values(
                id=QUEST_ID,
                title="Sample course: weather",
                description="A course to try the integration with.",
                quest_type="course",
                lms_platform=PLATFORM,
                lms_course_id=COURSE_ID,
                lms_assignment_id=ASSIGNMENT_ID,
            )
            .on_conflict_do_nothing()
        )
        await session.execute(
            insert(CourseQuestTask)
            .values(
                [
                    {
                        "id": task_id,
                        "quest_id": QUEST_ID,
                        "title": title,
                        "pillar": "stem",
                        "xp_value": xp_value,
                        "order_index": order_index,
                        "is_required": True,
                    }
                    for order_index, (task_id, title, xp_value) in enumerate(TASKS, start=1)
                ]
            )
            .on_conflict_do_nothing()
        )
