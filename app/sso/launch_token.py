"""What Spark says of a student who clicks, if Spark really said it.

A launch token is an HS256 JWT (RFC 7519). `verify_launch_token` takes these steps (SECURITY D1):

    1. three segments of canonical base64url: another spelling of a token is another token
    2. header members only alg, typ and kid; alg HS256, typ absent or JWT; never followed
    3. signature, with keys that can do nothing else (`verify_token`, as for every token of ours)
    4. payload as strict JSON
    5. claims of the right type
    6. no `message_type`, no `iss` of ours: one secret signs three kinds of token; role is absent,
       blank or student
    7. times: exp in the future, life of at most 660 s, iat and nbf not in the future

It returns LaunchClaims or raises an error of section "sign-in" in `errors`; nothing else.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
)

from app.accounts.personal import Name, usable_email
from app.errors import (
    LaunchClaimsInvalidError,
    LaunchTokenExpiredError,
    LaunchTokenInvalidError,
    RoleNotAllowedError,
    SignatureMismatchError,
)
from app.fields import IfValid, SparkId
from app.signing import TokenKey, verify_token
from app.text import StrictJsonError, load_json

MAX_LIFE_SECONDS = 600
LEEWAY_SECONDS = 60
MAX_CLAIMS_DEPTH = 32
OURS: Final = "optio"  # the `iss` of tokens that we make for Spark
OTHER_KIND = "This token is of another kind: one that chooses work is for /spark/deep-link."
LATEST_MOMENT = 32_503_680_000  # the year 3000: anything later is no time but a mistake


@dataclass(frozen=True)
class LaunchClaims:
    """Verified and cleaned. `email` is lower-case, or None when it cannot be used."""

    spark_user_id: str
    email: str | None
    given_name: str
    family_name: str
    courses: tuple[str, ...] | None
    unreadable_courses: int  # items of the claim that are no ids
    issued_at: datetime
    expires_at: datetime
    replay_key: bytes


def _course_ids(value: object) -> object:
    """Odd parts of this optional claim are ignored: they must not keep a student out.

    What is no list at all names no course; only an absent claim leaves the question open.
    """
    if value is None:
        return None
    items = value if isinstance(value, list) else [None]
    return tuple(map(_course_id, items))


def _course_id(value: object) -> str | None:
    try:
        return _COURSE_ID.validate_python(value)
    except ValidationError:
        return None


def _plain_role(role: str) -> str:
    return role.strip().lower()


_COURSE_ID = TypeAdapter[str](SparkId)
CLAIM_HINTS = {  # by what Pydantic calls the fault
    "missing": "{claim} is required.",
    "less_than": "{claim} is in seconds since 1970, not in milliseconds.",
}
_IN_TIME = Field(gt=0, lt=LATEST_MOMENT)
Moment = Annotated[StrictInt, _IN_TIME] | Annotated[StrictFloat, _IN_TIME]
Role = Annotated[str, AfterValidator(_plain_role)]


class TimedClaims(BaseModel):
    """What every token of Spark's says."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    sub: SparkId = Field(description="Who it is, as Spark names them.", examples=["teacher_7"])
    iat: Moment = Field(description="Seconds since 1970.", examples=[1795444200])
    exp: Moment = Field(description="At most 600 s after `iat`.", examples=[1795444800])
    nbf: Moment | None = Field(None, description="Not before.", examples=[1795444200])


Payload = TypeVar("Payload", bound=TimedClaims)


class _Payload(TimedClaims):
    email: object  # must be there: a misspelt claim would make accounts without an address
    message_type: object = None
    iss: object = None
    jti: Annotated[SparkId | None, IfValid] = None
    role: Role | None = None
    given_name: Annotated[Name | None, IfValid] = None
    family_name: Annotated[Name | None, IfValid] = None
    courses: Annotated[tuple[str | None, ...] | None, BeforeValidator(_course_ids)] = None


def verify_launch_token(token: str, *, keys: Sequence[TokenKey], now: datetime) -> LaunchClaims:
    payload = read_claims(token, _Payload, keys=keys)  # 1 to 5
    if payload.message_type is not None:  # 6
        raise LaunchClaimsInvalidError(claim="message_type", hint=OTHER_KIND)
    if payload.iss == OURS:
        raise LaunchClaimsInvalidError(claim="iss", hint=OTHER_KIND)
    if payload.role not in (None, "", "student"):
        raise RoleNotAllowedError
    check_times(payload, now.timestamp())  # 7
    return _claims(payload, signing_input=token.rpartition(".")[0])


def read_claims(token: str, model: type[Payload], *, keys: Sequence[TokenKey]) -> Payload:
    """Steps 1 to 5. Raises LaunchTokenInvalidError or LaunchClaimsInvalidError."""
    try:
        raw = verify_token(token, keys=keys)
    except SignatureMismatchError as error:
        raise LaunchTokenInvalidError from error
    try:
        return model.model_validate(load_json(raw, max_depth=MAX_CLAIMS_DEPTH))
    except StrictJsonError:
        raise LaunchClaimsInvalidError(claim="payload") from None
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        claim = str(fault["loc"][0]) if fault["loc"] else "payload"
        hint = CLAIM_HINTS.get(fault["type"], "").format(claim=claim)
        raise LaunchClaimsInvalidError(claim=claim, hint=hint) from None


def check_times(payload: TimedClaims, now: float) -> None:
    """Step 7."""
    if payload.exp <= now:
        raise LaunchTokenExpiredError
    if is_ahead(payload.iat, now):
        raise LaunchClaimsInvalidError(claim="iat", hint="iat is in the future: check the clock.")
    if is_ahead(payload.nbf, now):
        raise LaunchClaimsInvalidError(claim="nbf")
    if payload.exp - payload.iat > MAX_LIFE_SECONDS + LEEWAY_SECONDS:
        raise LaunchClaimsInvalidError(claim="exp", hint="exp may be 600 seconds after iat.")


def is_ahead(moment: float | None, now: float) -> bool:
    """Whether it lies further in the future than clocks differ."""
    return moment is not None and moment > now + LEEWAY_SECONDS


def _claims(payload: _Payload, *, signing_input: str) -> LaunchClaims:
    """The replay key is never the token's text: a signature can be spelt in several ways. A `jti`
    is the student's own: one that Spark gave to two must not end the sign-in of the other.
    """
    claimed = payload.courses
    courses = None if claimed is None else tuple(item for item in claimed if item is not None)
    unique = f"jti:{(payload.sub, payload.jti)!r}" if payload.jti else f"input:{signing_input}"
    return LaunchClaims(
        spark_user_id=payload.sub,
        email=usable_email(payload.email) if isinstance(payload.email, str) else None,
        given_name=payload.given_name or "",
        family_name=payload.family_name or "",
        courses=courses,
        unreadable_courses=len(claimed or ()) - len(courses or ()),
        issued_at=datetime.fromtimestamp(payload.iat, tz=UTC),
        expires_at=datetime.fromtimestamp(payload.exp, tz=UTC),
        replay_key=hashlib.sha256(unique.encode("utf-8", "replace")).digest(),
    )
