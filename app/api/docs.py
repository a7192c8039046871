"""The contract: OpenAPI 3.1 documents made from the routes.

The public document holds what Spark sees, the internal one what the main app sees. Both are
written to openapi/ and compared in `make check`.
"""

import json
import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import __version__
from app.api.described import (
    REFERENCE,
    SIGNATURE_HEADERS,
    header_components,
    headers_of,
    show_examples,
)
from app.api.problems import Problem
from app.sso.deep_link_token import DeepLinkAnswer, DeepLinkRequest

MENTION = re.compile('"' + REFERENCE.format(model=r"(\w+)") + '"')
TAGS = {
    "sign-in": "A student's click in Spark becomes a session at Optio.",
    "deep-link": "A teacher chooses the work that an assignment means.",
    "submission": "Homework becomes evidence, a completed task and XP.",
    "courses": "Which courses and assignments there are, and who takes part.",
    "evidence": "What a student shows for a task: read, edited, completed.",
    "completions": "Tasks that were completed, with their evidence.",
    "submissions": "What was handed in, in which revisions, and why something is missing.",
    "deliveries": "What Spark sent, and what became of it.",
    "events": "What happens, to follow along.",
    "activity": "What happened, in counts.",
    "organisations": "A school that leaves: everything of it, and its end.",
    "students": "XP, and a family's rights: everything of a student, and its end.",
    "rosters": "Files of students and their courses.",
    "sessions": "Whether a session is alive, and ending it.",
    "received": "What Spark receives from us.",
    "lms": "Which systems are connected.",
    "grades": "Scores for Spark, and how far they are.",
    "jobs": "What is done later, and whom that calls.",
    "alerts": "What operators are told.",
    "health": "What hosts and load balancers ask.",
}
PUBLIC_DESCRIPTION = """\
Students enter Optio from Spark with one click, and homework handed in at Spark becomes evidence,
a completed task and XP at Optio.

Every failure is `application/problem+json` (RFC 9457) with a stable `code`, the old `error`
string, often a `hint`, and a `request_id` to name when you ask us."""
INTERNAL_DESCRIPTION = """\
For the main Optio app and for operators: what students handed in through Spark, their evidence and
XP, and what became of every message.

**Who calls.** Send a service key, `Authorization: Bearer <key>`, from a server and never from a
browser. `python -m app keys create` makes one with its scopes: `read`, `write` and `admin`, of
which none holds another. Each operation names the one it needs. Without a living key everything is
401 `unauthorized`, with the wrong scope 403 `forbidden`, whatever else the request says.

**On whose behalf.** A service key sees every student. Operations of evidence take the student as
`user_id`, and also accept the student's own app token in place of a key; then everything of another
student is 404 `not_found`. All other operations answer such a token 401.

**Lists** are asked `?limit=&cursor=` and answer `{items, next_cursor}`. Send `next_cursor` as
`cursor` for the next page; on the last one it is null. Cursors are opaque and belong to one list.
Parameters that are not listed are refused: a misspelt filter would give everything.

**Events** tell what changed, so that no table has to be polled: keep the last `next_cursor`, and
send it as `after`. They come in order and at least once, so remember the ids you have handled.

**Files** are signed links for three to five minutes. Ask again rather than keep them.

**Failures** are `application/problem+json` (RFC 9457): decide by `code`, show `error`, read `hint`,
wait `retry_after` seconds before a retry, and name `request_id` when you ask us. New codes and new
members may come; those that are here keep their meaning."""


def public_contract(app: FastAPI) -> dict[str, Any]:
    return _contract(app, "Spark integration", PUBLIC_DESCRIPTION, internal=False)


def internal_contract(app: FastAPI) -> dict[str, Any]:
    return _contract(app, "Spark integration, internal", INTERNAL_DESCRIPTION, internal=True)


def _contract(app: FastAPI, title: str, description: str, *, internal: bool) -> dict[str, Any]:
    document = get_openapi(
        title=title,
        version=__version__,
        description=description,
        routes=app.routes,
        webhooks=None if internal else app.webhooks.routes,
        servers=[{"url": "/", "description": "The service that shows this document."}],
        contact={"name": "Optio, integrations"},
        license_info={"name": "All rights reserved", "identifier": "LicenseRef-Proprietary"},
    )
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if path.startswith("/internal/") is internal
    }
    schemas = document["components"]["schemas"]
    for model in (Problem, DeepLinkRequest, DeepLinkAnswer):
        _name(model.model_json_schema(ref_template=REFERENCE), schemas)
    operations = _operations(document["paths"])
    for operation in operations:
        _settle(operation)
    operations += _operations(document.get("webhooks", {}))
    for operation in operations:
        _leave_out_invalid(operation)
        for media in operation.get("requestBody", {}).get("content", {}).values():
            media["schema"] = _name(media["schema"], schemas)
        show_examples(operation, schemas)
    used = {tag for operation in operations for tag in operation["tags"]}
    document["tags"] = [
        {"name": name, "description": text} for name, text in TAGS.items() if name in used
    ]
    document["components"]["headers"] = header_components()
    document["components"]["securitySchemes"] |= SIGNATURE_HEADERS
    _drop_unused(document)
    return document


def _operations(paths: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for methods in paths.values() for each in methods.values()]


def _name(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Put a schema and its parts among the components, under their titles, and refer to it; one
    without a title stays where it is.
    """
    if "title" not in schema:
        return schema
    titles = {name: part["title"] for name, part in schema.get("$defs", {}).items()}
    named = json.loads(MENTION.sub(lambda found: _reference(titles[found[1]]), json.dumps(schema)))
    _say_one_of(named)
    for part in (*named.pop("$defs", {}).values(), named):
        schemas[part["title"]] = part
    return {"$ref": REFERENCE.format(model=schema["title"])}


def _say_one_of(schema: dict[str, Any]) -> None:
    """Generators make a union of it; what is any of several they merge into one class."""
    if options := schema.pop("anyOf", None):
        schema["oneOf"] = options


def _reference(name: str) -> str:
    """As it stands in JSON."""
    return json.dumps(REFERENCE.format(model=name))


def _drop_unused(document: dict[str, Any]) -> None:
    """Components that no operation of this document mentions belong to the other one."""
    paths = json.dumps([document["paths"], document.get("webhooks")])
    components = document["components"]
    schemas, needed, seen = components["schemas"], set(MENTION.findall(paths)), set[str]()
    while needed:
        name = needed.pop()
        seen.add(name)
        needed |= set(MENTION.findall(json.dumps(schemas[name]))) - seen
    components["schemas"] = {name: schemas[name] for name in sorted(seen)}
    components["securitySchemes"] = {
        name: scheme
        for name, scheme in components["securitySchemes"].items()
        if f'"{name}"' in paths
    }


def _settle(operation: dict[str, Any]) -> None:
    """Say what the framework does not: who may call, that it is one of several answers, and the
    header of each.
    """
    callers = {
        name: scopes for way in operation.setdefault("security", []) for name, scopes in way.items()
    }
    if scopes := callers.get("serviceKey"):
        instead = ", or the student's own app token" if "appToken" in callers else ""
        operation["description"] += f"\n\nNeeds a key with the scope `{scopes[0]}`{instead}."
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    _say_one_of(answer.get("schema", {}))
    for response in operation["responses"].values():
        response.setdefault("headers", {}).update(headers_of([]))


def _leave_out_invalid(operation: dict[str, Any]) -> None:
    """The 422 that we answer as 400."""
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]
