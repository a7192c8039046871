"""The files that are generated and committed: the contract and the settings, as text.

`make check` compares them with what stands in the checkout, byte for byte.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.api.docs import internal_contract, public_contract
from app.main import create_app
from app.settings import Settings


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
    files = {".env.example": example_environment(), "docs/settings.md": describe_settings()}
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


def _default(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)
