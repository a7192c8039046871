"""What operators watch, as Prometheus metrics. Labels are ours alone: route templates and codes."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram, Info

REQUESTS = Counter("spark_requests", "Requests answered.", ("method", "route", "status"))
# The targets are among the bounds: a code 0.2, a sign-in 0.5, a submission 2 s.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10, 30)
SECONDS = Histogram(
    "spark_request_seconds", "Time to answer.", ("route", "kind", "outcome"), buckets=BUCKETS
)
OUTCOMES = Counter("spark_outcomes", "Failures by code.", ("route", "code"))
SUBMISSIONS = Counter("spark_submissions", "Submissions that were kept.", ("outcome",))
UPLOAD_BYTES = Counter("spark_upload_bytes", "Bytes of files that were recorded.")
DROPPED_EVENTS = Counter("spark_dropped_events", "Events of failures that were not written.")
UNKEPT = Counter("spark_unkept_deliveries", "Signed, refused, and not in the inbox.", ("code",))
SPARK_CALLS = Counter("spark_api_calls", "Calls to Spark's API by outcome.", ("path", "code"))
DOWNLOADS = Counter("spark_downloads", "Attempts to fetch files by outcome.", ("code",))
SCANS = Counter("spark_file_scans", "Files shown to the scanner by outcome.", ("outcome",))
PICTURES = Counter("spark_pictures", "HEIC pictures by what became of them.", ("outcome",))
UNCOUNTED = Counter("spark_uncounted_requests", "Let through: the store of rates was down.")
OVERLOADED = Counter("spark_overloaded", "Answered 503 overloaded.", ("limit",))
POOL_SIZE = Gauge("spark_database_connections_max", "Connections the pool may have.")
POOL_IN_USE = Gauge("spark_database_connections_in_use", "Connections of the pool in use.")
POOL_WAITING = Gauge("spark_database_waiters", "Who waits for a connection of the pool.")
EVENTS_WAITING = Gauge("spark_events_waiting", "Events of failures not yet written.")
UPLOADS_RUNNING = Gauge("spark_uploads_running", "Uploads being received.")
LARGE_SAVES_RUNNING = Gauge("spark_large_saves_running", "Large evidence being saved.")
BUILD = Info("spark_build", "What runs.")
# Of the worker, and of the whole database when it looked.
LAST_PASS = Gauge("spark_worker_last_pass_timestamp_seconds", "When the last sweep ended.")
SWEPT = Counter("spark_worker_swept", "What sweeps did or removed.", ("step",))
STEP_FAILURES = Counter("spark_worker_step_failures", "Steps of sweeps that failed.", ("step",))
UPLOADS_PENDING = Gauge("spark_uploads_pending", "Files that arrive, or wait to be removed.")
ERASURES_OPEN = Gauge("spark_erasures_open", "Erasures that were begun and are not finished.")
JOBS_WAITING = Gauge("spark_jobs_waiting", "Jobs to be done, due or not.", ("kind",))
JOBS_LATE = Gauge(
    "spark_jobs_oldest_waiting_seconds", "How long the first that could begin is due.", ("kind",)
)
JOBS_DEAD = Gauge("spark_jobs_dead", "Jobs that were given up.", ("kind",))
ALERT_FIRING = Gauge("spark_alert_firing", "1: operators are told.", ("name",))
TARGET_OPEN = Gauge("spark_target_open", "1: it is called; 0: its jobs wait.", ("target",))

KEPT = {outcome: SUBMISSIONS.labels(outcome) for outcome in ("created", "revised", "duplicate")}
# By the status; 0: the client left before there was one.
OF_STATUS = {0: "left", 2: "ok", 3: "ok", 4: "refused", 5: "failed"}


@cache
def of_request(method: str, route: str, status: int | None, kind: str) -> tuple[Counter, Histogram]:
    """Its counter and its seconds: to look for them by their labels costs as much as to count."""
    outcome = OF_STATUS[(status or 0) // 100]
    return REQUESTS.labels(method, route, status), SECONDS.labels(route, kind, outcome)
