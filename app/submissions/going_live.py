"""What was really seen before students rely on it: the status report's checklist, with the moments.

What was seen once stays so, however long ago it is, and is not looked for again.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from app.activity.audit import record_audit
from app.database import Sessions, Statement
from app.deliveries.inbox import JSON, SUBMISSION_ROUTE
from app.errors import LaunchTokenReplayedError, NotFoundError
from app.files.file_types import FAMILIES
from app.settings import Settings

RESTORE = "restore"  # which a person alone can know of
NEWEST = 5_000  # of files, deliveries or events, among which is looked for what no index finds
_FILE = "file_"


class Step(NamedTuple):
    """Until `seen_at`, `how` says what to do."""

    name: str
    sentence: str
    how: str
    seen_at: datetime | None


# What S608 warns of below is put together of our own words.
def _event(kind: str, message: str | None = None) -> str:
    condition = f"where event_data ->> 'error_message' = '{message}'" if message else ""
    return f"""select max(created_at) from (
          select created_at, event_data from user_activity_events
          where event_category = 'lms' and event_type = '{kind}'
          order by created_at desc limit {NEWEST}) newest {condition}"""  # noqa: S608


def _delivery(condition: str, table: str = "newest") -> str:
    return f"""select received_at from {table} d where code is null and {condition}
        and route = '{SUBMISSION_ROUTE}' order by id desc limit 1"""  # noqa: S608


def _file(family: str) -> str:
    types = ", ".join(f"'{known.media_type}'" for known in FAMILIES[family])  # type: ignore[index]
    return f"""select max(created_at) from (
          select content_type, created_at from spark.uploads
          where state = 'committed' and derived_from is null
          order by id desc limit {NEWEST}) newest
        where content_type in ({types})"""  # noqa: S608


# Of each step what was seen, what to do until then, and when it was last.
_STEPS: Mapping[str, tuple[str, str, str]] = {
    "launch": (
        "A student entered from Spark",
        "Click an Optio link in Spark as a test student.",
        _event("spark_sso_success"),
    ),
    "launch_expired": (
        "An expired launch was refused",
        "Open a launch link that is older than 10 minutes.",
        _event("spark_sso_token_expired"),
    ),
    "launch_reused": (
        "A used launch was refused",
        "Open a launch link a second time, once the first sign-in is finished.",
        _event("spark_sso_failed", LaunchTokenReplayedError.title),
    ),
    "code": (
        "A code was redeemed",
        "Let the front end's callback page finish a sign-in.",
        _event("spark_token_exchange_success"),
    ),
    "json": (
        "Homework came as JSON",
        "Hand in a text in Spark.",
        _delivery(f"media_type = '{JSON}'"),
    ),
    "form": (
        "Homework came as a form",
        "Hand in a file in Spark.",
        _delivery("media_type = 'multipart/form-data'"),
    ),
    **{
        f"{_FILE}{family}": (
            f"A file came, of the {family}",
            f"Hand in a file of the {family}, or take them out of ALLOWED_FILE_TYPES.",
            _file(family),
        )
        for family in FAMILIES
    },
    "resubmission": (
        "Homework was handed in again, changed",
        "Change homework in Spark and hand it in again.",
        """select replaced_at from spark.submission_revisions where replaced_at is not null
        order by id desc limit 1""",
    ),
    "duplicate": (
        "The same message came twice",
        "Let Spark send one message a second time.",
        _delivery(
            "is_again and (select o.id from spark.deliveries o where o.digest = d.digest"
            " and o.id < d.id and o.code is null limit 1) is not null"
        ),
    ),
    "retry": (
        "Homework that was refused was taken later",
        "Hand in as a student who never entered, enter, and let Spark send it again.",
        _delivery(
            "(select r.id from spark.deliveries r where r.spark_user_id = d.spark_user_id"
            " and r.id < d.id and r.spark_assignment_id = d.spark_assignment_id"
            " and r.code is not null limit 1) is not null"
        ),
    ),
    "secret_old": (
        "Spark signed with the old webhook secret",
        "Rotate it: first the new one here, the old one as SPARK_WEBHOOK_SECRET_PREVIOUS.",
        _delivery("by_previous", "spark.deliveries"),
    ),
    "secret_new": (
        "Spark signed with the new webhook secret",
        "Give Spark the new secret, then take the old one out here.",
        _delivery(
            "not by_previous and id > (select max(id::text)::uuid from spark.deliveries"
            " where by_previous)",
            "spark.deliveries",
        ),
    ),
    "v0": (
        "A message was signed by X-Spark-Signature",
        "Hand in from Spark as it signs today.",
        _delivery("webhook_id is null"),
    ),
    "v1": (
        "A message was signed by Standard Webhooks",
        "Let Spark send webhook-id, webhook-timestamp and webhook-signature.",
        _delivery("webhook_id is not null"),
    ),
    "grade": (
        "A grade was delivered to Spark",
        "Set SPARK_API_URL and grade a test student's homework.",
        _event("spark_grade_sync_success"),
    ),
    RESTORE: (
        "A restore was rehearsed",
        "Restore a backup into another database, as docs/operations.md says; then mark it here.",
        "select null::timestamptz",
    ),
}
_LOOK = Statement(
    f"""
    with newest as materialized (
      select id, code, route, media_type, received_at, digest, webhook_id, spark_user_id,
        spark_assignment_id, message is null as is_again
      from spark.deliveries where code is null order by id desc limit {NEWEST}),
    seen as (
      select name, case name {" ".join(f"when '{n}' then ({s[2]})" for n, s in _STEPS.items())} end
        as seen_at
      from unnest(:names::text[]) as step (name)
      where not exists (select from spark.milestones m where m.name = step.name)),
    kept as (
      insert into spark.milestones (name, seen_at)
      select name, seen_at from seen where seen_at is not null on conflict do nothing)
    select name, seen_at from seen
    union all select name, seen_at from spark.milestones
    """  # noqa: S608 - our own words
)
_MARK = Statement(
    """
    insert into spark.milestones (name, seen_at, marked_by) values (:name, now(), :caller)
    on conflict do nothing
    """
)


async def look_at_steps(sessions: Sessions, settings: Settings) -> list[Step]:
    """All that concern this service, in the order in which they are done."""
    names = list(_names(settings))
    async with sessions() as session, session.begin():
        rows = await _LOOK.send(session, {"names": names})
    seen = {row["name"]: row["seen_at"] for row in rows}
    return [Step(name, *_STEPS[name][:2], seen[name]) for name in names]


def _names(settings: Settings) -> Iterator[str]:
    families = {f"{_FILE}{family}" for family in settings.allowed_file_types}
    for name in _STEPS:
        if name in families or not name.startswith(_FILE):
            yield name


async def mark_step(sessions: Sessions, name: str, *, caller: str) -> None:
    """What a person saw; the first time counts. Raises NotFoundError. Audited."""
    if name != RESTORE:
        raise NotFoundError
    async with sessions() as session, session.begin():
        await _MARK.send(session, {"name": name, "caller": caller})
        await record_audit(session, caller, "sensitive_update", user_id=None, milestone=name)
