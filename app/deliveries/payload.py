"""The signed JSON of a webhook, as one model of the caller's says it must be.

Free text is cleaned; identifiers that would need cleaning are refused. A refusal names the field,
never its value.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticKnownError

from app.deliveries.unknown_members import unknown_members
from app.errors import BadRequestError, FieldInvalidError, FieldMissingError, JsonInvalidError
from app.fields import AnswerWarning, IfValid, SparkId
from app.text import MAX_JSON_VALUES, StrictJsonError, clean_text, load_json, trimmed_id

YEARS = range(2000, 2101)
MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2})?)(\.\d{1,9})?([Zz]|[+-]\d{2}:?\d{2})?"
)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

# What describes, and decides about nothing by itself.
IGNORABLE = frozenset(
    ("grade", "spark_course_id", "spark_org_id", "due_date", "course_description", "description")
) | {"email", "given_name", "family_name", "copied_from"}
MAX_WARNINGS = 20

THREAD_BYTES = 64 * 1024  # what is larger is hashed and parsed beside the event loop
# One at a time: a text of 8 MiB may need ten times that while it is read, and beside each other two
# would keep the loop waiting twice as long.
_READER = ThreadPoolExecutor(1, thread_name_prefix="large-body")

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


def clean_free_text(value: object) -> object:
    return clean_text(value) if isinstance(value, str) else value


FreeText = Annotated[str, BeforeValidator(clean_free_text)]


def _moment_or_day(value: object) -> datetime:
    """A date alone is the end of that day, UTC."""
    if isinstance(value, str) and DAY.fullmatch(value.strip()):
        value = f"{value.strip()}T23:59:59.999999Z"
    return _moment(value)


MomentText = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)]
DueText = Annotated[datetime, BeforeValidator(_moment_or_day, json_schema_input_type=str)]


def counted_first(limit: int) -> BeforeValidator:
    """For a list: refused by its length before any item is looked at, of which each may be at
    fault.
    """

    def count(value: object) -> object:
        if isinstance(value, list) and len(value) > limit:
            sizes = {"max_length": limit, "actual_length": len(value)}
            raise PydanticKnownError("too_long", {"field_type": "List", **sizes})
        return value

    return BeforeValidator(count)


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


def read_payload(raw: bytes, model: type[Payload], *, max_values: int = MAX_JSON_VALUES) -> Payload:
    """Raises JsonInvalidError, FieldMissingError or FieldInvalidError, for the first fault."""
    content = _load(raw, max_values)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _fault(first, content) from None


def refuse_repeats(ids: Iterable[str], *, item: str, name: str) -> None:
    """For a validator of a list: raises ValueError with the place of the first repeated id."""
    seen: set[str] = set()
    for place, one in enumerate(ids):
        if one in seen:
            raise ValueError(f"{item} {place} repeats a {name}")
        seen.add(one)


def examine(
    raw: bytes, model_of: Callable[[Mapping[str, Any]], type[Payload]]
) -> tuple[Payload | None, list[BadRequestError], list[AnswerWarning]]:
    """A message, or every fault that refuses it; and what was noticed. Its content decides which
    model it has.

    An optional value that is empty counts as absent, and so does one of IGNORABLE that cannot be
    read, with a warning: neither refuses a message (DESIGN R31).
    """
    try:
        content = _load(raw)
    except JsonInvalidError as unread:
        return None, [unread], []
    model = model_of(content)
    warnings = list(islice(unknown_members(content, model), MAX_WARNINGS))
    while True:
        try:
            return model.model_validate(content), [], warnings[:MAX_WARNINGS]
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)
        faults: list[BadRequestError] = []
        for fault in found:
            if not _is_optional(fault, content, model):
                faults.append(_fault(fault, content))
            elif warning := _leave_out(fault, content):
                warnings.append(warning)
        if faults:
            return None, faults, warnings[:MAX_WARNINGS]


def _is_optional(fault: ErrorDetails, content: dict[str, Any], model: type[BaseModel]) -> bool:
    *path, name = fault["loc"]
    if path:
        return name in IGNORABLE
    field = model.model_fields.get(str(name))
    if field is None or field.is_required():
        return False
    return name in IGNORABLE or _is_empty(content[str(name)])


def _is_empty(value: object) -> bool:
    return value in (None, [], {}) or (isinstance(value, str) and not trimmed_id(value))


def _leave_out(fault: ErrorDetails, content: dict[str, Any]) -> AnswerWarning | None:
    """Take the value out of the content. An empty one is nothing to speak of."""
    *path, name = fault["loc"]
    place: Any = content
    for step in path:
        place = place[step]
    if _is_empty(place.pop(name)):
        return None
    field = _place(fault["loc"])
    return AnswerWarning(
        code="value_ignored", detail=f"{field} was left out: {_reason(fault)}", field=field
    )


def _load(raw: bytes, max_values: int = MAX_JSON_VALUES) -> dict[str, Any]:
    try:
        content = load_json(raw, max_values=max_values)
    except StrictJsonError as error:
        raise JsonInvalidError(hint=f"The body is not JSON we accept: {error}.") from None
    if not isinstance(content, dict):
        raise JsonInvalidError(hint="The body must be one JSON object.")
    return content


def _fault(fault: ErrorDetails, content: dict[str, Any]) -> BadRequestError:
    name = _place(fault["loc"])
    if content.get(name) is None and len(fault["loc"]) == 1:
        return FieldMissingError(name=name)
    return FieldInvalidError(name=name, hint=_reason(fault))


def _reason(fault: ErrorDetails) -> str:
    return fault["msg"].removeprefix("Value error, ")


def _place(steps: Sequence[int | str]) -> str:
    """Where it is, as a path: `files.0.sha256`."""
    return ".".join(map(str, steps))


async def beside_if_large(
    act: Callable[Concatenate[bytes, P], T], content: bytes, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Mebibytes take longer than the event loop may stand still, and a thread longer than a few.

    Inside `json.loads` a thread keeps the loop waiting all the same: that is short because bytes
    and values are bounded (DESIGN R43).
    """
    if len(content) > THREAD_BYTES:
        call = partial(act, content, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(_READER, call)
    return act(content, *args, **kwargs)
