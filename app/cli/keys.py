"""The commands about service keys of the internal API."""

from typing import Annotated

import typer

from app.accounts.service_keys import SCOPES, create_key, list_keys, revoke_key
from app.cli.servers import ask_database, refuse
from app.cli.terminal import say, say_moment
from app.database import Sessions
from app.errors import NotFoundError

MAX_NAME = 100

commands = typer.Typer(no_args_is_help=True, help="Service keys of the internal API.")


@commands.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    *,
    scope: Annotated[
        list[str], typer.Option(help=f"What it may do: {', '.join(SCOPES)}. Repeat it for several.")
    ],
) -> None:
    """Make a key. Standard output is the key alone, which is never shown again."""
    name = name.strip()
    if not (name.isprintable() and 0 < len(name) <= MAX_NAME):
        refuse(f"A key needs a name of 1 to {MAX_NAME} printable characters.")
    if not set(scope) <= set(SCOPES):
        refuse(f"The scopes are {', '.join(SCOPES)}.")
    scopes = [known for known in SCOPES if known in scope]
    made = ask_database(lambda sessions: create_key(sessions, name, scopes))
    say(f"Made {made.partition('.')[0]} for {name}. The key is shown only now.", err=True)
    say(made)


@commands.command("list")
def print_list() -> None:
    """Print every key that was ever made, without its secret."""
    row = "{:22}  {:16}  {:20}  {:20}  {}"
    made = ask_database(list_keys)
    say(row.format("id", "scopes", "created", "revoked", "name"))
    for key in made:
        moments = map(say_moment, (key.created_at, key.revoked_at))
        say(row.format(key.id, ",".join(key.scopes), *moments, key.name))


@commands.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As the list has it.")],
) -> None:
    """Refuse a key from its next request on. Repeating it changes nothing."""
    public = key_id.partition(".")[0]  # whoever has the whole key at hand may send it

    async def act(sessions: Sessions) -> None:
        try:
            await revoke_key(sessions, public)
        except NotFoundError:
            refuse("There is no key with this id; `python -m app keys list` names them all.")

    ask_database(act)
    say(f"{public} is refused from now on.")
