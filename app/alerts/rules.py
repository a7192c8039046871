"""What operators are told of: a page of rules, each with its line of the runbook.

What is counted is carried by indexes of time, so that it does not grow with what is kept. Alerts
themselves are left out: one about them could reach nobody. A new rule is one more entry, and its
line in docs/operations.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, gt, lt

from app.activity.kinds import UNWRITTEN

ALERT, ALERTS = "alert", "alerts"  # the kind of job, and whom it calls
SUBMISSION = "/spark/webhook/submission"


@dataclass(frozen=True)
class Rule:
    """`found` gives rows of a `code` and `n`, how often it was found; `value` makes one number of
    them, null where there is too little to judge. That fires which is `beyond` the threshold.

    For people: `condition` says when that is, `says` what was found, the others are the runbook.
    """

    name: str
    threshold: int
    beyond: Callable[[float, float], bool]
    condition: str
    found: str
    value: str
    says: str
    means: str
    look: str
    do: str


# ruff: noqa: S608 - of our own words
def _burst(what: str) -> str:
    """`most`: within a minute. A pass may come late, so three of them are looked at."""
    return f"""
    select code, count(*) as n, max(within) as most from (
      select coalesce(event_data ->> 'error_type', event_type) as code,
        count(*) over (order by created_at range interval '1 minute' preceding) as within
      from user_activity_events
      where event_category = 'lms' and {what}
        and created_at > :now::timestamptz - interval '3 minutes') each
    group by code
    """


def _failures(what: str) -> str:
    """Of an hour; what could only be counted says `times`."""
    return f"""
    select event_data ->> 'error_type' as code,
      sum(coalesce((event_data ->> 'times')::bigint, 1)) as n
    from user_activity_events
    where event_category = 'lms' and {what}
      and created_at > :now::timestamptz - interval '1 hour'
    group by code
    """


def _percent(of: str, success: str, *, least: int) -> str:
    """Of failures, or of successes, if there were so many of both within an hour."""
    return f"""
    (select case when good + bad >= {least} then 100.0 * {of} / (good + bad) end
    from (
      select count(*) as good, (select coalesce(sum(n), 0) from found) as bad
      from user_activity_events
      where event_category = 'lms' and event_type = '{success}'
        and created_at > :now::timestamptz - interval '1 hour') of_both)
    """


def _targets(state: str) -> str:
    return f"""
    select coalesce(reason, state) as code, count(*) as n, min(since) as first
    from spark.job_targets where state = '{state}' and name <> '{ALERTS}' group by code
    """


# By target, for what waits for one that is not called is not late. Spark may never have been. Where
# nobody makes JPEG of HEIC, pictures wait for good.
_LATE = f"""
    with of_it as (
      select name from spark.job_targets where state = 'open' and name <> '{ALERTS}'
      union
      select 'spark' where not exists (select from spark.job_targets where name = 'spark')),
    late as (
      select due.* from of_it cross join lateral (
        select kind, run_at from spark.jobs
        where state = 'waiting' and target = of_it.name
          and run_at < :now::timestamptz - :threshold::int * interval '1 minute'
        order by run_at limit 1000) due
      union all (
        select kind, run_at from spark.jobs
        where state = 'waiting' and target is null and kind <> 'picture'
          and run_at < :now - :threshold * interval '1 minute'
        order by target, run_at limit 1000))
    select kind as code, count(*) as n, min(run_at) as first from late group by kind
"""
_MINUTES = "extract(epoch from :now::timestamptz - min(first)) / 60"
_SEEN_BY = "`python -m app jobs targets`: which, why, and when the next call is."

RULES = (
    Rule(
        "sign_in_failures",
        5,
        ge,
        "≥ 5 in a minute",
        _burst(
            "event_type in"
            " ('spark_sso_failed', 'spark_sso_token_expired', 'spark_sso_invalid_token')"
        ),
        "max(most)",
        "{:g} sign-ins failed within a minute.",
        "Students do not get in.",
        "`GET /internal/v1/activity?status=failed`: `error_type` says why, `address_hash` whether"
        " it is one sender.",
        "`invalid_signature`: compare the secrets by `python -m app secrets fingerprint`."
        " `token_expired`: Spark's clock is wrong, or links are old. `unavailable`: `/readyz`.",
    ),
    Rule(
        "signature_failures",
        10,
        ge,
        "≥ 10 in a minute",
        _burst(
            "(event_type = 'spark_webhook_invalid_signature' or event_type = 'spark_webhook_failed'"
            " and event_data ->> 'error_type' = 'missing_signature')"
        ),
        "max(most)",
        "{:g} messages had no right signature within a minute.",
        "Homework is refused, or somebody tries.",
        "The `hint` of the answers names known mistakes; one `address_hash` in `activity` is one"
        " sender.",
        "After a rotation: let Spark sign with the new secret, or set"
        " SPARK_WEBHOOK_SECRET_PREVIOUS. `missing_signature`: a proxy takes the header away. A"
        " stranger: nothing, limits hold.",
    ),
    Rule(
        "download_failures",
        10,
        gt,
        "> 10 % of ≥ 10 in an hour",
        _failures("event_type = 'spark_file_download_failed'"),
        _percent("bad", "spark_file_download_success", least=10),
        "{:g} % of the files by URL were given up within an hour.",
        "Files are missing in evidence that is otherwise there.",
        "`GET /internal/v1/downloads?state=dead`: the `code` of each.",
        "`status_403`, `status_404`: Spark's links end too soon. Then fetch again:"
        " `POST /internal/v1/downloads/{id}/retry`, or let Spark send it again.",
    ),
    Rule(
        "submission_success",
        95,
        lt,
        "< 95 % of ≥ 20 in an hour",
        _failures(
            f"event_type in ('spark_webhook_failed', '{UNWRITTEN}') and page_url = '{SUBMISSION}'"
            " and event_data ->> 'error_type' in ('unavailable', 'processing_error')"
        ),
        _percent("good", "spark_webhook_success", least=20),
        "{:.3g} % of the submissions of an hour were taken. What is Spark's fault is not counted.",
        "Homework is answered 503 or 500. Spark sends it again for a while.",
        "`/readyz` names what is away; the log's `database_failed`, `storage_failed`,"
        " `file_not_scanned` and `overloaded` say why.",
        "End the cause, then follow *After an outage*: count, replay, ask again.",
    ),
    Rule(
        "target_down",
        10,
        gt,
        "> 10 minutes",
        _targets("paused"),
        _MINUTES,
        "A target has not been called for {:.0f} minutes.",
        "Spark, or a host of files, does not answer, or somebody paused it. Its jobs wait, none is"
        " lost.",
        _SEEN_BY,
        "Ask whoever runs it; it is tried every 15 minutes by itself. `by_hand`:"
        " `python -m app jobs resume NAME`.",
    ),
    Rule(
        "target_refused",
        1,
        ge,
        "any",
        _targets("refused"),
        "sum(n)",
        "Targets that refuse us: {:g}.",
        "401, 403, a redirection or a certificate: our key or the address is wrong. Its jobs wait,"
        " none is lost.",
        _SEEN_BY,
        "Set the right SPARK_API_KEY, SPARK_OUTBOUND_SECRET or SPARK_API_URL; then"
        " `python -m app grades test`.",
    ),
    Rule(
        "dead_jobs",
        1,
        ge,
        "any in 10 minutes",
        f"""
        select kind as code, count(*) as n from spark.jobs
        where state = 'dead' and died_at > :now::timestamptz - interval '10 minutes'
          and kind <> '{ALERT}'
        group by kind
        """,
        "sum(n)",
        "Jobs that were given up within 10 minutes: {:g}.",
        "A grade, a receipt, a file or a replay will not be done.",
        "`python -m app jobs list --state dead`: the `reason`; of a grade `GET"
        " /internal/v1/grades/{id}` has Spark's answers.",
        "End the cause, then `python -m app jobs retry --kind … --reason …`.",
    ),
    Rule(
        "jobs_late",
        15,
        gt,
        "> 15 minutes",
        _LATE,
        _MINUTES,
        "A job is {:.0f} minutes late.",
        "No worker runs that knows the job's kind, or more is ordered than is done.",
        "`spark_worker_last_pass_timestamp_seconds`, `python -m app jobs list --state waiting`, the"
        " log's `jobs_not_claimed`.",
        "Start `serve` or `worker` with all settings that the others have, or one more of them.",
    ),
    Rule(
        "submissions_expire",
        1,
        ge,
        "any announced in a day",
        """
        select 'submissions' as code, submissions as n from spark.expiry_notices
        where submissions > 0 and announced_at > :now::timestamptz - interval '1 day'
        """,
        "sum(n)",
        "Submissions that go in 30 days: {:.0f}.",
        "They will be older than SUBMISSION_RETENTION_DAYS. Completions, XP and what students wrote"
        " stay.",
        "`python -m app retention report`: what comes due, by organisation.",
        "Nothing, if the school agreed to it. Else `python -m app hold add`, or a longer"
        " SUBMISSION_RETENTION_DAYS.",
    ),
    Rule(
        "location_unknown",
        1,
        ge,
        "any in an hour",
        """
        select content_type as code, count(*) as n from spark.uploads
        where location = 'unknown' and created_at > :now::timestamptz - interval '1 hour'
        group by content_type
        """,
        "sum(n)",
        "Pictures or films that could not be read within an hour: {:g}.",
        "Their place, if they have one, was not taken out: they are stored as they were sent.",
        "`spark.uploads` where `location` is `unknown`; `explain` counts those of a homework.",
        "Look at one by `exiftool`. A cut or broken file has no more in it; a whole one is a fault"
        " here: report its kind.",
    ),
    Rule(
        "files_unscanned",
        1,
        ge,
        "any in an hour",
        """
        select scan as code, count(*) as n from spark.uploads
        where scan = 'unscanned' and created_at > :now::timestamptz - interval '1 hour'
        group by scan
        """,
        "sum(n)",
        "Files that came while the malware scanner was away, within an hour: {:g}.",
        "FILE_SCAN_REQUIRED=false stored them unseen: readers may open them.",
        "`python -m app doctor` tries the scanner; the log's `file_not_scanned` has the `reason`.",
        "Mend clamd, then have it scan the objects of `spark.uploads` where `scan` is `unscanned`.",
    ),
)
