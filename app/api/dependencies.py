"""What an endpoint may ask for: the resources of this process, the moment, the body."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import parse_qs

from fastapi import Depends, Request
from pydantic import BaseModel, SecretStr, ValidationError

from app.accounts.students import AccountRules
from app.activity.failure_events import FailureEvents
from app.alerts.send_alert import AlertHook
from app.api.field_hints import hint_of
from app.api.health import ReadinessChecks
from app.clock import utc_now
from app.database import Sessions
from app.deliveries.hold_body import BodyBudget, HeldBody
from app.deliveries.pace import PacedBody, read_all
from app.errors import (
    FieldInvalidError,
    JsonInvalidError,
    MediaTypeUnsupportedError,
    TargetNotConfiguredError,
)
from app.fetch import RemoteFiles
from app.files.places import Places
from app.jobs.call_spark import SparkApi
from app.limits import Limits
from app.settings import Settings
from app.signing import TokenKey
from app.sso.app_tokens import TokenIssuer
from app.storage.bucket import Bucket
from app.submissions.work import Intake
from app.text import StrictJsonError, load_json

FORM = "application/x-www-form-urlencoded"
SMALL_BODY_BYTES = 64 * 1024

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Resources:
    """What one process opened at start. Without its secret a route's part is empty or None."""

    settings: Settings
    sessions: Sessions
    bucket: Bucket
    intake: Intake
    body_budget: BodyBudget
    large_saves: Places
    account_rules: AccountRules
    editor_places: Places
    limits: Limits
    spark_api: SparkApi | None
    alert_hook: AlertHook | None
    remote_files: RemoteFiles
    launch_keys: Sequence[TokenKey]
    deep_link_keys: Sequence[TokenKey]
    issuer: TokenIssuer | None
    app_token_keys: Sequence[TokenKey]
    failure_events: FailureEvents
    address_key: SecretStr
    cursor_keys: Sequence[SecretStr]
    readiness: ReadinessChecks
    scrapers: dict[bytes, datetime]  # digests of keys, and when each was right last
    connections_in_use: Callable[[], int]


def resources_of(request: Request) -> Resources:
    """What `Opened` gives. The routes of the four hot acts take this, the clock and the state of
    the request: a dependency costs 20 µs of CPU, whatever it gives.
    """
    resources: Resources = request.app.state.resources
    return resources


def spark_api_of(opened: Resources) -> SparkApi:
    """Raises TargetNotConfiguredError."""
    if opened.spark_api is None:
        raise TargetNotConfiguredError
    return opened.spark_api


async def _resources(request: Request) -> Resources:
    return resources_of(request)


async def _now() -> datetime:
    return utc_now()


async def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


Opened = Annotated[Resources, Depends(_resources)]
Now = Annotated[datetime, Depends(_now)]
RequestId = Annotated[str, Depends(_request_id)]


def media_type(request: Request) -> str:
    """Of the body, as the sender says: lower-case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_json(request: Request) -> None:
    """Raises MediaTypeUnsupportedError."""
    if media_type(request) != "application/json":
        raise MediaTypeUnsupportedError(hint="Send application/json.")


def parse_json(request: Request, body: bytes) -> object:
    """Raises MediaTypeUnsupportedError or JsonInvalidError."""
    require_json(request)
    try:
        return load_json(body)
    except StrictJsonError as error:
        raise JsonInvalidError(hint=f"The body is not JSON we accept: {error}.") from None


async def read_body(request: Request) -> bytes:
    """A small one. Raises BodyTooLargeError as soon as it is none, BodyTimeoutError,
    OverloadedError.
    """
    with hold_body(request) as held:
        return await read_all(paced_body(request, held), held, max_bytes=SMALL_BODY_BYTES)


async def read_form(request: Request) -> Mapping[str, Sequence[str]]:
    """The values of each field. Raises MediaTypeUnsupportedError and what `read_body` raises."""
    body = await read_body(request)
    if media_type(request) != FORM:
        raise MediaTypeUnsupportedError(hint=f"Send {FORM}.")
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)


async def read_small(request: Request, model: type[Body]) -> Body:
    """A small JSON body, once it is known who calls: FastAPI would read one of any size before.
    Raises FieldInvalidError and what `read_body` and `parse_json` raise.
    """
    return read_fields(model, parse_json(request, await read_body(request)))


def read_fields(model: type[Body], content: object) -> Body:
    """Raises FieldInvalidError."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        fields = model.model_json_schema()["properties"]
        name = str(*fault["loc"][:1]) or next(iter(fields))
        raise FieldInvalidError(name=name, hint=hint_of(fault, fields)) from None


def hold_body(request: Request) -> AbstractContextManager[HeldBody]:
    """Until its end the body that is read inside counts, for the sender's address."""
    return resources_of(request).body_budget.open(request.state.client_address)


def paced_body(request: Request, held: HeldBody | None = None) -> PacedBody:
    """As it comes. Raises BodyTimeoutError; `held` OverloadedError, too."""
    settings = resources_of(request).settings
    return PacedBody(
        request.stream(),
        idle_seconds=settings.body_idle_seconds,
        min_bytes_per_second=settings.body_min_bytes_per_second,
        held=held,
    )
