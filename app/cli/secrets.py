"""Make secrets, and compare them by telephone."""

import hmac
import secrets

import typer

from app.cli.servers import read_settings
from app.cli.terminal import say
from app.embedded.secrets import SECRET_BYTES
from app.settings import Settings

# What Spark's side computes too (docs/render.md): change it and no two sides agree.
FINGERPRINT_TEXT = b"spark-fingerprint"
SHARED = (
    "spark_sso_secret",
    "spark_sso_secret_previous",
    "spark_webhook_secret",
    "spark_webhook_secret_previous",
    "spark_outbound_secret",
    "spark_outbound_secret_previous",
    "jwt_secret_key",
    "jwt_secret_key_previous",
)

commands = typer.Typer(help="Make secrets; compare them without showing them.")


@commands.command()
def make() -> None:
    """Print a fresh secret for each variable that both sides share. Nothing is kept."""
    for name in SHARED[::2]:
        say(f"{name.upper()}={secrets.token_hex(SECRET_BYTES)}")


@commands.command()
def fingerprint() -> None:
    """Print eight digits for each secret that is set; both sides see the same."""
    say(*fingerprints(read_settings()))


def fingerprints(settings: Settings) -> list[str]:
    found = ((name, getattr(settings, name)) for name in SHARED)
    return [f"{name.upper()} {_digits(it.get_secret_value())}" for name, it in found if it]


def _digits(secret: str) -> str:
    return hmac.digest(secret.encode(), FINGERPRINT_TEXT, "sha256").hex()[:8]
