"""What the commands print. Ids and names are the sender's, so nothing of a line rules the terminal
it is shown on: neither escapes nor what turns the direction of writing (DESIGN R46).
"""

from datetime import datetime

import typer


def say(*lines: str, err: bool = False) -> None:
    """Each on a line of its own, with escapes in place of what cannot be printed."""
    for line in lines:
        typer.echo("".join(map(_printable, line)), err=err)  # noqa: TID251 - here alone


def say_moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "-"


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
