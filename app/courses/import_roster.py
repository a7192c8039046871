"""A roster file from its first row to its report (DESIGN R20, CONTRACT 10).

Students only: a row of anybody else is skipped, and staff is never made or changed. Without
`apply` everything is compared and nothing changes; an import that was compared is applied by its
id. Where more than a fifth of a course would leave, those students stay until that is confirmed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select, update

from app.activity.audit import record_audit
from app.activity.record_event import record_event
from app.courses.apply_roster import apply_roster, release_held
from app.courses.change_roster import Change
from app.courses.compare_roster import compare_roster
from app.courses.roster_file import open_roster
from app.courses.stage_roster import set_state, stage_roster
from app.database import Session, Sessions
from app.errors import NotFoundError
from app.models import RosterImport, RosterRow

MAX_EXAMPLES = 1000
OUTCOMES = ("create", "link", "enrol", "drop", "held", "unchanged", "skipped", "error")
Tell = Callable[[str, int, int], None]  # what is done, how much of it, and of how much


@dataclass(frozen=True)
class RowReport:
    """A row that is not plain: held, skipped or wrong."""

    source: str
    line: int | None
    spark_user_id: str | None
    outcome: str | None
    code: str | None


@dataclass(frozen=True)
class RosterReport:
    """`rows` were read; the counts of `users` and `enrollments` add up to them. `absent` counts
    students who are in no row any more.
    """

    id: UUID
    state: str
    rows: int
    counts: Mapping[str, Mapping[str, int]]
    examples: list[RowReport] = field(default_factory=list)


async def import_roster(
    sessions: Sessions,
    path: Path,
    change: Change,
    *,
    apply_for: str | None,
    max_bytes: int,
    tell: Tell,
) -> RosterReport:
    """Without a caller to apply it for, which is audited, nothing changes.

    Raises RosterFileInvalidError or BodyTooLargeError; then nothing of it is kept.
    """
    import_id = change.new_id()
    with open_roster(path) as file:
        await stage_roster(
            sessions,
            file,
            import_id,
            max_bytes=max_bytes,
            tell=lambda read: tell("read", min(read, file.size), file.size),
        )
    await compare_roster(
        sessions,
        import_id,
        rules=change.rules,
        tell=lambda done, rows: tell("compare", done, rows),
    )
    await set_state(sessions, import_id, "checked")
    if apply_for is not None:
        await _apply(sessions, import_id, change, apply_for, tell)
    return await report_roster(sessions, import_id)


async def confirm_roster(
    sessions: Sessions, import_id: UUID, change: Change, *, caller: str, tell: Tell
) -> RosterReport:
    """Apply an import that was compared, held or cut off, with what is held. May be repeated.

    Audited. Raises NotFoundError.
    """
    await _get_state(sessions, import_id)
    await release_held(sessions, import_id)
    await _apply(sessions, import_id, change, caller, tell)
    return await report_roster(sessions, import_id)


async def _apply(
    sessions: Sessions, import_id: UUID, change: Change, caller: str, tell: Tell
) -> None:
    async with sessions() as session, session.begin():
        await record_audit(
            session, caller, "sensitive_update", user_id=None, import_id=str(import_id)
        )
    await set_state(sessions, import_id, "applying")
    await apply_roster(
        sessions, import_id, change, tell=lambda done, rows: tell("apply", done, rows)
    )
    await _finish(sessions, import_id, change)


async def _finish(sessions: Sessions, import_id: UUID, change: Change) -> None:
    async with sessions() as session, session.begin():
        counts = await _count(session, import_id)
        held = sum(by_outcome["held"] for by_outcome in counts.values())
        await session.execute(
            update(RosterImport)
            .where(RosterImport.id == import_id)
            .values(state="held" if held else "applied", applied_at=change.now)
        )
        await record_event(
            session,
            "spark_roster_import_success",
            user_id=None,
            session_id=import_id,
            data={"counts": counts},
            page_url="/internal/v1/roster/imports",
        )


async def _get_state(sessions: Sessions, import_id: UUID) -> str:
    """Raises NotFoundError, also for a file that was not read to its end."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(RosterImport.state).where(RosterImport.id == import_id)
        )
        state: str | None = found.scalar_one_or_none()
    if state in (None, "reading"):
        raise NotFoundError
    return state


async def report_roster(sessions: Sessions, import_id: UUID) -> RosterReport:
    """Raises NotFoundError."""
    state = await _get_state(sessions, import_id)
    async with sessions() as session, session.begin():
        counts = await _count(session, import_id)
        examples = await _list_examples(session, import_id)
    rows = sum(sum(by.values()) for source, by in counts.items() if source != "absent")
    return RosterReport(import_id, state, rows, counts, examples)


async def _count(session: Session, import_id: UUID) -> dict[str, dict[str, int]]:
    counts = {name: dict.fromkeys(OUTCOMES, 0) for name in ("users", "enrollments", "absent")}
    found = await session.execute(
        select(RosterRow.source, RosterRow.outcome, func.count().label("rows"))
        .where(RosterRow.import_id == import_id, RosterRow.source != "roles")
        .group_by(RosterRow.source, RosterRow.outcome)
    )
    for source, outcome, rows in found:
        counts[source][str(outcome)] = rows
    return counts


async def _list_examples(session: Session, import_id: UUID) -> list[RowReport]:
    """The first MAX_EXAMPLES, what is wrong before what is held and what is skipped."""
    rank: Any = case({"error": 0, "held": 1}, value=RosterRow.outcome, else_=2)
    found = await session.execute(
        select(
            RosterRow.source,
            RosterRow.line,
            RosterRow.spark_user_id,
            RosterRow.outcome,
            RosterRow.code,
        )
        .where(
            RosterRow.import_id == import_id,
            RosterRow.outcome.in_(("error", "held", "skipped")),
        )
        .order_by(rank, RosterRow.number)
        .limit(MAX_EXAMPLES)
    )
    return [RowReport(*row) for row in found]
