"""Service keys, and the commands that make, list and revoke them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import Row, Text, cast, select
from typer.testing import Result

from app.accounts.service_keys import (
    FORM,
    create_key,
    find_living_key,
    list_keys,
    revoke_key,
)
from app.database import Sessions
from app.errors import NotFoundError
from app.models import ServiceKey
from app.settings import Settings
from tests.support.canaries import CANARIES
from tests.support.checkout import make_checkout
from tests.support.commands import invoke

Command = Callable[..., Result]


def _id(key: str) -> str:
    return key.partition(".")[0]


async def find(sessions: Sessions, key_id: str) -> Row[*tuple[Any, ...]]:
    [found] = [key for key in await list_keys(sessions) if key.id == key_id]
    return found


async def test_a_key_is_known_by_its_id_and_opens_by_its_secret(sessions: Sessions) -> None:
    made = await create_key(sessions, "main app", ["read", "write"])
    assert await find_living_key(sessions, made) == (_id(made), ["read", "write"])
    kept = await find(sessions, _id(made))
    assert (kept.name, kept.scopes, kept.revoked_at) == ("main app", ["read", "write"], None)
    assert abs((datetime.now(tz=UTC) - kept.created_at).total_seconds()) < 60


async def test_two_keys_share_nothing(sessions: Sessions) -> None:
    first, second = [await create_key(sessions, "same", ["read"]) for _ in range(2)]
    assert _id(first) != _id(second)
    assert first.partition(".")[2] != second.partition(".")[2]


async def test_its_secret_is_in_no_column(sessions: Sessions) -> None:
    made = await create_key(sessions, "main app", ["read"])
    _, _, secret = made.partition(".")
    async with sessions() as session, session.begin():
        rows = await session.execute(select(*(cast(c, Text) for c in ServiceKey.__table__.c)))
        assert secret not in str(rows.all())
        assert secret.encode().hex() not in str(rows.all())


async def test_a_revoked_key_opens_nothing_and_keeps_its_first_moment(sessions: Sessions) -> None:
    made = await create_key(sessions, "main app", ["read"])
    await revoke_key(sessions, _id(made))
    first = (await find(sessions, _id(made))).revoked_at
    await revoke_key(sessions, _id(made))
    assert first is not None
    assert (await find(sessions, _id(made))).revoked_at == first
    assert await find_living_key(sessions, made) is None


async def test_an_unknown_key_cannot_be_revoked(sessions: Sessions) -> None:
    with pytest.raises(NotFoundError):
        await revoke_key(sessions, f"optio_{token_hex(8)}")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), id="last digit"),
        pytest.param(lambda text: text[:-1], id="one less"),
        pytest.param(lambda text: f"{text}A", id="one more"),
        pytest.param(lambda text: f"{text}\n", id="line end"),
        pytest.param(lambda text: f" {text}", id="space"),
        pytest.param(str.upper, id="upper case"),
        pytest.param(lambda text: text.partition(".")[0], id="id alone"),
        pytest.param(lambda text: text.partition(".")[2], id="secret alone"),
        pytest.param(lambda text: text.replace(".", ".."), id="two dots"),
        pytest.param(lambda text: f"{text[:-1]}\N{ARABIC-INDIC DIGIT ONE}", id="another script"),
        pytest.param(lambda text: "\ud800" + text, id="lone surrogate"),
        pytest.param(lambda text: "\0" + text, id="NUL"),
        pytest.param(lambda _: "", id="nothing"),
    ],
)
async def test_what_is_not_the_key_to_the_letter_opens_nothing(
    sessions: Sessions, change: Callable[[str], str]
) -> None:
    made = await create_key(sessions, "main app", ["read"])
    assert await find_living_key(sessions, change(made)) is None


# ---------------------------------------------------------------------------- commands


@pytest.fixture
def command(settings: Settings) -> Command:
    """`python -m app keys …` inside this process, on the database of this run."""

    def run(*words: str) -> Result:
        return invoke(settings, "keys", *words)

    return run


def make(command: Command, name: str, *scopes: str) -> str:
    options = [word for scope in scopes for word in ("--scope", scope)]
    done = command("create", name, *options)
    assert done.exit_code == 0, done.output
    CANARIES.release(done.stdout.strip())
    return done.stdout


def listed(command: Command, key_id: str) -> Sequence[str]:
    done = command("list")
    assert done.exit_code == 0, done.output
    [row] = [line for line in done.stdout.splitlines() if line.startswith(key_id)]
    return row.split(maxsplit=4)


def test_a_made_key_is_all_that_is_printed(command: Command) -> None:
    done = command("create", "main app", "--scope", "write", "--scope", "read")
    form = FORM.fullmatch(done.stdout.removesuffix("\n"))
    assert form, done.output
    CANARIES.release(form[0])
    assert done.stderr == f"Made {form[1]} for main app. The key is shown only now.\n"
    key_id, scopes, created, revoked, name = listed(command, form[1])
    assert (key_id, scopes, revoked, name) == (form[1], "read,write", "-", "main app")
    assert created.endswith("Z")
    assert form[2] not in command("list").output


def test_a_revoked_key_stays_in_the_list(command: Command) -> None:
    key_id = make(command, "main app", "read").partition(".")[0]
    for _ in range(2):
        done = command("revoke", key_id)
        assert (done.exit_code, done.stdout) == (0, f"{key_id} is refused from now on.\n")
    assert listed(command, key_id)[3].endswith("Z")


def test_the_whole_key_may_be_given_to_revoke_it_and_is_not_repeated(command: Command) -> None:
    key = make(command, "main app", "admin").strip()
    done = command("revoke", key)
    assert done.exit_code == 0
    assert key.partition(".")[2] not in done.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(
            ["revoke", "optio_0"],
            "There is no key with this id; `python -m app keys list` names them all.\n",
            id="unknown id",
        ),
        pytest.param(
            ["create", "main app", "--scope", "read", "--scope", "all"],
            "The scopes are read, write, admin.\n",
            id="unknown scope",
        ),
        *(
            pytest.param(
                ["create", name, "--scope", "read"],
                "A key needs a name of 1 to 100 printable characters.\n",
                id=f"name {name[:3]!r}",
            )
            for name in ("", "  ", "a\x1b[2J", "a" * 101)
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    command: Command, words: Sequence[str], sentence: str
) -> None:
    done = command(*words)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", sentence)


def test_a_key_without_a_scope_is_not_made(command: Command) -> None:
    done = command("create", "main app")
    assert done.exit_code == 2
    assert "--scope" in done.stderr


@pytest.mark.soak
def test_the_key_can_be_piped(settings: Settings) -> None:
    """As an operator runs it: the process prints one line, and nothing else on that stream."""
    assert settings.database_url
    with make_checkout() as checkout:
        done = checkout.run(
            *("keys", "create", "main app", "--scope", "read"),
            DATABASE_URL=settings.database_url.get_secret_value(),
        )
    assert done.returncode == 0, done.stderr
    assert FORM.fullmatch(done.stdout.removesuffix("\n"))
    CANARIES.release(done.stdout.strip())
