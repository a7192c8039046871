"""The operations of a contract as their reader wants them: fields in rows, refusals in one table,
and what a form needs that signs and sends.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.api.described import EXAMPLE_NAMES, example_of, helps_later
from app.api.problems import MEDIA_TYPE
from app.errors import kinds

JSON, FORM, FIELDS = EXAMPLE_NAMES
MADE = {"webhook-id", "webhook-timestamp"}  # by whoever signs
TIMES = ("submitted_at", "sent_at", "iat", "exp")
CLAIMS = {
    "sub": "42",
    "email": "ada@example.com",
    "role": "student",
    "given_name": "Ada",
    "family_name": "Example",
    "iat": 1795444200,
    "exp": 1795444800,
}
Schemas = Mapping[str, Any]


def group_operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """By tag; what Spark receives has no form."""
    schemas = document["components"]["schemas"]
    own = [_describe(*each, schemas) for each in _operations(document["paths"])]
    for operation in own:
        operation["form"] = _form(operation, schemas)
    received = [_describe(*each, schemas) for each in _operations(document.get("webhooks", {}))]
    return [
        tag | {"operations": [each for each in own + received if tag["name"] in each["tags"]]}
        for tag in document["tags"]
    ]


def _operations(paths: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _describe(
    method: str, path: str, operation: dict[str, Any], schemas: Schemas
) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {})
    return operation | {
        "method": method,
        "path": path,
        "form": None,
        "schemes": [name for way in operation.get("security", ()) for name in way],
        "parameters": [
            _row(each["name"], each["schema"] | each, schemas, required=each["required"])
            | {"place": each["in"], "example": _example(each["schema"])}
            for each in operation.get("parameters", ())
        ],
        "body": body,
        "example": _written(body[JSON]["examples"]["json"]["value"]) if JSON in body else None,
        "shapes": {media: _shapes(each["schema"], schemas) for media, each in body.items()},
        "answers": list(_answers(operation["responses"], schemas)),
        "refusals": list(_refusals(operation["responses"])),
    }


def _answers(responses: dict[str, Any], schemas: Schemas) -> Iterator[dict[str, Any]]:
    for status, response in responses.items():
        content = response.get("content", {})
        if MEDIA_TYPE in content:
            continue
        media, found = next(iter(content.items()), ("", {"schema": {}}))
        yield {
            "status": status,
            "description": response["description"],
            "media": media,
            "shapes": _shapes(found["schema"], schemas),
            "examples": [
                _written(each["value"])
                for each in found.get("examples", {}).values()
                if media == JSON
            ],
        }


def _refusals(responses: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for status, response in responses.items():
        examples = response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        for code, example in examples.items():
            said = example["value"]
            of_code = (kind for kind in kinds() if (kind.code, str(kind.status)) == (code, status))
            again = helps_later(of_code)
            yield {
                "status": status,
                "code": code,
                "title": example["summary"],
                "advice": said["hint"],
                "again": again,
            }


def _shapes(schema: dict[str, Any], schemas: Schemas) -> list[dict[str, Any]]:
    """One for each form that a body may have."""
    schema = _resolve(schema, schemas)
    if options := schema.get("oneOf"):
        return [shape for option in options for shape in _shapes(option, schemas)]
    rows = list(_rows(schema, schemas))
    shape = {"title": schema.get("title"), "text": schema.get("description"), "rows": rows}
    return [shape] if rows else []


def _rows(
    schema: dict[str, Any], schemas: Schemas, prefix: str = "", within: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Fields of fields behind theirs: `files[].name`."""
    for name, member in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        yield _row(prefix + name, member, schemas, required=required)
        for option in _options(member):
            parts = option.get("items", option)
            model = parts.get("$ref", "")
            if model and model not in within:
                path = f"{prefix}{name}{'[]' if 'items' in option else ''}."
                yield from _rows(_resolve(parts, schemas), schemas, path, (*within, model))


def _row(name: str, schema: dict[str, Any], schemas: Schemas, *, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "kind": _kind(schema, schemas),
        "required": required,
        "meaning": schema.get("description", ""),
        "values": [value for option in _options(schema) for value in _values(option, schemas)],
    }


def _resolve(schema: dict[str, Any], schemas: Schemas) -> dict[str, Any]:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return schema.get("anyOf") or schema.get("oneOf") or [schema]


def _kind(schema: dict[str, Any], schemas: Schemas) -> str:
    """`string (uuid), or null`"""
    names = dict.fromkeys(_kind_of(option, schemas) for option in _options(schema))
    null = names.pop("null", "") is None
    return " or ".join(names) + ", or null" * null


def _kind_of(schema: dict[str, Any], schemas: Schemas) -> str:
    schema = _resolve(schema, schemas)
    if "items" in schema:
        return f"list of {_kind(schema['items'], schemas)}"
    form = schema.get("format")
    return f"{schema.get('type', 'any')} ({form})" if form else str(schema.get("type", "any"))


def _values(schema: dict[str, Any], schemas: Schemas) -> list[Any]:
    return list(_resolve(schema.get("items", schema), schemas).get("enum", ()))


def _example(schema: dict[str, Any]) -> str:
    return str(next(iter(schema.get("examples", ())), ""))


def _written(example: Any) -> str:
    return json.dumps(example, indent=2, ensure_ascii=False)


def _form(operation: dict[str, Any], schemas: Schemas) -> dict[str, Any] | None:
    """None where a browser's own page is what is asked for."""
    names = [each["name"] for each in operation["parameters"]]
    if operation["schemes"]:
        return _message(operation, "signed" if "sparkSignature" in operation["schemes"] else "key")
    if FIELDS in operation["body"] and "dry_run" not in names:
        return None
    if FIELDS in operation["body"] or "token" in names:
        claims = example_of(schemas["DeepLinkRequestClaims"], schemas)
        written = _written(claims if "deep-link" in operation["tags"] else CLAIMS)
        return {"caller": "launch", "example": written, "fresh": True, "file": None, "inputs": []}
    return _message(operation, "open")


def _message(operation: dict[str, Any], caller: str) -> dict[str, Any]:
    example = operation["example"]
    return {
        "caller": caller,
        "example": example,
        "fresh": any(f'"{name}"' in (example or "") for name in TIMES),
        "file": next((media for media in operation["body"] if media != JSON), None),
        "inputs": [each for each in operation["parameters"] if each["name"] not in MADE],
    }
