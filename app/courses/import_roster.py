"""A roster file from its first row to its report (DESIGN R20, CONTRACT 10).

Students only: a row of anybody else is skipped, and staff is never made or changed. Without
`apply` everything is compared and nothing changes; an import that was compared is applied by its
id. Where more than a fifth of a course would leave, those students stay until that is confirmed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import case, delete, func, insert, select, text, update

from app.activity.audit import record_audit
from app.activity.record_event import record_event
from app.courses.apply_roster import apply_roster, compare_roster, release_held
from app.courses.change_roster import RosterRun
from app.courses.open_roster import Meter, RosterFile, open_roster
from app.database import FAILURES, Session, Sessions
from app.errors import NotFoundError
from app.fields import Id
from app.models import RosterImport, RosterRow

BATCH_ROWS = 2000  # of a file are held at once
MANY_ROWS = 10_000  # the planner has to be told of them
COMPARE_SECONDS = 45 * 60  # under the hour after which retention takes it for abandoned
MAX_EXAMPLES = 1000
OUTCOMES = ("create", "link", "enrol", "drop", "held", "unchanged", "skipped", "error")
# What is done, how much of it, and of how much. What it raises ends the import.
Tell = Callable[[str, int, int], Awaitable[None]]

_INSERT = insert(RosterRow)
_FIND_COURSES = text(
    """
    update spark.roster_rows r set quest_id = (
      select (array_agg(c.quest_id))[1] from spark.courses c
      where c.lms_platform = 'spark' and c.spark_course_id = r.spark_course_id
        and c.quest_id is not null
        and (r.spark_org_id = '' or c.spark_org_id = r.spark_org_id)
      having count(*) = 1)
    where r.source = 'enrollments' and r.outcome is null
      and r.import_id = :import_id and r.number >= :first
    """
)
# A sample that does not grow with the rows of all the imports that were ever made.
_ANALYZE = (
    text("set local default_statistics_target = 10"),
    text("analyze (skip_locked) spark.roster_rows"),
)


class RosterRowAnswer(BaseModel):
    """A row that is held, skipped or wrong."""

    source: Literal["users", "roles", "enrollments", "absent"] = Field(
        description="Its file; `absent`: in none any more.", examples=["users"]
    )
    line: int | None = Field(description="The line it ends on.", examples=[7])
    spark_user_id: str | None = Field(
        description="Null where the row cannot be read.", examples=["42"]
    )
    outcome: str = Field(description="As in `counts`.", examples=["error"])
    code: str | None = Field(description="What is wrong.", examples=["account_inactive"])


class RosterImportAnswer(BaseModel):
    """What an import does, or would do."""

    id: Id = Field(description="The import.")
    state: Literal["checked", "applying", "held", "applied"] = Field(
        description="`checked` has changed nothing.", examples=["checked"]
    )
    rows: int = Field(description="Rows that were read.", examples=[60])
    counts: dict[str, dict[str, int]] = Field(
        description=(
            "By file and outcome; `users` and `enrollments` add up to `rows`, and `absent` are"
            " students in no row any more."
        ),
        examples=[{"users": {"create": 28, "skipped": 2}, "enrollments": {"enrol": 30}}],
    )
    examples: list[RosterRowAnswer] = Field(description="The first 1,000 that are not plain.")


async def say_nothing(stage: str, done: int, total: int) -> None:
    """The Tell of an import that nobody watches."""


async def import_roster(
    sessions: Sessions,
    path: Path,
    run: RosterRun,
    *,
    apply: bool,
    max_bytes: int,
    tell: Tell,
) -> RosterImportAnswer:
    """Unless it is to `apply`, nothing changes. Audited.

    Raises RosterFileInvalidError, BodyTooLargeError, or what `tell` raises; then nothing of it is
    kept, unless it was being applied.
    """
    import_id = run.new_id()
    async with _kept_if_compared(sessions, import_id), asyncio.timeout(COMPARE_SECONDS):
        async with _opened(path) as file:
            await _stage(sessions, file, import_id, run.caller, max_bytes=max_bytes, tell=tell)
        await compare_roster(sessions, import_id, run, tell=partial(tell, "compare"))
        await _set_state(sessions, import_id, "checked")
    if apply:
        await _apply(sessions, import_id, run, tell)
    return await _report(sessions, import_id)


@asynccontextmanager
async def _kept_if_compared(sessions: Sessions, import_id: UUID) -> AsyncIterator[None]:
    """Where that fails, and after a crash, retention removes it."""
    try:
        yield
    except Exception:
        with suppress(*FAILURES):
            await _remove(sessions, import_id)
        raise


async def _remove(sessions: Sessions, import_id: UUID) -> None:
    """In batches: no statement runs into its time limit."""
    of_import = RosterRow.import_id == import_id
    for first in count(0, BATCH_ROWS):
        batch = RosterRow.number.between(first, first + BATCH_ROWS - 1)
        async with sessions() as session, session.begin():
            removed = await session.execute(delete(RosterRow).where(of_import, batch))
        if removed.rowcount < BATCH_ROWS:
            break
    async with sessions() as session, session.begin():
        await session.execute(delete(RosterImport).where(RosterImport.id == import_id))


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[RosterFile]:
    """In a thread: what a zip holds is found out by reading it."""
    with ExitStack() as stack:
        yield await asyncio.to_thread(stack.enter_context, open_roster(path))


async def confirm_roster(
    sessions: Sessions, import_id: UUID, run: RosterRun, *, tell: Tell
) -> RosterImportAnswer:
    """Apply an import that was compared, held or cut off, with what is held. May be repeated.

    Audited. Raises NotFoundError.
    """
    await _get_state(sessions, import_id)
    await release_held(sessions, import_id)
    await _apply(sessions, import_id, run, tell)
    return await _report(sessions, import_id)


async def _stage(
    sessions: Sessions,
    file: RosterFile,
    import_id: UUID,
    caller: str,
    *,
    max_bytes: int,
    tell: Tell,
) -> None:
    """Rows into the database, in batches."""
    async with sessions() as session, session.begin():
        await session.execute(insert(RosterImport).values(id=import_id, is_whole=file.is_whole))
        about = str(import_id)
        await record_audit(session, caller, "sensitive_create", user_id=None, import_id=about)
    meter = Meter(max_bytes)
    rows = file.rows(meter)
    number = 0
    # In a thread: reading takes the processor, and other requests want it as well.
    while batch := await asyncio.to_thread(lambda: list(islice(rows, BATCH_ROWS))):
        for place, row in enumerate(batch):
            row |= {"import_id": import_id, "number": number + place}
        async with sessions() as session, session.begin():
            await session.execute(_INSERT, batch)
            await session.execute(_FIND_COURSES, {"import_id": import_id, "first": number})
        number += len(batch)
        await tell("read", min(meter.read, file.size), file.size)
    if number >= MANY_ROWS:
        async with sessions() as session, session.begin():
            for statement in _ANALYZE:
                await session.execute(statement)


async def _set_state(sessions: Sessions, import_id: UUID, state: str) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(RosterImport).where(RosterImport.id == import_id).values(state=state)
        )


async def _apply(sessions: Sessions, import_id: UUID, run: RosterRun, tell: Tell) -> None:
    async with sessions() as session, session.begin():
        await record_audit(
            session, run.caller, "sensitive_update", user_id=None, import_id=str(import_id)
        )
    await _set_state(sessions, import_id, "applying")
    await apply_roster(sessions, import_id, run, tell=partial(tell, "apply"))
    await _finish(sessions, import_id, run)


async def _finish(sessions: Sessions, import_id: UUID, run: RosterRun) -> None:
    async with sessions() as session, session.begin():
        counts = await _count(session, import_id)
        held = sum(by_outcome["held"] for by_outcome in counts.values())
        await session.execute(
            update(RosterImport)
            .where(RosterImport.id == import_id)
            .values(state="held" if held else "applied", applied_at=run.now)
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


async def _report(sessions: Sessions, import_id: UUID) -> RosterImportAnswer:
    """Raises NotFoundError."""
    state = await _get_state(sessions, import_id)
    async with sessions() as session, session.begin():
        counts = await _count(session, import_id)
        examples = await _list_examples(session, import_id)
    rows = sum(sum(by.values()) for source, by in counts.items() if source != "absent")
    report = {"id": import_id, "state": state, "rows": rows, "counts": counts}
    return RosterImportAnswer.model_validate(report | {"examples": examples})


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


async def _list_examples(session: Session, import_id: UUID) -> list[dict[str, Any]]:
    """The first MAX_EXAMPLES, what is wrong before what is held and what is skipped."""
    rank: Any = case({"error": 0, "held": 1}, value=RosterRow.outcome, else_=2)
    found = await session.execute(
        select(*(getattr(RosterRow, name) for name in RosterRowAnswer.model_fields))
        .where(
            RosterRow.import_id == import_id,
            RosterRow.outcome.in_(("error", "held", "skipped")),
        )
        .order_by(rank, RosterRow.number)
        .limit(MAX_EXAMPLES)
    )
    return [dict(row) for row in found.mappings()]
