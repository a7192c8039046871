"""docs/data-protection.md: both pages of rules, and what no table says, for a school's officer."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from app.privacy.expire_submissions import NOTICE
from app.privacy.holdings import AS_THE_ACCOUNT, HOLDINGS, NOTHING, Holding
from app.privacy.keeping import name_of, say_kept
from app.privacy.purposes import PURPOSES
from app.privacy.retention import Rule, rules
from app.settings import Settings
from app.storage.sign_link import LINK_SECONDS

FOLDER = Path(__file__).parent / "templates"


def describe_protection() -> str:
    """The page, with the durations of the settings as they are by themselves."""
    settings = Settings.model_construct()
    kept = rules(settings)
    templates = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        autoescape=select_autoescape(),  # not of Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template("data-protection.md").render(
        purposes=[
            (purpose, [_row(each, kept) for each in HOLDINGS if each.purpose is purpose])
            for purpose in PURPOSES
        ],
        nothing=[
            (name_of(table), what, "; ".join(say_kept(table, kept)) or "for good")
            for table, what in NOTHING.items()
        ],
        settings=settings,
        notice_days=NOTICE.days,
        link_minutes=LINK_SECONDS // 60,
    )


def _row(holding: Holding, kept: Sequence[Rule]) -> tuple[str, str, str]:
    said = say_kept(holding.table, kept)
    if not said or holding.lasts != AS_THE_ACCOUNT:
        said.insert(0, holding.lasts)
    if holding.expires:
        said.append("what Spark handed in: by `SUBMISSION_RETENTION_DAYS`, where that is set")
    return holding.what, holding.name, "; ".join(said)
