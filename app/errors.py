"""Every failure this service names, on one page: code, status and the old `error` text.

    ServiceError
    ├── BadRequestError        the sender must change the request (400, 413, 415, 422, 431)
    ├── UnauthorizedError      the sender did not prove who it is (401)
    ├── ForbiddenError         known, and not allowed (403, 409)
    ├── MissingError           what was asked for does not exist (404)
    └── UnavailableError       try again later (408, 409, 429, 503)

`api.problems` turns them into responses and into the OpenAPI documentation, so a code exists
once. Texts in `error` are read by old clients (CONTRACT 3, 4, 7.6); `{…}` is filled from the
keyword arguments and never reaches a log.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FileProblem:
    """What is wrong with one file of a submission; `file` is the sender's own name for it."""

    file: str
    code: str
    detail: str


class ServiceError(Exception):
    """A failure with a stable code. `error` is the text old clients show; `hint` says what to do.

    `files` names every file at fault when there are several; the error itself is the first one's.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    error: ClassVar[str] = "Internal error"
    hint: ClassVar[str | None] = None
    retry_after: ClassVar[int | None] = None

    def __init__(self, *, hint: str | None = None, **values: object) -> None:
        super().__init__(self.code)
        self.error_text = self.error.format(**values)
        self.hint_text = hint or self.hint
        self.files: list[FileProblem] = []


class BadRequestError(ServiceError):
    status = 400


class UnauthorizedError(ServiceError):
    """`scheme` is the WWW-Authenticate challenge (RFC 9110 section 11.6.1)."""

    status = 401
    scheme: ClassVar[str] = "Spark"


class ForbiddenError(ServiceError):
    status = 403


class MissingError(ServiceError):
    status = 404


class UnavailableError(ServiceError):
    status = 503
    error = "Service temporarily unavailable"
    retry_after = 5


# ---------------------------------------------------------------------------- every edge


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


# ---------------------------------------------------------------------------- sign-in


class LaunchTokenMissingError(BadRequestError):
    code, title, error = "token_missing", "Launch token missing", "Missing token parameter"


class LaunchTokenInvalidError(UnauthorizedError):
    code, title, error = "token_invalid", "Launch token invalid", "Invalid token signature"
    hint = (
        "Sign with HS256 and the SSO secret as literal text; the header may hold alg, typ and kid."
    )


class LaunchClaimsInvalidError(UnauthorizedError):
    code, title, error = "token_claims_invalid", "Launch claim invalid", "Invalid token: {claim}"


class LaunchTokenExpiredError(UnauthorizedError):
    code, title, error = (
        "token_expired",
        "Launch token expired",
        "Token expired. Please try again.",
    )
    hint = "Make a new launch token for each click; it may live 10 minutes."


class LaunchTokenReplayedError(UnauthorizedError):
    code, title, error = "token_replayed", "Launch token already used", "Token already used"
    hint = "Make a new launch token for each click."


class RoleNotAllowedError(ForbiddenError):
    code, title, error = "role_not_allowed", "Role not allowed", "Role not allowed"
    hint = "Only students sign in through Spark."


class AccountInactiveError(ForbiddenError):
    code, title, error = "account_inactive", "Account not active", "Account not active"


class AccountLinkForbiddenError(ForbiddenError):
    status, code = 409, "account_link_forbidden"
    title, error = "Account cannot be linked", "Account cannot be linked"
    hint = "The e-mail address belongs to an Optio account that Spark may not sign in to."


class SignInFailedError(ServiceError):
    error = "Failed to create user account"


class SsoNotConfiguredError(UnavailableError):
    code, title, error = "sso_not_configured", "SSO not configured", "SSO not configured"


class TokenExchangeFailedError(ServiceError):
    error = "Token exchange failed"


class CodeMissingError(BadRequestError):
    code, title, error = (
        "code_missing",
        "Authorization code missing",
        "Missing authorization code",
    )
    hint = 'Send a JSON object: {"code": "<the code from the redirect>"}.'


class CodeInvalidError(UnauthorizedError):
    code, title, error = (
        "code_invalid",
        "Authorization code invalid",
        "Invalid authorization code",
    )


class CodeAlreadyRedeemedError(UnauthorizedError):
    code, title = "code_used", "Authorization code already used"
    error = "Authorization code already used"


class CodeExpiredError(UnauthorizedError):
    code, title = "code_expired", "Authorization code expired"
    error = "Authorization code expired"


# ---------------------------------------------------------------------------- submission


class SubmissionFailedError(ServiceError):
    error = "Failed to process submission"


class WebhookNotConfiguredError(UnavailableError):
    code, title = "webhook_not_configured", "Webhook not configured"
    error = "Webhook not configured"


class SignatureMissingError(UnauthorizedError):
    code, title, error = "signature_missing", "Signature missing", "Missing signature"
    hint = (
        "Send X-Spark-Signature: the lower-case hex HMAC-SHA256 of the raw body"
        " (multipart: of the raw bytes of the metadata field)."
    )


class SignatureMismatchError(UnauthorizedError):
    code, title, error = "signature_invalid", "Signature invalid", "Invalid signature"
    hint = (
        "Sign the exact bytes that are sent (multipart: the metadata field's value only), with the"
        " webhook secret as literal text, and send 64 hexadecimal characters."
    )


class TimestampTooOldError(BadRequestError):
    code, title, error = "timestamp_too_old", "Timestamp too old", "Submission timestamp too old"
    hint = "submitted_at may be 5 minutes old. Sign a retry again with a fresh submitted_at."


class TimestampInFutureError(BadRequestError):
    code, title = "timestamp_in_future", "Timestamp in the future"
    error = "Submission timestamp in the future"
    hint = "submitted_at may be 5 minutes ahead. Check the sender's clock and UTC offset."


class ContentMissingError(BadRequestError):
    code, title = "content_missing", "No content"
    error = "Must provide either submission_text or files"


class MetadataMissingError(BadRequestError):
    code, title = "metadata_missing", "Metadata missing"
    error = "Missing metadata field in multipart request"
    hint = "Send the submission's JSON as a text field named metadata, without a file name."


class MetadataDuplicateError(BadRequestError):
    code, title = "metadata_duplicate", "Metadata repeated"
    error = "Duplicate metadata field"


class MultipartInvalidError(BadRequestError):
    code, title, error = "multipart_invalid", "Multipart body invalid", "Invalid multipart body"


class MultipartTruncatedError(BadRequestError):
    code, title, error = (
        "multipart_truncated",
        "Multipart body truncated",
        "Invalid multipart body",
    )
    hint = "The closing boundary never arrived. Send the whole request again."


class TooManyFilesError(BadRequestError):
    code, title, error = "too_many_files", "Too many files", "Too many files"


class FileTooLargeError(BadRequestError):
    status, code, title = 413, "file_too_large", "File too large"
    error = "File {name} exceeds {megabytes}MB limit"


class TotalTooLargeError(BadRequestError):
    status, code, title = 413, "total_too_large", "Files too large in total"
    error = "Total file size exceeds {megabytes}MB limit"


class FileExpandsTooLargeError(BadRequestError):
    status, code, title = 413, "file_expands_too_large", "File too large when unpacked"
    error = "File too large when unpacked"


class FileTypeNotAllowedError(BadRequestError):
    code, title = "file_type_not_allowed", "File type not allowed"
    error = "File type {detected} not allowed"


class UrlNotAllowedError(BadRequestError):
    code, title, error = "url_not_allowed", "File URL not allowed", "Invalid file URL"
    hint = "Files by URL are not accepted yet: send them as multipart/form-data."


class AssignmentNotFoundError(BadRequestError):
    code, title = "assignment_not_found", "Assignment not found"
    error = "Quest not found for assignment: {assignment_id}"
    hint = "Sync the course first, then send the submission again."


class AssignmentAmbiguousError(BadRequestError):
    code, title = "assignment_ambiguous", "Assignment ambiguous"
    error = "Quest not found for assignment: {assignment_id}"
    hint = "Several courses use this assignment id: send spark_course_id."


class StudentNotFoundError(MissingError):
    code, title = "user_not_found", "Student not found"
    error = "User not found for Spark ID: {spark_user_id}"
    hint = "The student must have entered Optio from Spark once, or be on a roster."


class RequestInProgressError(UnavailableError):
    status, code, title = 409, "request_in_progress", "Request in progress"
    error = "Request in progress"


class RequestStillRunningError(RequestInProgressError):
    """The same for senders without a webhook id, which give up for good on any 4xx (DESIGN R2)."""

    status = 503


class IdempotencyConflictError(BadRequestError):
    status, code, title = 422, "idempotency_conflict", "Idempotency key reused"
    error = "Idempotency key reused with different content"
    hint = "The same signed message was seen before with other files. Sign a new message."
