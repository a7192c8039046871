"""How long everything is kept (SECURITY section 7): a page of rules, and a pass that follows them.

Rows go in batches that other passes skip, so any number of workers may run, and none holds a lock
for long. What has no rule stays until its student is erased: accounts, submissions, evidence, XP.
Files on their way are swept by `files.uploads`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Text,
    cast,
    delete,
    extract,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute

from app.database import Sessions
from app.deliveries.end_waiting import IS_UNTOLD
from app.deliveries.send_receipt import sends_receipts
from app.models import (
    LMS_EVENTS,
    PERSONAL_EVENTS,
    PERSONAL_KEYS,
    PLATFORM,
    ActivityEvent,
    ActivityHour,
    AuditEntry,
    ConsoleSession,
    GradeAttempt,
    IdempotencyKey,
    InboxDelivery,
    Job,
    LmsSession,
    RosterImport,
    RosterRow,
    SparkAuthCode,
    SsoReplay,
    SubmissionRevision,
    Table,
)
from app.settings import INBOX_LEFTOVER_DAYS, Settings

BATCH_ROWS = 1000
CODES_KEPT = timedelta(hours=24)
LEFTOVER = timedelta(days=INBOX_LEFTOVER_DAYS)
A_MONTH = timedelta(days=30)
A_QUARTER = timedelta(days=90)
AN_HOUR = timedelta(hours=1)

NOBODYS: Mapping[str, Any] = {
    "user_id": None,
    "session_id": func.gen_random_uuid(),
    "user_agent": None,
    "referrer_url": None,
    "event_data": ActivityEvent.event_data.op("-")(cast(PERSONAL_KEYS, ARRAY(Text))),
    "anonymized_at": func.now(),
}


@dataclass(frozen=True)
class Rule:
    """Rows of `table` go once any of the moments is older than `kept`.

    A rule is about rows that it `concerns`; without moments all of them go. With `values` rows stay
    and get these values instead. For people: `what` of the table it is, if not all of it, and the
    `setting` that says so.
    """

    name: str
    table: type[Table]
    moments: Sequence[InstrumentedAttribute[Any]]
    kept: timedelta
    concerns: ColumnElement[bool] = true()  # noqa: RUF009 - it holds no state
    values: Mapping[str, Any] | None = None
    what: str = ""
    setting: str = ""

    @property
    def is_due(self) -> ColumnElement[bool]:
        """The condition on a row."""
        if not self.moments:
            return self.concerns
        return self.concerns & or_(*(moment < func.now() - self.kept for moment in self.moments))


def rules(settings: Settings) -> Sequence[Rule]:
    inbox = timedelta(days=settings.inbox_retention_days)
    untold = IS_UNTOLD if sends_receipts(settings) else false()
    ends = [LmsSession.expires_at, LmsSession.revoked_at]
    received_at = [InboxDelivery.received_at]
    return (
        Rule("launches", SsoReplay, [SsoReplay.expires_at], CODES_KEPT),
        Rule("codes", SparkAuthCode, [SparkAuthCode.expires_at], CODES_KEPT),
        Rule("sessions", LmsSession, ends, A_MONTH, LmsSession.lms_platform == PLATFORM),
        Rule("console_sessions", ConsoleSession, [ConsoleSession.created_at], CODES_KEPT),
        Rule(
            "deliveries",
            InboxDelivery,
            received_at,
            inbox,
            ~untold,
            setting="INBOX_RETENTION_DAYS",
        ),
        # Without their texts (`end_waiting`), while Spark does not take what it is told of them.
        Rule(
            "deliveries_untold",
            InboxDelivery,
            received_at,
            inbox + LEFTOVER,
            untold,
            what="without its text, while Spark cannot be told what became of it",
        ),
        Rule("grade_attempts", GradeAttempt, [GradeAttempt.ended_at], A_QUARTER),
        Rule("jobs_dead", Job, [Job.died_at], A_QUARTER, what="what was given up"),
        Rule("idempotency_keys", IdempotencyKey, [IdempotencyKey.created_at], max(A_MONTH, inbox)),
        *_of_rosters(),
        *_of_events(settings),
    )


def _of_rosters() -> Sequence[Rule]:
    """The rows first, in batches of their own: an import would take all of its rows at once."""
    imports = Rule("roster_imports", RosterImport, [RosterImport.created_at], A_MONTH)
    cut_off = Rule(
        "roster_imports_cut_off",
        RosterImport,
        [RosterImport.created_at],
        AN_HOUR,
        concerns=RosterImport.state == "reading",
        what="of a file that was not read to its end",
    )
    due_imports = select(RosterImport.id).where(imports.is_due | cut_off.is_due)
    rows = Rule("roster_rows", RosterRow, [], imports.kept, RosterRow.import_id.in_(due_imports))
    return rows, imports, cut_off


def _of_events(settings: Settings) -> Sequence[Rule]:
    personal = timedelta(days=settings.activity_personal_days)
    audit = timedelta(days=settings.audit_retention_days)
    event_at = [ActivityEvent.created_at]
    are_lms: Any = LMS_EVENTS
    are_personal: Any = PERSONAL_EVENTS
    by_audit = "AUDIT_RETENTION_DAYS"
    return (
        Rule("activity", ActivityEvent, event_at, audit, concerns=are_lms, setting=by_audit),
        Rule(
            "activity_personal",
            ActivityEvent,
            event_at,
            personal,
            concerns=are_lms & are_personal,
            values=NOBODYS,
            what="whom it is about",
            setting="ACTIVITY_PERSONAL_DAYS",
        ),
        Rule("activity_hours", ActivityHour, [ActivityHour.hour], audit, setting=by_audit),
        Rule("audit_log", AuditEntry, [AuditEntry.occurred_at], audit, setting=by_audit),
    )


async def apply_rule(sessions: Sessions, rule: Rule) -> int:
    """The count of rows that went."""
    statement = _batch(rule)
    gone, last = 0, BATCH_ROWS
    while last == BATCH_ROWS:
        async with sessions() as session, session.begin():
            last = (await session.execute(statement)).rowcount
        gone += last
    return gone


def _batch(rule: Rule) -> Any:
    table: Any = rule.table.__table__
    key = table.primary_key.columns
    batch = select(*key).where(rule.is_due).limit(BATCH_ROWS).with_for_update(skip_locked=True)
    act = delete(rule.table) if rule.values is None else update(rule.table).values(rule.values)
    return act.where(tuple_(*key).in_(batch))


@dataclass(frozen=True)
class RetentionCount:
    """`kept` is None for what stays until its student is erased."""

    name: str
    kept: timedelta | None
    rows: int
    oldest: datetime | None


async def report_retention(sessions: Sessions, settings: Settings) -> list[RetentionCount]:
    """What is there of each rule, then the submissions of each year."""
    counts = []
    for rule in rules(settings):
        if not rule.moments:
            continue
        counted = select(func.count(), func.min(rule.moments[0])).where(rule.concerns)
        async with sessions() as session, session.begin():
            rows, oldest = (await session.execute(counted.select_from(rule.table))).one()
        counts.append(RetentionCount(rule.name, rule.kept, rows, oldest))
    at = SubmissionRevision.submitted_at
    year: Any = extract("year", at)
    days = settings.submission_retention_days
    kept = None if days is None else timedelta(days=days)
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(year, func.count(), func.min(at)).group_by(year).order_by(year)
        )
        return counts + [
            RetentionCount(f"submissions {each[0]}", kept, *each[1:]) for each in found
        ]
