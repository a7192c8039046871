"""The files that are generated and committed: the contract, the settings, and what is kept.

`make check` compares them with what stands in the checkout, byte for byte.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.api.docs import internal_contract, public_contract
from app.api.problem_pages import FAMILIES, describe_problems
from app.main import ROUTERS, create_app
from app.privacy.describe_protection import describe_protection
from app.settings import Settings

PROBLEMS_HEAD = """\
# Troubleshooting

Generated from `app/errors.py` by `make openapi`.

A failure has a `code`: find it here, or open the address in `type`, which also lists the routes.
What an answer says in `hint` is about that very request, and goes before what stands here. Where
the same code has several, the first is shown. If it does not help, name the `request_id`: `explain`
and the log know it ([operations.md](operations.md#somebody-names-a-request_id)).
"""


def stale_files(project: Path) -> dict[Path, str]:
    """Each file whose content is not what it should be, with what it should be."""
    return {
        project / name: content
        for name, content in _generate().items()
        if not (project / name).exists() or (project / name).read_text() != content
    }


def _generate() -> dict[str, str]:
    app = create_app(Settings(_env_file=None))
    documents = {"openapi": public_contract(app), "internal": internal_contract(app)}
    files = {
        ".env.example": example_environment(),
        "docs/settings.md": describe_settings(),
        "docs/troubleshooting.md": list_problems(),
        "docs/data-protection.md": describe_protection(),
    }
    for name, document in documents.items():
        files[f"openapi/{name}.json"] = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        files[f"openapi/{name}.yaml"] = _yaml(document)
    return files


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def example_environment() -> str:
    """`.env.example`: every setting with its description, commented out."""
    lines = [
        "# Generated from app/settings/ by `make openapi`. Copy to .env and fill in.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        lines += [f"# {field.description}", f"# {name.upper()}={_default(field)}", ""]
    return "\n".join(lines)


def describe_settings() -> str:
    """docs/settings.md: the table of all settings."""
    rows = [
        f"| `{name.upper()}` | {f'`{_default(field)}`' if _default(field) else ''} "
        f"| {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    head = ["# Settings", "", "Generated from `app/settings/__init__.py` by `make openapi`.", ""]
    return "\n".join([*head, "| variable | default | |", "|---|---|---|", *rows, ""])


def list_problems() -> str:
    """docs/troubleshooting.md: every code, by what is to be done about it."""
    routes = [each for router in ROUTERS for each in router.routes]
    kinds = describe_problems(routes).values()
    table = "| code | status | who meets it | it says | what to do |\n|---|---|---|---|---|\n"
    families = (
        f"\n## {family}\n\n{table}" + "".join(_row(it) for it in kinds if it["meaning"] == family)
        for family in FAMILIES.values()
    )
    return PROBLEMS_HEAD + "".join(families)


def _row(kind: dict[str, Any]) -> str:
    statuses = ", ".join(dict.fromkeys(str(answer["status"]) for answer in kind["answers"]))
    first = kind["answers"][0]
    places = {"Spark": " /spark/", "the main app": " /internal/"}
    met = [who for who, path in places.items() if any(path in route for route in kind["routes"])]
    cells = (f"`{kind['code']}`", statuses, ", ".join(met) or "any", first["error"], first["hint"])
    return f"| {' | '.join(cells)} |\n".replace("<", "&lt;")


def _default(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)
