"""What `make run` prepares for whoever tries the guide: its student, and what its examples need."""

from pathlib import Path

from app.accounts.enlist import find_students
from app.accounts.students import Student
from app.api.dependencies import Resources
from app.clock import new_id, utc_now
from app.courses.change_roster import RosterRun, change_students
from app.embedded.secrets import local_secrets
from app.learning.sample_course import QUEST_ID
from app.settings import Settings

STUDENT = Student("42", "ada@example.com", "Ada", "Example")


async def enrol_guide_student(resources: Resources) -> None:
    """In the sample course. Once: what became of the student since then is not undone."""
    run = RosterRun(now=utc_now(), new_id=new_id, rules=resources.account_rules, caller="seed")
    async with resources.sessions() as session, session.begin():
        if not await find_students(session, [STUDENT.spark_user_id]):
            joins = (STUDENT.spark_user_id, QUEST_ID, False)
            await change_students(session, [STUDENT], [joins], run)


def export_lines(settings: Settings, base_url: str, folder: Path) -> list[str]:
    """For a shell, under the names that the guide uses; none where a secret was not made for this
    checkout: others are not ours to show.
    """
    made = local_secrets(folder) if folder.exists() else {}
    given = (settings.spark_sso_secret, settings.spark_webhook_secret)
    sso, webhook = (it.get_secret_value() if it else "" for it in given)
    if not {sso, webhook} <= set(made.values()):
        return []
    return [
        f"export OPTIO_URL={base_url}",
        f"export OPTIO_SHARED_SECRET={sso}",
        f"export OPTIO_WEBHOOK_SECRET={webhook}",
    ]
