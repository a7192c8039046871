"""What makes a secret none: a sentence for each fault, with its variable and without its value."""

from collections.abc import Iterable, Mapping

MIN_CHARACTERS = 32
MIN_DIFFERENT_CHARACTERS = 8
EXAMPLE_WORDS = ("change", "example", "secret", "password", "your-", "test-")


def weak_secrets(secrets: Mapping[str, str]) -> Iterable[str]:
    for name, secret in secrets.items():
        if secret != secret.strip():
            yield f"{name} begins or ends with white space"
        elif len(secret) < MIN_CHARACTERS:
            yield f"{name} must have at least {MIN_CHARACTERS} characters"
        elif len(set(secret)) < MIN_DIFFERENT_CHARACTERS or secret.lower().startswith(
            EXAMPLE_WORDS
        ):
            yield f"{name} is an example, not a secret"


def repeated_secrets(secrets: Mapping[str, str]) -> Iterable[str]:
    owners: dict[str, str] = {}
    for name, secret in secrets.items():
        if secret in owners:
            yield f"{name} must differ from {owners[secret]}"
        owners[secret] = name
