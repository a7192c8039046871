"""What a failed request leaves behind: a count for its address, a metric, an activity event.

Event types are those of CONTRACT 9.1. Events name no person and look nobody up (DESIGN R23), and
keep of the address a keyed hash (SECURITY promise 7). They wait in a bounded queue, and of requests
that are answered 429 only a count is kept: who floods us writes no more rows than the limits allow.
"""

from pydantic import SecretStr
from starlette.requests import Request

from app import metrics
from app.errors import (
    AccountLinkForbiddenError,
    AssignmentAmbiguousError,
    AssignmentNotFoundError,
    CodeAlreadyRedeemedError,
    CodeExpiredError,
    CodeInvalidError,
    FieldMissingError,
    LaunchTokenExpiredError,
    LaunchTokenInvalidError,
    LaunchTokenMissingError,
    MessageSupersededError,
    RateLimitedError,
    ServiceError,
    SignatureMismatchError,
    SignatureMissingError,
    StudentErasedError,
    StudentNotFoundError,
    TimestampInFutureError,
    TimestampTooOldError,
    UnauthorizedError,
    UnavailableError,
)
from app.signing import sign

SSO, TOKEN, DEEP_LINK = "/spark/sso", "/spark/token", "/spark/deep-link"
SUBMISSION, COURSE, ROSTER = (
    f"/spark/webhook/{name}" for name in ("submission", "course", "roster")
)
WINDOW = tuple(f"/spark/webhook/{name}" for name in ("deliveries", "deliveries/replay", "ping"))
WEBHOOKS = (SUBMISSION, COURSE, ROSTER, *WINDOW)
SERVER_ERRORS = 500
ADDRESS_HASH_DIGITS = 16

# The setting that limits a route's failures per address. Of webhooks only failed authentication
# counts, because a 429 makes old senders drop homework (DESIGN R14).
LIMITS = {
    SSO: "rate_limit_sso",
    DEEP_LINK: "rate_limit_sso",
    TOKEN: "rate_limit_token",
    SUBMISSION: "rate_limit_webhook_failures",
    COURSE: "rate_limit_course_failures",
    ROSTER: "rate_limit_course_failures",
    **dict.fromkeys(WINDOW, "rate_limit_webhook_failures"),
}

_OF_A_COURSE: dict[type[ServiceError], tuple[str, str] | None] = {
    SignatureMismatchError: ("spark_webhook_invalid_signature", "invalid_signature"),
    MessageSupersededError: ("spark_webhook_replay_attack", "message_superseded"),
}
# (event_type, error_type); the last two of a route are for other 4xx and for the unexpected; what
# is 503 is `unavailable` everywhere.
EVENTS: dict[str, dict[type[ServiceError], tuple[str, str] | None]] = {
    SSO: {
        LaunchTokenMissingError: ("spark_sso_failed", "missing_token"),
        LaunchTokenExpiredError: ("spark_sso_token_expired", "token_expired"),
        LaunchTokenInvalidError: ("spark_sso_invalid_token", "invalid_signature"),
        AccountLinkForbiddenError: ("spark_sso_failed", "account_link_forbidden"),
    },
    DEEP_LINK: {},
    TOKEN: {
        CodeInvalidError: ("spark_token_exchange_failed", "invalid_code"),
        CodeAlreadyRedeemedError: None,  # written where the code's owner is known
        CodeExpiredError: None,
    },
    SUBMISSION: {
        SignatureMissingError: ("spark_webhook_failed", "missing_signature"),
        SignatureMismatchError: ("spark_webhook_invalid_signature", "invalid_signature"),
        TimestampTooOldError: ("spark_webhook_replay_attack", "old_timestamp"),
        TimestampInFutureError: ("spark_webhook_replay_attack", "old_timestamp"),
        FieldMissingError: ("spark_webhook_failed", "missing_field"),
        StudentNotFoundError: ("spark_webhook_failed", "user_not_found"),
        StudentErasedError: ("spark_webhook_failed", "user_not_found"),
        AssignmentNotFoundError: ("spark_webhook_failed", "quest_not_found"),
        AssignmentAmbiguousError: ("spark_webhook_failed", "quest_not_found"),
    },
    COURSE: _OF_A_COURSE,
    ROSTER: _OF_A_COURSE,
}
OTHERS = {
    SSO: ("spark_sso_failed", "validation_error", "user_creation_error"),
    DEEP_LINK: ("spark_deep_link_failed", "validation_error", "processing_error"),
    TOKEN: ("spark_token_exchange_failed", "invalid_code", "exchange_error"),
    SUBMISSION: ("spark_webhook_failed", "invalid_data", "processing_error"),
    COURSE: ("spark_course_sync_failed", "invalid_data", "processing_error"),
    ROSTER: ("spark_roster_failed", "invalid_data", "processing_error"),
}


def note_failure(request: Request, error: ServiceError) -> ServiceError:
    """The error to answer: this one, or RateLimitedError when its address failed too often."""
    path = request.url.path
    answered = _limited(request, path, error)
    if path in EVENTS:
        metrics.OUTCOMES.labels(path, answered.code).inc()
        if isinstance(answered, RateLimitedError):
            events = request.app.state.resources.failure_events
            events.put_limited(page_url=path, error_message=answered.title)
        else:
            _enqueue(request, path, error)
    return answered


def is_limited(request: Request) -> bool:
    """Whether one more failure of this address here is answered 429, and so leaves no trace."""
    path, resources = request.url.path, request.app.state.resources
    return resources.limits.is_spent(  # type: ignore[no-any-return]
        path, request.state.client_address, per_minute=getattr(resources.settings, LIMITS[path])
    )


def _limited(request: Request, path: str, error: ServiceError) -> ServiceError:
    setting = LIMITS.get(path)
    counts = isinstance(error, UnauthorizedError) or path not in WEBHOOKS
    already = isinstance(error, RateLimitedError)
    if setting is None or not counts or already or error.status >= SERVER_ERRORS:
        return error
    resources = request.app.state.resources
    try:
        resources.limits.count_failure(
            path, request.state.client_address, per_minute=getattr(resources.settings, setting)
        )
    except RateLimitedError as limited:
        return limited
    return error


def _enqueue(request: Request, path: str, error: ServiceError) -> None:
    event_type, invalid, unexpected = OTHERS[path]
    if error.status >= SERVER_ERRORS:
        invalid = "unavailable" if isinstance(error, UnavailableError) else unexpected
    event = EVENTS[path].get(type(error), (event_type, invalid))
    if event is None:
        return
    resources = request.app.state.resources
    event_type, error_type = event
    resources.failure_events.put(
        event_type,
        error_type=error_type,
        error_message=error.title,
        request_id=request.state.request_id,
        address_hash=_hash(request.state.client_address, resources.address_key),
        page_url=path,
        **error.said,
    )


def _hash(address: str, key: SecretStr) -> str:
    """Addresses are few enough to try them all: only the key makes it one-way."""
    return sign(key, address.encode())[:ADDRESS_HASH_DIGITS]
