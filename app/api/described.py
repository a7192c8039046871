"""What the contract says beside the models: bodies, headers, examples, failures as they occur."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from app.errors import (
    AssignmentAmbiguousError,
    AssignmentNotFoundError,
    CourseNotFoundError,
    EvidenceFileTooLargeError,
    FieldInvalidError,
    FieldMissingError,
    FileTooLargeError,
    FileTypeNotAllowedError,
    LaunchClaimsInvalidError,
    MethodNotAllowedError,
    ServiceError,
    StudentNotFoundError,
    TotalTooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from app.fields import UUID_EXAMPLE

PROBLEMS = "/problems"
REFERENCE = "#/components/schemas/{model}"
HEADER = "#/components/headers/{name}"
HEADERS = {
    "X-Request-Id": ("Names this request: tell it when you ask us.", UUID_EXAMPLE),
    "Retry-After": ("Seconds after which a retry makes sense.", "5"),
    "WWW-Authenticate": ("How to prove who you are (RFC 9110).", "Bearer"),
    "Allow": ("The methods that this path has.", "POST"),
}


def _sent_header(name: str, description: str) -> dict[str, str]:
    return {"type": "apiKey", "description": description, "in": "header", "name": name}


SIGNATURE_HEADERS = {
    "sparkSignature": _sent_header(
        "X-Spark-Signature",
        "Lower-case hexadecimal HMAC-SHA256 of the raw JSON body, or of the raw bytes of the"
        " `metadata` field, under the webhook secret as literal text.",
    ),
    "standardWebhooks": _sent_header(
        "webhook-signature",
        "Standard Webhooks: `v1,` and the base64 HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.`"
        " and the same bytes. Send all three headers. The key is the webhook secret as literal"
        " text: give a library `whsec_` and the base64 of that text.",
    ),
}

# As they occur, those that name something.
OCCURRED: tuple[ServiceError, ...] = (
    FieldMissingError(name="spark_user_id"),
    FieldInvalidError(name="spark_user_id"),
    LaunchClaimsInvalidError(claim="exp"),
    CourseNotFoundError(spark_course_id="weather_101"),
    AssignmentNotFoundError(assignment_id="essay_1"),
    AssignmentAmbiguousError(assignment_id="essay_1"),
    StudentNotFoundError(spark_user_id="42"),
    FileTypeNotAllowedError(detected="application/zip"),
    FileTooLargeError(name="film.mp4", megabytes="50"),
    TotalTooLargeError(megabytes="200"),
    EvidenceFileTooLargeError(file_size=12582912, max_size=10485760, megabytes="10"),
)


def headers_of(kinds: Iterable[type[ServiceError]]) -> dict[str, Any]:
    """What an answer of one of these kinds may have."""
    kinds = list(kinds)
    has = {
        "X-Request-Id": True,
        "Retry-After": any(kind.retry_after for kind in kinds),
        "WWW-Authenticate": any(issubclass(kind, UnauthorizedError) for kind in kinds),
        "Allow": MethodNotAllowedError in kinds,
    }
    return {name: {"$ref": HEADER.format(name=name)} for name in has if has[name]}


def header_components() -> dict[str, Any]:
    return {
        name: {"description": description, "schema": {"type": "string", "examples": [example]}}
        for name, (description, example) in HEADERS.items()
    }


def occurrence(kind: type[ServiceError]) -> ServiceError:
    """A narrower kind names what the wider one does."""
    named: dict[type[Any], dict[str, Any]] = {type(error): error.values for error in OCCURRED}
    return kind(**next((named[base] for base in kind.__mro__ if base in named), {}))


def helps_later(kinds: Iterable[type[ServiceError]]) -> bool:
    """Whether the same request may get another answer by waiting alone."""
    return any(issubclass(kind, UnavailableError) or kind.status == 500 for kind in kinds)  # noqa: PLR2004


def type_of(code: str, site: str | None) -> str:
    """Absolute where the service knows its address; else a reference (RFC 9457 section 3.1.1)."""
    return f"{site or ''}{PROBLEMS}/{code}"


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its JSON itself."""
    return request_body({"application/json": model})


def request_body(models: Mapping[str, Any]) -> dict[str, Any]:
    """The same for any body: the type that describes it, by media type."""
    content = {
        media: {"schema": TypeAdapter(model).json_schema(ref_template=REFERENCE)}
        for media, model in models.items()
    }
    return {"requestBody": {"required": True, "content": content}}


# How an example is called, by its media type; those of answers have their model's name.
EXAMPLE_NAMES = {
    "application/json": "json",
    "multipart/form-data": "with a file",
    "application/x-www-form-urlencoded": "form",
}


def show_examples(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Each id, body and success shows what the fields of its model show."""
    for parameter in operation.get("parameters", []):
        if parameter["schema"].get("format") == "uuid":
            parameter["schema"].setdefault("examples", [UUID_EXAMPLE])
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        name = EXAMPLE_NAMES.get(media, "file")
        content["examples"] = {name: {"value": example_of(content["schema"], schemas)}}
    answers = operation["responses"]
    success = answers.get("200") or answers.get("202") or {}
    for content in success.get("content", {}).values():
        content["examples"] = {
            _name_of(option): {"value": example_of(option, schemas)}
            for option in content["schema"].get("oneOf", [content["schema"]])
        }


def _name_of(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "/answer")).rpartition("/")[2]


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Its own first one, or one made of its parts' own."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example_of(schemas[_name_of(schema)], schemas)
    if options := schema.get("anyOf", schema.get("oneOf")):
        return example_of(options[0], schemas)
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    if schema.get("format") == "binary":
        return "the bytes of the file"
    members = schema.get("properties", {})
    return {name: example_of(member, schemas) for name, member in members.items()}
