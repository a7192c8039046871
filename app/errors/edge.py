"""What any route may answer."""

from app.errors.kinds import (
    BadRequestError,
    ForbiddenError,
    MissingError,
    UnauthorizedError,
    UnavailableError,
)


class RequestInvalidError(BadRequestError):
    code, title, error = "request_invalid", "Invalid request", "Invalid request"


class FieldMissingError(BadRequestError):
    code, title, error = "field_missing", "Field missing", "Missing required field: {name}"


class FieldInvalidError(BadRequestError):
    code, title, error = "field_invalid", "Invalid field", "Invalid field: {name}"


class JsonInvalidError(BadRequestError):
    code, title, error = "json_invalid", "Invalid JSON", "Invalid JSON"
    hint = (
        "Send one UTF-8 JSON object (RFC 8259), without a byte order mark, without repeated keys,"
        " NaN or Infinity."
    )


class BodyTooLargeError(BadRequestError):
    status, code, title, error = 413, "body_too_large", "Request too large", "Request too large"


class MediaTypeUnsupportedError(BadRequestError):
    status, code = 415, "media_type_unsupported"
    title, error = "Unsupported content type", "Unsupported content type"


class HeaderTooLargeError(BadRequestError):
    status, code = 431, "header_too_large"
    title, error = "Request headers too large", "Request headers too large"


class NotFoundError(MissingError):
    code, title, error = "not_found", "Not found", "Not found"


class MethodNotAllowedError(BadRequestError):
    status, code = 405, "method_not_allowed"
    title, error = "Method not allowed", "Method not allowed"


class CredentialsInvalidError(UnauthorizedError):
    code, title, error = "unauthorized", "Unauthorized", "Unauthorized"
    scheme = "Bearer"
    hint = "Send a service key of this service: `Authorization: Bearer <key>`."


class ScopeMissingError(ForbiddenError):
    code, title, error = "forbidden", "Forbidden", "Forbidden"
    hint = "This service key lacks the scope that the route needs: `python -m app keys list`."


class BodyTimeoutError(UnavailableError):
    status, code, title, error = 408, "body_timeout", "Request timed out", "Request timed out"
    hint = "The body arrived too slowly. Send the request again."


class RateLimitedError(UnavailableError):
    status, code, title = 429, "rate_limited", "Too many requests"
    error = "Too many requests. Please try again later."
    retry_after = 60

    def __init__(self, *, retry_after: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after


class DatabaseUnavailableError(UnavailableError):
    code, title = "database_unavailable", "Database unavailable"


class StorageUnavailableError(UnavailableError):
    code, title = "storage_unavailable", "File storage unavailable"


class OverloadedError(UnavailableError):
    code, title = "overloaded", "Overloaded"
    hint = "The service is at its limit of simultaneous work. Send the same request again."
