"""The report that a written retention policy asks for once a year, by organisation: what is held,
what went, and what comes due. It counts, and names nobody.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.clock import first_id, moment_of
from app.database import Sessions, Statement
from app.privacy.expire_submissions import COUNTED_ROWS, IS_HELD_SQL, NOBODY, page_of_old_sql
from app.settings import Settings

END = UUID(int=2**128 - 1)
A_YEAR = timedelta(days=365)
HELD = ("submissions", "files", "received", "on_hold", "due")
GONE = ("submissions", "files", "blocks")
COLUMNS = ("year", "spark_org_id", "oldest", *HELD, *(f"removed_{name}" for name in GONE))

_HELD = Statement(
    f"""
    with r as ({page_of_old_sql(COUNTED_ROWS)})
    select coalesce(c.spark_org_id, '') as spark_org_id, count(*) as submissions,
      sum((
        select count(*) from spark.uploads u
        where u.submission_id = r.id and u.state = 'committed'))::bigint as files,
      count(*) filter (where r.id >= :first::uuid and r.id < :next::uuid) as received,
      count(*) filter (where r.is_held) as on_hold,
      count(*) filter (where r.id < :due_before::uuid and not r.is_held) as due,
      min(r.id::text)::uuid as oldest, max(r.id::text)::uuid as last
    from (select r.*, {IS_HELD_SQL} as is_held from r) r
    left join spark.courses c on c.quest_id = r.quest_id
    group by 1
    """  # noqa: S608 - our own words
)
_GONE = Statement("select * from spark.expiry_counts where year = :year::int")


async def report_expiry(
    sessions: Sessions, settings: Settings, *, year: int, now: datetime
) -> list[dict[str, Any]]:
    """A row for each organisation, by its id; empty is that of courses without one. `due` comes in
    the next 365 days, and is None where SUBMISSION_RETENTION_DAYS is not set.
    """
    days = settings.submission_retention_days
    asked = {
        "first": first_id(datetime(year, 1, 1, tzinfo=UTC)),
        "next": first_id(datetime(year + 1, 1, 1, tzinfo=UTC)),
        "due_before": first_id(now + A_YEAR - timedelta(days=days or 0)),
        "before": END,
    }
    report = await _count_held(sessions, asked)
    async with sessions() as session, session.begin():
        for gone in await _GONE.send(session, {"year": year}):
            row = report.setdefault(gone["spark_org_id"], _row(gone["spark_org_id"]))
            row.update({f"removed_{name}": gone[name] for name in GONE})
    if days is None:
        for row in report.values():
            row["due"] = None
    return [row | {"year": year} for _, row in sorted(report.items())]


async def _count_held(sessions: Sessions, asked: dict[str, Any]) -> dict[str, dict[str, Any]]:
    report: dict[str, dict[str, Any]] = {}
    after = NOBODY
    while True:
        async with sessions() as session, session.begin():
            page = await _HELD.send(session, asked | {"after": after})
        if not page:
            return report
        for counts in page:
            row = report.setdefault(counts["spark_org_id"], _row(counts["spark_org_id"]))
            row["oldest"] = row["oldest"] or moment_of(counts["oldest"]).date().isoformat()
            for name in HELD:
                row[name] += counts[name]
        after = max(counts["last"] for counts in page)


def _row(spark_org_id: str) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS, 0) | {"spark_org_id": spark_org_id, "oldest": None}
