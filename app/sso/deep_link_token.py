"""What Spark says of a teacher who chooses work, and what it is told in return (OUTBOUND 6).

Both are tokens under the secret of launch tokens, and each says which kind it is: neither is taken
for a launch, nor a launch for one of them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import ConfigDict, Field, WithJsonSchema

from app.accounts.personal import Name
from app.errors import LaunchTokenExpiredError, ReturnUrlNotAllowedError, RoleNotAllowedError
from app.fields import (
    ContractModel,
    Id,
    IfValid,
    NullableId,
    NullableMoment,
    SparkAssignmentId,
    SparkCourseId,
    SparkId,
)
from app.signing import TokenKey, sign_token
from app.sso.launch_token import OURS, Role, TimedClaims, check_times, read_claims

REQUEST: Final = "deep_linking_request"
RESPONSE: Final = "deep_linking_response"
ANSWER_KIND = "optio-deep-link+jwt"  # its header's `typ`
ANSWER_SECONDS = 300
PAGE_SECONDS = 1800  # a teacher may look around for so long
TEACHERS_ONLY = "Only a teacher chooses work for an assignment: `role` must be `teacher`."
DEFAULT_PORTS = {"http": 80, "https": 443}


def _only(value: str) -> WithJsonSchema:
    """One value; not as a constant, which generators read into other models (DESIGN R40)."""
    return WithJsonSchema({"type": "string", "enum": [value]})


Title = Annotated[Annotated[Name, Field(max_length=500)] | None, IfValid]


class DeepLinkRequest(TimedClaims):
    """Claims of a token that asks a teacher to choose work. Others are ignored."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True, title="DeepLinkRequestClaims")

    message_type: Annotated[Literal["deep_linking_request"], _only(REQUEST)] = Field(
        description="Which kind of token it is.", examples=[REQUEST]
    )
    iss: Annotated[Literal["spark"], _only("spark")] = Field(
        description="Who made it.", examples=["spark"]
    )
    role: Role = Field(description="`teacher`.", examples=["teacher"])
    jti: SparkId = Field(
        description="Makes the token single-use, for this `sub`.", examples=["0d5f6a"]
    )
    spark_course_id: SparkId = Field(
        description="The assignment's course.", examples=["test_course_001"]
    )
    spark_assignment_id: SparkId = Field(
        description="Saved as a draft before.", examples=["essay_1"]
    )
    return_url: str = Field(
        max_length=2000,
        description="Where the answer is posted: below an address that the operator named.",
        examples=["https://spark.example/optio/chosen"],
    )
    spark_org_id: Annotated[SparkId | None, IfValid] = Field(
        None, description="Of the course.", examples=["24"]
    )
    course_title: Title = Field(None, description="Shown.", examples=["Weather"])
    assignment_title: Title = Field(None, description="Shown.", examples=["Rain"])
    state: Annotated[str, Field(max_length=1000)] | None = Field(
        None, description="Comes back as it is.", examples=["x7Yq"]
    )

    @property
    def replay_key(self) -> bytes:
        unique = f"deep link:{(self.sub, self.jti)!r}"
        return hashlib.sha256(unique.encode("utf-8", "replace")).digest()

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.exp, tz=UTC)

    @property
    def return_origin(self) -> str:
        parts = urlsplit(self.return_url)
        return f"{parts.scheme}://{parts.netloc}"


class ContentItem(ContractModel):
    """The work that was chosen."""

    type: Literal["optio_task", "optio_quest"] = Field(
        description="One task, or a quest, whose first task is meant.", examples=["optio_task"]
    )
    link_id: Id = Field(description="The link of the assignment.")
    quest_id: Id = Field(description="The quest.")
    task_id: NullableId = Field(description="The quest's task; null for a whole quest.")
    title: str = Field(description="Of the task or quest.", examples=["Rain"])
    text: str = Field(description="What is to be done; may be empty.", examples=["Each morning."])
    url: str = Field(
        description="The quest at Optio.", examples=["https://app.example.org/quests/0193b5a2"]
    )
    score_maximum: int = Field(description="What grades are sent out of.", examples=[100])
    points: int = Field(description="XP for the task.", examples=[100])
    due_date: NullableMoment = Field(description="As the course says; null where it says none.")


class DeepLinkAnswer(ContractModel):
    """Claims of the token that `return_url` gets. New ones may come."""

    model_config = ConfigDict(title="DeepLinkAnswerClaims")

    message_type: Annotated[Literal["deep_linking_response"], _only(RESPONSE)] = Field(
        RESPONSE, description="Which kind of token it is.", examples=[RESPONSE]
    )
    iss: Annotated[Literal["optio"], _only(OURS)] = Field(
        OURS, description="Who made it.", examples=[OURS]
    )
    aud: Annotated[Literal["spark"], _only("spark")] = Field(
        "spark", description="For whom it is.", examples=["spark"]
    )
    sub: str = Field(description="The teacher, as in the request.", examples=["teacher_7"])
    iat: int = Field(description="Seconds since 1970.", examples=[1795444200])
    exp: int = Field(description="Five minutes later.", examples=[1795444500])
    jti: str = Field(description="Take each once.", examples=["0193b5a27a5c7c3e8d1f2f4e6a8b0c1d"])
    state: str | None = Field(description="As in the request.", examples=["x7Yq"])
    spark_course_id: SparkCourseId[str] = Field(description="As in the request.")
    spark_assignment_id: SparkAssignmentId[str] = Field(description="As in the request.")
    content_items: list[ContentItem] = Field(
        max_length=1, description="What was chosen; empty if the teacher cancelled."
    )


def verify_deep_link(
    token: str, *, keys: Sequence[TokenKey], return_urls: Sequence[str], now: datetime
) -> DeepLinkRequest:
    """Raises LaunchTokenInvalidError, LaunchClaimsInvalidError, LaunchTokenExpiredError,
    RoleNotAllowedError or ReturnUrlNotAllowedError.
    """
    claims = read_claims(token, DeepLinkRequest, keys=keys)
    if claims.role != "teacher":
        raise RoleNotAllowedError(hint=TEACHERS_ONLY)
    check_times(claims, now.timestamp())
    if not any(_lies_below(claims.return_url, address) for address in return_urls):
        raise ReturnUrlNotAllowedError
    return claims


def _lies_below(url: str, address: str) -> bool:
    """Of the same origin, and at or below its path, as a browser would read it."""
    allowed = urlsplit(address)
    try:
        parts = urlsplit(url)
        same = _origin(parts) == _origin(allowed)
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not set(url) & set("\\ @#")
    climbs = {"..", "."} & {*unquote(parts.path).replace("\\", "/").split("/")}
    below = f"{parts.path}/".startswith(f"{allowed.path.rstrip('/')}/")
    return plain and same and below and not climbs


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


def seal_request(claims: DeepLinkRequest, *, key: TokenKey, now: datetime) -> str:
    """For the page: ours, under a key for this alone, so that nothing need be stored."""
    until = int(now.timestamp()) + PAGE_SECONDS
    return sign_token(claims.model_dump() | {"page_until": until}, key=key)


class _Sealed(DeepLinkRequest):
    page_until: int


def open_request(sealed: str, *, keys: Sequence[TokenKey], now: datetime) -> DeepLinkRequest:
    """Raises LaunchTokenInvalidError or LaunchTokenExpiredError."""
    claims = read_claims(sealed, _Sealed, keys=keys)
    if claims.page_until <= now.timestamp():
        raise LaunchTokenExpiredError
    return claims


def sign_answer(
    asked: DeepLinkRequest,
    items: Sequence[Mapping[str, Any]],
    *,
    jti: str,
    key: TokenKey,
    now: datetime,
) -> str:
    """The token that Spark is sent; without items the teacher has cancelled."""
    issued_at = int(now.timestamp())
    answer = DeepLinkAnswer(
        **asked.model_dump(include={"sub", "state", "spark_course_id", "spark_assignment_id"}),
        iat=issued_at,
        exp=issued_at + ANSWER_SECONDS,
        jti=jti,
        content_items=[ContentItem(**item) for item in items],
    )
    return sign_token(answer.model_dump(mode="json"), key=key, kind=ANSWER_KIND)
