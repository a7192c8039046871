"""What the commands of docs/adoption.md make of the main app's database, one after the other."""

import pytest

from app.settings import Settings
from tests.support.adopted import Shape, main_app_database
from tests.support.commands import run_on
from tests.support.databases import execute
from tests.support.elsewhere import run_elsewhere
from tests.support.kinds import ORGANIZATION
from tests.support.service_role import as_service, give_rights


@pytest.mark.parametrize(
    ("shape", "words"), [("2026_08", ("--courses",)), ("2025_12", ("--alter",))], ids=str
)
async def test_a_new_student_signs_in_as_the_services_own_role(
    settings: Settings, shape: Shape, words: tuple[str, ...]
) -> None:
    changes: dict[str, object] = {"optio_organization_id": ORGANIZATION}
    async with main_app_database(settings, shape) as main_app:
        adopted = await run_on(main_app.model_copy(update=changes))("adopt", "--apply", *words)
        assert adopted.exit_code == 0, adopted.output
        await give_rights(settings, main_app)
        changes |= {"database_url": as_service(main_app)}
        async with run_elsewhere(settings, **changes) as elsewhere:
            ready = await elsewhere.spark.browser.get("/readyz")
            assert ready.json()["differences"] == []
            student = await elsewhere.spark.sign_in()
        links = await execute(main_app, "select lms_user_id from lms_integrations")
        assert (student.spark_user_id,) in links
