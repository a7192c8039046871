"""What a dry run of a sign-in answers: the launch token as it was read, and what would be."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from app.api.spark.dry_run import DryRunProblem, describe_problem
from app.errors import ServiceError
from app.fields import ContractModel, HandedIn, RequestId
from app.sso.launch_token import LaunchClaims
from app.sso.rehearse_sign_in import AccountOutcome


class ReadClaims(ContractModel):
    """The claims as they were read: trimmed and cleaned."""

    sub: str = Field(description="Spark's id of the student.", examples=["42"])
    email: str | None = Field(
        description="Null if it cannot be used: the account gets one that reaches nobody.",
        examples=["ada@school.example"],
    )
    given_name: str = Field(description="Empty if there is none.", examples=["Ada"])
    family_name: str = Field(description="Empty if there is none.", examples=["Lovelace"])
    iat: datetime = Field(description="As a date.", examples=["2026-11-29T09:30:00Z"])
    exp: datetime = Field(description="As a date.", examples=["2026-11-29T09:40:00Z"])


class ClaimedCourses(ContractModel):
    """What became of the claim `courses`."""

    found: list[str] = Field(description="The student would be enrolled.", examples=[["course_7"]])
    unknown: list[str] = Field(description="No course has this id.", examples=[["course_8"]])
    unreadable: int = Field(description="Items that are no ids.", examples=[0])


class LaunchDryRun(ContractModel):
    """Nothing was kept, and the token stays good."""

    status: HandedIn = Field(description="Always `dry_run`.", examples=["dry_run"])
    account: AccountOutcome = Field(
        description="Make one, link one that is there, use the student's own, or refuse.",
        examples=["known"],
    )
    claims: ReadClaims = Field(description="What was read of the token.")
    courses: ClaimedCourses = Field(description="Where the student would be enrolled.")
    problems: list[DryRunProblem] = Field(description="Why it would be refused.", examples=[[]])
    request_id: RequestId


def describe_launch(
    claims: LaunchClaims,
    account: AccountOutcome,
    problems: Sequence[ServiceError],
    found: set[str],
    request_id: str,
) -> LaunchDryRun:
    return LaunchDryRun(
        status="dry_run",
        account=account,
        claims=ReadClaims(
            sub=claims.spark_user_id,
            email=claims.email,
            given_name=claims.given_name,
            family_name=claims.family_name,
            iat=claims.issued_at,
            exp=claims.expires_at,
        ),
        courses=ClaimedCourses(
            found=sorted(found),
            unknown=[course for course in claims.courses or () if course not in found],
            unreadable=claims.unreadable_courses,
        ),
        problems=[describe_problem(problem) for problem in problems],
        request_id=request_id,
    )
