"""An event as a sentence for people, made from its type and its message; it names nobody."""

from collections.abc import Mapping

from app.activity.kinds import KINDS

MESSAGE_CHARACTERS = 200  # older rows hold whole exceptions


def describe_event(event_type: str, data: Mapping[str, object]) -> str:
    """Types without a sentence of their own are said in their own words."""
    kind = KINDS.get(event_type)
    sentence = kind.sentence if kind else event_type.replace("_", " ").capitalize()
    message = data.get("error_message")
    if not isinstance(message, str) or not message:
        return sentence
    return f"{sentence}: {message[:MESSAGE_CHARACTERS]}"
