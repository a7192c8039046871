"""Measuring each rule, and telling once when it begins to fire, when that is over, and each day
between (OUTBOUND 7).
"""

import json
from datetime import datetime, timedelta
from typing import Any

from app import metrics
from app.alerts.rules import ALERT, ALERTS, RULES, Rule
from app.database import FAILURES, Session, Sessions, Statement, retried
from app.jobs.enqueue import enqueue
from app.settings import Settings

QUIET = timedelta(minutes=5)  # then it is over, and not before: what flaps is told once
REMIND = timedelta(days=1)

# ruff: noqa: S608 - of our own words
MEASURES = {
    rule.name: Statement(
        f"with found as ({rule.found})"
        f" select ({rule.value})::float as value, jsonb_object_agg(code, n)::text as codes"
        " from found"
    )
    for rule in RULES
}
# The row stays locked until the turn is taken, and `since` is that of the state before.
_NOTE = Statement(
    """
    insert into spark.alerts as a (name, since, value, codes, measured_at)
    values (:name::text, :now::timestamptz, :value::float, :codes::jsonb, :now)
    on conflict (name) do update set value = excluded.value, codes = excluded.codes,
      measured_at = excluded.measured_at,
      quiet_since = case when a.state = 'firing' and not :fires::bool
        then coalesce(a.quiet_since, :now) end
    returning since
    """
)
# Whoever gets the row tells: of any number of instances one.
_TAKE_TURN = Statement(
    """
    update spark.alerts set state = case when :fires::bool then 'firing' else 'ok' end,
      since = case when :fires and state = 'firing' then since else :now::timestamptz end,
      quiet_since = null, told_at = case when :is_told::bool then :now else told_at end
    where name = :name::text and (
      :fires and (state = 'ok' or coalesce(told_at, '-infinity') + :remind::interval <= :now)
      or not :fires and quiet_since + :quiet::interval <= :now)
    returning state, since
    """
)


async def evaluate_alerts(sessions: Sessions, settings: Settings, *, now: datetime) -> int:
    """Each rule once: how many messages were ordered. Where nobody is told, only its state.

    One that cannot be measured stops no other; the first failure is raised when all were tried.
    """
    ordered, failures = 0, []
    for rule in RULES:
        try:
            ordered += await _evaluate(sessions, settings, rule, now)
        except FAILURES as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return ordered


@retried
async def _evaluate(sessions: Sessions, settings: Settings, rule: Rule, now: datetime) -> bool:
    async with sessions() as session, session.begin():
        values = {"name": rule.name, "now": now, "quiet": QUIET, "remind": REMIND}
        [found] = await MEASURES[rule.name].send(session, values | {"threshold": rule.threshold})
        value, codes = found["value"], found["codes"] or "{}"
        fires = value is not None and rule.beyond(value, rule.threshold)
        values |= {"value": value, "codes": codes, "fires": fires}
        [before] = await _NOTE.send(session, values)
        is_told = settings.alert_webhook_url is not None
        turns = await _TAKE_TURN.send(session, values | {"is_told": is_told})
        for turn in turns if is_told else ():
            said = {**turn, "value": value, "codes": json.loads(codes), "was": before["since"]}
            await _tell(session, settings, rule, now, said)
    metrics.ALERT_FIRING.labels(rule.name).set(fires)
    return bool(turns) and is_told


async def _tell(
    session: Session, settings: Settings, rule: Rule, now: datetime, said: dict[str, Any]
) -> None:
    """What is newer takes the place of what still waits, so that the last word is right."""
    site = settings.public_url if settings.console else None
    page = site and f"{site}/console"
    alert = {
        "name": rule.name,
        "state": said["state"],
        "value": said["value"],
        "threshold": rule.threshold,
        "since": said["since"].isoformat(),
        "environment": settings.environment,
        "url": page,
    }
    text = "\n".join(filter(None, (_head(settings, rule, now, said), *_lines(rule, said), page)))
    payload = {"id": f"{rule.name}.{now:%Y%m%dT%H%M%S%fZ}", "body": {"text": text, "alert": alert}}
    await enqueue(session, ALERT, rule.name, target=ALERTS, payload=payload)


def _head(settings: Settings, rule: Rule, now: datetime, said: dict[str, Any]) -> str:
    since, was = (f"{said[name]:%Y-%m-%d %H:%M} UTC" for name in ("since", "was"))
    if said["state"] == "ok":
        said_of_it = f"is over. It fired since {was}."
    elif said["since"] == now:
        said_of_it = "fires."
    else:
        said_of_it = f"still fires, since {since}."
    return f"[Spark, {settings.environment}] {rule.name} {said_of_it}"


def _lines(rule: Rule, said: dict[str, Any]) -> list[str]:
    if said["state"] == "ok":
        return []
    codes = ", ".join(f"{code} {n}" for code, n in sorted(said["codes"].items()))
    found = f"{rule.says.format(said['value'])} ({codes})"
    return [found, rule.means, f"Look: {rule.look}", f"Do: {rule.do}"]
