"""Overview: how it goes, what fails and why, and what is left to do before going live."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from starlette.responses import Response

from app.activity.count_outcomes import count_outcomes
from app.activity.find_causes import ERRORS, Cause, find_causes
from app.activity.kinds import KINDS
from app.alerts.list_alerts import list_alerts
from app.api.dependencies import Now, Opened
from app.console.chart import draw_bars
from app.console.render import HOME, console_router, go_on, render
from app.console.visit import Admin, Reader, read_form
from app.errors import ServiceError
from app.jobs.review import JobFilter, count_jobs, list_targets
from app.submissions.going_live import RESTORE, look_at_steps, mark_step

GOAL, ALERT = 99, 95  # per cent that succeed, and below which somebody is told
HOUR = timedelta(hours=1)
# How wide a bar is, and how many there are.
RANGES: Mapping[str, tuple[timedelta, int]] = {
    "24h": (HOUR, 24),
    "7d": (6 * HOUR, 28),
    "30d": (24 * HOUR, 30),
}
CAUSES = timedelta(days=7)  # 100,000 failures of a month would take half a second
CHARTED = "Submissions"  # whose bars lead to deliveries
SAY_AGAIN = (
    "Was something away then? What it refused lies in the inbox: replay it once all is back."
)
LOOK = "Open one of them: its explanation says what to do."
OUTBOUND = "Outbound has them by reason, with a button that sends all again once it is mended."
KINDS_OF_JOBS = {"spark_grade_sync_failed": "grade", "spark_file_download_failed": "download"}

router = console_router()


@router.get("")
async def show_overview(
    request: Request,
    opened: Opened,
    now: Now,
    _: Reader,
    period: Annotated[Literal["24h", "7d", "30d"], Query(alias="range")] = "24h",
) -> Response:
    width, slots = RANGES[period]
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR - width * slots
    causes_from = max(start, now - CAUSES)
    outcomes, causes, targets, waiting, steps, alerts = await asyncio.gather(
        count_outcomes(opened.sessions, start, width, slots, now=now),
        find_causes(opened.sessions, causes_from),
        list_targets(opened.sessions),
        count_jobs(opened.sessions, JobFilter(state="waiting")),
        look_at_steps(opened.sessions, opened.settings),
        list_alerts(opened.sessions),
    )
    return render(
        request,
        "overview.html",
        period=period,
        ranges=list(RANGES),
        goal=GOAL,
        figures=[_figure(name, counts) for name, counts in outcomes.items()],
        charted=CHARTED,
        bars=draw_bars(outcomes[CHARTED], start, width),
        bar_width=width,
        highest=max(map(sum, outcomes[CHARTED])),
        causes=[*map(_explain, causes)],
        start=causes_from,
        targets=[target for target in targets if target.state != "open"],
        waiting=sum(group.jobs for group in waiting),
        oldest=min((group.oldest_at for group in waiting), default=None),
        alerts=[alert for alert in alerts if alert.state == "firing"],
        steps=steps,
        by_hand=RESTORE,
    )


@router.post("/going-live")
async def mark(request: Request, opened: Opened, caller: Admin) -> Response:
    form = await read_form(request)
    await mark_step(opened.sessions, form.get("step", ""), caller=caller.name)
    return go_on(request, HOME, "Marked as done.")


def _figure(name: str, counts: Sequence[tuple[int, int]]) -> dict[str, Any]:
    succeeded, failed = (sum(each) for each in zip(*counts, strict=True))
    total = succeeded + failed
    share = 100 * succeeded / total if total else None
    tone = "good" if share is None or share >= GOAL else "warn" if share >= ALERT else "bad"
    return {"name": name, "succeeded": succeeded, "total": total, "share": share, "tone": tone}


def _explain(cause: Cause) -> dict[str, Any]:
    """In the words of the catalogue; of what only an event has a name for, in the event's."""
    error = ERRORS.get(cause.code)
    kind = KINDS.get(cause.event_type or "")
    title = error.title if error else kind.sentence if kind else cause.code
    away = error is not None and error.status >= 500  # noqa: PLR2004 - Server Error
    job = KINDS_OF_JOBS.get(cause.event_type or "")
    general = OUTBOUND if job else SAY_AGAIN if away else LOOK
    hint = general if error is None or error.hint == ServiceError.hint else error.hint
    return {**cause._asdict(), "title": title, "hint": hint, "job": job}
