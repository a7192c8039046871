"""What the fields may be that the framework refused. Never what was sent: a message of the
validator may repeat it, so only those that are written here, or by our own validators, go out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from app.errors import FieldInvalidError

HINTS = {
    "missing": "It is required.",
    "extra_forbidden": "Unknown; known are {known}.",
    "greater_than_equal": "It may be {ge} or more.",
    "less_than_equal": "It may be {le} at most.",
    "int_parsing": "It must be a whole number.",
    "int_type": "It must be a whole number.",
    "bool_parsing": "It must be true or false.",
    "bool_type": "It must be true or false.",
    "decimal_parsing": "It must be a number.",
    "decimal_type": "It must be a number.",
    "float_parsing": "It must be a number.",
    "float_type": "It must be a number.",
    "list_type": "It must be a list.",
    "model_type": "The body must be one JSON object.",
    "string_type": "It must be a string.",
    "uuid_parsing": "It must be a UUID.",
    "uuid_type": "It must be a UUID.",
    "literal_error": "It must be {expected}.",
    "string_too_short": "It must have at least {min_length} characters.",
    "string_too_long": "It may have {max_length} characters.",
    "string_pattern_mismatch": "It must match {pattern}",
    "value_error": "{error}",
}
RANGE = "It may be {minimum} to {maximum}."


def refused_fields(request: Request, error: RequestValidationError) -> Iterator[FieldInvalidError]:
    """Each of them, in their order."""
    fields = _query_fields(request)
    for fault in error.errors():
        yield FieldInvalidError(name=str(fault["loc"][-1]), hint=hint_of(fault, fields))


def hint_of(fault: Mapping[str, Any], fields: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What the field may be, by what the contract says of each."""
    context = fault.get("ctx", {}) | {"known": ", ".join(map("`{}`".format, fields))}
    hint = HINTS.get(fault["type"])
    field = fields.get(str(*fault["loc"][-1:]), {})
    if {"ge", "le"} & context.keys() and {"minimum", "maximum"} <= field.keys():
        hint, context = RANGE, dict(field)
    return hint.format(**context) if hint else None


def _query_fields(request: Request) -> Mapping[str, Mapping[str, Any]]:
    """What the contract says of each parameter of a list."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    for parameter in getattr(dependant, "query_params", ()):
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields: Mapping[str, Mapping[str, Any]] = model.model_json_schema()["properties"]
            return fields
    return {}
