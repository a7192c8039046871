"""The signed JSON of a webhook, as one model of the caller's says it must be.

Free text is cleaned; identifiers that would need cleaning are refused. A refusal names the field,
never its value.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.errors import BadRequestError, FieldInvalidError, FieldMissingError, JsonInvalidError
from app.fields import SparkId
from app.text import StrictJsonError, clean_text, load_json

YEARS = range(2000, 2101)
MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2})?)(\.\d{1,9})?([Zz]|[+-]\d{2}:?\d{2})?"
)

THREAD_BYTES = 64 * 1024  # what is larger is hashed and parsed beside the event loop

Payload = TypeVar("Payload", bound=BaseModel)
P = ParamSpec("P")
T = TypeVar("T")


def _moment(value: object) -> datetime:
    """ISO 8601 with an offset; without one it is UTC, as the predecessor read it."""
    parts = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        raise ValueError("it must be ISO 8601, for example 2026-11-23T14:30:00Z")
    day, time, fraction, offset = parts.groups()
    try:
        moment = datetime.fromisoformat(
            f"{day}T{time}{(fraction or '')[:7]}{(offset or 'Z').upper()}"
        )
    except ValueError:  # its own text repeats the value
        raise ValueError("there is no such moment") from None
    if moment.year not in YEARS:
        raise ValueError("its year must be between 2000 and 2100")
    return moment.astimezone(UTC)


def _text(value: object) -> object:
    return clean_text(value) if isinstance(value, str) else value


FreeText = Annotated[str, BeforeValidator(_text)]
MomentText = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)]


def _if_valid(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


IfValid = WrapValidator(_if_valid)


class Subject(BaseModel):
    """Whom and what a message is about, as far as can be told of one that is not valid."""

    model_config = ConfigDict(strict=True)

    spark_user_id: Annotated[SparkId | None, IfValid] = None
    spark_assignment_id: Annotated[SparkId | None, IfValid] = None
    spark_course_id: Annotated[SparkId | None, IfValid] = None
    submitted_at: Annotated[MomentText | None, IfValid] = None


def read_subject(raw: bytes) -> Subject:
    """Never raises: what cannot be read is None."""
    try:
        return read_payload(raw, Subject)
    except JsonInvalidError:
        return Subject()


def read_payload(raw: bytes, model: type[Payload]) -> Payload:
    """Raises JsonInvalidError, FieldMissingError or FieldInvalidError, for the first fault."""
    content = _load(raw)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise next(iter(_faults(error, content))) from None


def refuse_repeats(ids: Iterable[str], *, item: str, name: str) -> None:
    """For a validator of a list: raises ValueError with the place of the first repeated id."""
    seen: set[str] = set()
    for place, one in enumerate(ids):
        if one in seen:
            raise ValueError(f"{item} {place} repeats a {name}")
        seen.add(one)


def has_member(raw: bytes, name: str) -> bool:
    """For a message that has two forms. Raises JsonInvalidError."""
    return name in _load(raw)


def list_faults(raw: bytes, model: type[BaseModel]) -> list[BadRequestError]:
    """Every fault that `read_payload` would raise one of."""
    try:
        content = _load(raw)
        model.model_validate(content)
    except JsonInvalidError as fault:
        return [fault]
    except ValidationError as error:
        return list(_faults(error, content))
    return []


def _load(raw: bytes) -> dict[str, Any]:
    try:
        content = load_json(raw)
    except StrictJsonError as error:
        raise JsonInvalidError(hint=f"The body is not JSON we accept: {error}.") from None
    if not isinstance(content, dict):
        raise JsonInvalidError(hint="The body must be one JSON object.")
    return content


def _faults(error: ValidationError, content: dict[str, Any]) -> Iterable[BadRequestError]:
    for fault in error.errors(include_input=False, include_url=False):
        name = _place(fault["loc"])
        if content.get(name) is None and len(fault["loc"]) == 1:
            yield FieldMissingError(name=name)
        else:
            yield FieldInvalidError(name=name, hint=fault["msg"].removeprefix("Value error, "))


def _place(steps: Sequence[int | str]) -> str:
    """Where it is, as a path: `files.0.sha256`."""
    return ".".join(map(str, steps))


async def beside_if_large(
    act: Callable[Concatenate[bytes, P], T], content: bytes, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Mebibytes take longer than the event loop may stand still, and a thread longer than a few."""
    if len(content) > THREAD_BYTES:
        return await asyncio.to_thread(act, content, *args, **kwargs)
    return act(content, *args, **kwargs)
