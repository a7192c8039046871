"""Members of a message that its model does not have: mostly a known one, misspelt (DESIGN R34)."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from app.fields import AnswerWarning

# What is no name may be a value, so it is not repeated.
NAME = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)


def unknown_members(
    content: Mapping[str, Any], model: type[BaseModel], path: str = ""
) -> Iterator[AnswerWarning]:
    """Each with the nearest name that is known; of a list's items where it is met first."""
    known = _items_of(model)
    for name in content:
        if name not in known:
            yield _warning(name, known, path)
    for name, item_model in known.items():
        items = content.get(name)
        if item_model and isinstance(items, list):
            yield from _unknown_of_items(items, item_model, f"{path}{name}.")


def _unknown_of_items(
    items: list[Any], model: type[BaseModel], path: str
) -> Iterator[AnswerWarning]:
    seen: set[str] = set()
    for place, item in enumerate(items):
        if isinstance(item, dict) and (new := item.keys() - model.model_fields.keys() - seen):
            seen |= new
            yield from unknown_members(dict.fromkeys(sorted(new)), model, f"{path}{place}.")


@cache
def _items_of(model: type[BaseModel]) -> Mapping[str, type[BaseModel] | None]:
    """The members of a model, each with the model of its items if it is a list of such."""
    return {
        name: next(_models_in(field.annotation), None) for name, field in model.model_fields.items()
    }


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _warning(name: str, known: Mapping[str, object], path: str) -> AnswerWarning:
    if not NAME.fullmatch(name):
        return AnswerWarning(
            code="member_unknown", detail="Unknown member, whose name is none.", field=f"{path}?"
        )
    meant = {_plain(each): each for each in known}
    nearest = get_close_matches(_plain(name), meant, n=1)
    hint = f" Did you mean {meant[nearest[0]]}?" if nearest else ""
    return AnswerWarning(
        code="member_unknown", detail=f"Unknown member: {name}.{hint}", field=f"{path}{name}"
    )


def _plain(name: str) -> str:
    """`sparkUserId`, `spark-user-id` and `Spark_User_ID` are one name in other languages."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
