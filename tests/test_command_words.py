"""Commands that cannot be done say why in a sentence, and nothing besides."""

import pytest

from app.settings import Settings
from tests.support.commands import run_on


@pytest.mark.parametrize("words", ["alerts", "jobs", "keys", "organisation", "jobs targets"])
async def test_no_list_begins_before_the_database_answers(settings: Settings, words: str) -> None:
    away = settings.model_copy(update={"database_url": "postgresql+asyncpg://a@127.0.0.1:1/x"})
    done = await run_on(away)(*words.split(), *["list"] * (" " not in words))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "The database does not answer as it should (ConnectionRefusedError).\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay"], "Name at least one filter.\n"),
        (["replay", "--since", "yesterday"], "--since: it must be an ISO 8601 date or moment.\n"),
        (["replay", "--code", "Not one"], "--code: String should match pattern '^[a-z0-9_]+$'.\n"),
        (["jobs", "list", "--kind", "A!"], "--kind: String should match pattern '^[a-z0-9_]+$'.\n"),
    ],
    ids=["nothing", "time", "code", "kind"],
)
async def test_a_filter_that_cannot_be_read_names_its_option(
    settings: Settings, words: list[str], said: str
) -> None:
    done = await run_on(settings)(*words)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", said)
