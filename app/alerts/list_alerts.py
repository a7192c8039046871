"""The alerts for people: what fires, and what to do about it."""

from typing import Literal

from pydantic import Field
from sqlalchemy import select

from app import fields
from app.alerts.rules import RULES
from app.database import Sessions
from app.models import Alert

_SAYS = {rule.name: rule.says for rule in RULES}


class AlertAnswer(fields.ContractModel):
    """A rule, how it stands, and its line of the runbook."""

    name: str = Field(description="The rule.", examples=["target_refused"])
    state: Literal["ok", "firing"] = Field(
        description="`firing` until its condition was false for five minutes.", examples=["firing"]
    )
    since: fields.NullableMoment = Field(description="Since when; null before it was measured.")
    value: float | None = Field(
        description="As it was measured last; null where there was too little to judge.",
        examples=[1],
    )
    threshold: int = Field(description="What `value` is compared with.", examples=[1])
    condition: str = Field(description="When it fires.", examples=["any"])
    codes: dict[str, int] = Field(
        description="What was counted, by code.", examples=[{"spark_401": 1}]
    )
    told_at: fields.NullableMoment = Field(description="When somebody was told of it last.")
    measured_at: fields.NullableMoment = Field(description="When it was measured last.")
    means: str = Field(description="What it means.", examples=["Our key or address is wrong."])
    look: str = Field(description="What to look at.", examples=["`python -m app jobs targets`"])
    do: str = Field(description="What to do.", examples=["Set the right SPARK_API_KEY."])

    @property
    def sentence(self) -> str:
        """What was measured, as it was told."""
        return _SAYS[self.name].format(self.value or 0)


async def list_alerts(sessions: Sessions) -> list[AlertAnswer]:
    """All rules, those that fire first."""
    async with sessions() as session, session.begin():
        found = (await session.execute(select(Alert))).mappings()
        rows = {row["name"]: dict(row) for row in found}
    unknown = dict.fromkeys(("since", "value", "told_at", "measured_at")) | {
        "state": "ok",
        "codes": {},
    }
    alerts = [AlertAnswer(**vars(rule) | rows.get(rule.name, unknown)) for rule in RULES]
    return sorted(alerts, key=lambda alert: alert.state != "firing")
