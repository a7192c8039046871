"""What operators watch, as Prometheus metrics. Labels are ours alone: route templates and codes."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("spark_requests", "Requests answered.", ("method", "route", "status"))
SECONDS = Histogram("spark_request_seconds", "Time to answer.", ("route",))
OUTCOMES = Counter("spark_outcomes", "Failures by code.", ("route", "code"))
UPLOAD_BYTES = Counter("spark_upload_bytes", "Bytes of files that were recorded.")
DROPPED_EVENTS = Counter("spark_dropped_events", "Events of failures that were not written.")
UNKEPT = Counter("spark_unkept_deliveries", "Signed, refused, and not in the inbox.", ("code",))
UNCOUNTED = Counter("spark_uncounted_requests", "Let through: the store of rates was down.")
POOL_IN_USE = Gauge("spark_database_connections_in_use", "Connections of the pool in use.")
EVENTS_WAITING = Gauge("spark_events_waiting", "Events of failures not yet written.")
UPLOADS_RUNNING = Gauge("spark_uploads_running", "Uploads being received.")
LARGE_SAVES_RUNNING = Gauge("spark_large_saves_running", "Large evidence being saved.")
