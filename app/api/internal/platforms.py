"""Which LMS this service connects, and whether it is set up: read from the settings alone."""

from fastapi import APIRouter
from pydantic import Field

from app.api.callers import READ
from app.api.dependencies import Opened
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.fields import ContractModel

router = APIRouter(prefix="/internal/v1/lms", tags=["lms"], dependencies=[READ])

# Without one of these a route that students or Spark call answers 503.
NEEDED = ("spark_sso_secret", "spark_webhook_secret", "jwt_secret_key")


class Platform(ContractModel):
    """An LMS, in the shape of the main app's admin panel (CONTRACT 10)."""

    id: str = Field(title="Platform id", description="The LMS.", examples=["spark"])
    name: str = Field(max_length=50, description="For people.", examples=["Spark LMS"])
    auth_method: str = Field(
        title="Sign-in method", description="How students arrive.", examples=["simple_jwt"]
    )
    configured: bool = Field(description="Whether every variable it needs is set.", examples=[True])
    missing_vars: list[str] = Field(
        max_length=len(NEEDED),
        title="Missing variables",
        description="Names of the environment variables that are not set; never a value.",
        examples=[["SPARK_WEBHOOK_SECRET"]],
    )
    supports_grade_passback: bool = Field(
        title="Grade passback",
        description="Whether grades are sent to Spark: SPARK_API_URL is set.",
        examples=[True],
    )
    supports_roster_sync: bool = Field(
        title="Roster sync", description="By webhook, and by import of a file.", examples=[True]
    )
    supports_deep_linking: bool = Field(
        title="Deep linking",
        description="Whether teachers can choose work from Spark: a return address is allowed.",
        examples=[True],
    )


@router.get(
    "/platforms",
    name="listPlatforms",
    summary="List the LMS that this service connects",
    description="Spark only: other LMS are the main app's own.",
    responses=problems(*INTERNAL_PROBLEMS),
)
async def list_platforms(opened: Opened) -> list[Platform]:
    missing = [name.upper() for name in NEEDED if getattr(opened.settings, name) is None]
    return [
        Platform(
            id="spark",
            name="Spark LMS",
            auth_method="simple_jwt",
            configured=not missing,
            missing_vars=missing,
            supports_grade_passback=opened.spark_api is not None,
            supports_roster_sync=True,
            supports_deep_linking=bool(opened.launch_keys and opened.settings.return_urls),
        )
    ]
