"""Every failure this service names, with its code, status and the old `error` text.

    ServiceError
    ├── BadRequestError        the sender must change the request (400, 413, 415, 422, 431)
    ├── UnauthorizedError      the sender did not prove who it is (401)
    ├── ForbiddenError         known, and not allowed (403, 409)
    ├── MissingError           what was asked for does not exist (404)
    └── UnavailableError       try again later (408, 409, 429, 503)

`api.problems` makes responses of them and, by `api.problem_groups`, the contract. Old clients read
the texts in `error` (CONTRACT 3, 4, 7.6); `{…}` is filled from keyword arguments and never logged.
"""

from collections.abc import Iterator
from typing import ClassVar


class ServiceError(Exception):
    """A failure with a stable code. `error` is the text old clients show; `hint` says what to do.

    `file` is the sender's own name of the file at fault, `values` what fills `error`. Where several
    files or fields are at fault, the first one's error is raised, and all are its `faults`.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    error: ClassVar[str] = "Internal error"
    hint: ClassVar[str] = "Send the same again, after `Retry-After` where the answer has it."
    retry_after: int | None = None
    file: str | None = None

    def __init__(self, *, hint: str | None = None, retry_after: int = 0, **values: object) -> None:
        super().__init__(self.code)
        self.error_text = self.error.format(**values)
        self.hint_text = hint or self.hint
        self.retry_after = retry_after or self.retry_after
        self.values = values
        self.faults: list[ServiceError] = []
        self.said: dict[str, str] = {}  # of an authentic message, for its event alone


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
    status, error, retry_after = 503, "Service temporarily unavailable", 5


# The edge: what any route may answer.
class RequestInvalidError(BadRequestError):
    code, title, error = "request_invalid", "Invalid request", "Invalid request"
    hint = "Send well-formed HTTP/1.1 (RFC 9112), with each header and parameter once."


class FieldMissingError(BadRequestError):
    code, title, error = "field_missing", "Field missing", "Missing required field: {name}"
    hint = "Send it under exactly this name: the reference lists the fields of each route."


class FieldInvalidError(BadRequestError):
    code, title, error = "field_invalid", "Invalid field", "Invalid field: {name}"
    hint = "Its type, form or value is not allowed: the reference says what it may be."


class JsonInvalidError(BadRequestError):
    code, title, error = "json_invalid", "Invalid JSON", "Invalid JSON"
    hint = "Send one UTF-8 JSON object (RFC 8259): no byte order mark, repeated keys or NaN."


class BodyTooLargeError(BadRequestError):
    status, code, title, error = 413, "body_too_large", "Request too large", "Request too large"
    hint = "The body has more bytes than the route takes: 8 MiB of JSON, less where it needs less."


class MediaTypeUnsupportedError(BadRequestError):
    status, code, error = 415, "media_type_unsupported", "Unsupported content type"
    title, hint = error, "Send what the route reads: the reference names its Content-Type."


class HeaderTooLargeError(BadRequestError):
    status, code, error = 431, "header_too_large", "Request headers too large"
    title, hint = error, "Send fewer or shorter headers, cookies and parameters of the address."


class NotFoundError(MissingError):
    code, title, error = "not_found", "Not found", "Not found"
    hint = "Nothing of this kind has the id that was named, or not any more. Check the id."


class RouteNotFoundError(MissingError):
    code, title, error = "route_not_found", "Route not found", "Not found"
    hint = "There is no such route. Check the path, also for a slash at its end, or look in /docs."


class MethodNotAllowedError(BadRequestError):
    status, code, title = 405, "method_not_allowed", "Method not allowed"
    error, hint = "Method not allowed", "The header Allow names the methods of this path."


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
    status, code, title, retry_after = 429, "rate_limited", "Too many requests", 60
    error = "Too many requests. Please try again later."


class DatabaseUnavailableError(UnavailableError):
    code, title = "database_unavailable", "Database unavailable"


class StorageUnavailableError(UnavailableError):
    code, title = "storage_unavailable", "File storage unavailable"


class ScannerUnavailableError(UnavailableError):
    code, title = "scanner_unavailable", "File scanner unavailable"


class OverloadedError(UnavailableError):
    code, title = "overloaded", "Overloaded"
    hint = "The service is at its limit of simultaneous work. Send the same request again."


# Signing in: launch tokens, accounts and one-time codes.
class LaunchTokenMissingError(BadRequestError):
    code, title, error = "token_missing", "Launch token missing", "Missing token parameter"
    hint = "Send the signed token as parameter or form field `token`."


class LaunchTokenInvalidError(UnauthorizedError):
    code, title, error = "token_invalid", "Launch token invalid", "Invalid token signature"
    hint = "Sign with HS256 and the SSO secret as literal text; header: alg, typ and kid alone."


class LaunchClaimsInvalidError(UnauthorizedError):
    code, title, error = "token_claims_invalid", "Launch claim invalid", "Invalid token: {claim}"
    hint = "Correct the claim that is named: the reference lists them."


class LaunchTokenExpiredError(UnauthorizedError):
    code, title, error = "token_expired", "Launch token expired", "Token expired. Please try again."
    hint = "Make a new launch token for each click; it may live 10 minutes."


class LaunchTokenReplayedError(UnauthorizedError):
    code, title, error = "token_replayed", "Launch token already used", "Token already used"
    hint = "Make a new launch token for each click."


class RoleNotAllowedError(ForbiddenError):
    code, title, error = "role_not_allowed", "Role not allowed", "Role not allowed"
    hint = "Only students sign in through Spark."


class ReturnUrlNotAllowedError(BadRequestError):
    code, title = "return_url_not_allowed", "Return address not allowed"
    error = "Return address not allowed"
    hint = "return_url must begin with an address that the operator named in SPARK_RETURN_URLS."


class AccountInactiveError(ForbiddenError):
    code, title, error = "account_inactive", "Account not active", "Account not active"
    hint = "Its link to Spark was paused, or it is being deleted: ask the operator."


class AccountErasedError(AccountInactiveError):
    hint = "The student was erased. A click in Spark a minute later makes a new, empty account."


class AccountLinkForbiddenError(ForbiddenError):
    status, code, error = 409, "account_link_forbidden", "Account cannot be linked"
    title, hint = error, "The address belongs to an Optio account that Spark may not sign in to."


class SignInFailedError(ServiceError):
    error = "Failed to create user account"


class SsoNotConfiguredError(UnavailableError):
    code, title, error = "sso_not_configured", "SSO not configured", "SSO not configured"
    hint = "The operator has to set SPARK_SSO_SECRET."


class TokenExchangeFailedError(ServiceError):
    error = "Token exchange failed"


class CodeMissingError(BadRequestError):
    code, title, error = "code_missing", "Authorization code missing", "Missing authorization code"
    hint = 'Send a JSON object: {"code": "<the code from the redirect>"}.'


class CodeInvalidError(UnauthorizedError):
    code, title, error = "code_invalid", "Authorization code invalid", "Invalid authorization code"
    hint = "Send the newest code as it came. A new click in Spark gives one."


class CodeAlreadyRedeemedError(UnauthorizedError):
    code, error = "code_used", "Authorization code already used"
    title, hint = error, "Exchange a code once. A new click in Spark gives another."


class CodeExpiredError(UnauthorizedError):
    code, title, error = "code_expired", "Authorization code expired", "Authorization code expired"
    hint = "Exchange a code within 60 s. A new click in Spark gives another."


# Webhooks: signatures, the same message again, courses and rosters.
class WebhookNotConfiguredError(UnavailableError):
    code, error = "webhook_not_configured", "Webhook not configured"
    title, hint = error, "The operator has to set SPARK_WEBHOOK_SECRET."


class SignatureMissingError(UnauthorizedError):
    code, title, error = "signature_missing", "Signature missing", "Missing signature"
    hint = (
        "Send webhook-id, webhook-timestamp and webhook-signature (Standard Webhooks), or"
        " X-Spark-Signature: the hex HMAC-SHA256 of the raw body (of a form: of metadata)."
    )


class SignatureMismatchError(UnauthorizedError):
    code, title, error = "signature_invalid", "Signature invalid", "Invalid signature"
    hint = "Sign exactly the bytes you send (of a form: metadata's), by the webhook secret's text."


class TimestampTooOldError(BadRequestError):
    code, title, error = "timestamp_too_old", "Timestamp too old", "Submission timestamp too old"
    hint = "submitted_at may be 5 minutes old. Sign a retry again with a fresh submitted_at."


class TimestampInFutureError(BadRequestError):
    code, title = "timestamp_in_future", "Timestamp in the future"
    error = "Submission timestamp in the future"
    hint = "submitted_at may be 5 minutes ahead. Check the sender's clock and UTC offset."


class RequestBodyMissingError(JsonInvalidError):
    error = "Missing request body"


class IdempotencyConflictError(BadRequestError):
    status, code, title = 422, "idempotency_conflict", "Idempotency key reused"
    error = "Idempotency key reused with different content"
    hint = "Its id or signed text came before with other content: give it an id of its own."


class RequestInProgressError(UnavailableError):
    status, code, title = 409, "request_in_progress", "Request in progress"
    error = "Request in progress"
    hint = "Another request hands in the same message at this moment. Send it again later."


class RequestStillRunningError(RequestInProgressError):
    status = 503  # senders without a webhook id give up for good on any 4xx (DESIGN R2)


class MessageSupersededError(BadRequestError):
    status, code, title = 409, "message_superseded", "Message superseded"
    error = "A later message was taken"
    hint = "A later one for this course was taken. If this one holds, send it with a new time."


class CourseFieldMissingError(FieldMissingError):
    error = "Missing spark_course_id or course_title"


class CourseSyncFailedError(ServiceError):
    error = "Course sync failed"


class CourseNotFoundError(BadRequestError):
    code, title = "course_not_found", "Course not found"
    error = "Course not found: {spark_course_id}"
    hint = "Sync the course first, then send the roster again."


class RosterFileInvalidError(BadRequestError):
    code, title, error = "roster_file_invalid", "Roster file invalid", "Roster file invalid"
    hint = "Send sourcedId, email, givenName, familyName, role as CSV, or a zip of OneRoster 1.2."


class RosterFailedError(ServiceError):
    error = "Roster update failed"


# Submissions: forms, files, and whose homework it is.
class SubmissionFailedError(ServiceError):
    error = "Failed to process submission"


class ContentMissingError(BadRequestError):
    code, title = "content_missing", "No content"
    error = "Must provide either submission_text or files"
    hint = "Send text, files or both; blank text counts as none."


class UrlNotAllowedError(BadRequestError):
    code, title, error = "url_not_allowed", "File URL not allowed", "Invalid file URL"
    hint = "Files by URL are not accepted here: send them as multipart/form-data."


class MetadataMissingError(BadRequestError):
    code, title = "metadata_missing", "Metadata missing"
    error = "Missing metadata field in multipart request"
    hint = "Send the submission's JSON as a text field named metadata, without a file name."


class MetadataDuplicateError(BadRequestError):
    code, title, error = "metadata_duplicate", "Metadata repeated", "Duplicate metadata field"
    hint = "Send one field named metadata; files may have any other name."


class MultipartInvalidError(BadRequestError):
    code, title, error = "multipart_invalid", "Multipart body invalid", "Invalid multipart body"
    hint = "Let a library write the form, and its Content-Type with the boundary."


class MultipartTruncatedError(BadRequestError):
    code, title, error = "multipart_truncated", "Multipart body truncated", "Invalid multipart body"
    hint = "The closing boundary never arrived. Send the whole request again."


class TooManyFilesError(BadRequestError):
    code, title, error = "too_many_files", "Too many files", "Too many files"
    hint = "Send fewer: how many may come at once is a setting, 20 unless it was changed."


class FileTooLargeError(BadRequestError):
    status, code, title = 413, "file_too_large", "File too large"
    error = "File {name} exceeds {megabytes}MB limit"
    hint = "Make it smaller, or hand it in in parts."


class TotalTooLargeError(BadRequestError):
    status, code, title = 413, "total_too_large", "Files too large in total"
    error = "Total file size exceeds {megabytes}MB limit"
    hint = "Make the files smaller, or leave some out."


class FileExpandsTooLargeError(BadRequestError):
    status, code, error = 413, "file_expands_too_large", "File too large when unpacked"
    title, hint = error, "It unpacks to far more than it weighs: save it anew, or as PDF."


class FileTypeNotAllowedError(BadRequestError):
    code, title = "file_type_not_allowed", "File type not allowed"
    error = "File type {detected} not allowed"
    hint = "The content decides, not the name. Convert it: the guide lists what is taken."


class FileRejectedError(BadRequestError):
    status, code, title, error = 422, "file_rejected", "File rejected", "File rejected"
    hint = "A scanner found malware in it. Nothing was kept: hand in the others without it."


class FileDigestMismatchError(BadRequestError):
    code, title = "file_digest_mismatch", "File differs from metadata"
    error = "File does not match metadata"
    hint = "Its bytes are not those whose sha256 and size were signed. Send the file again."


class FileDigestRequiredError(BadRequestError):
    code, title = "file_digest_required", "File digest required"
    error = "File does not match metadata"
    hint = "List every file with name, sha256 and size in `files` of the signed metadata."


class FileNotDeclaredError(BadRequestError):
    code, title, error = "file_not_declared", "File not declared", "File does not match metadata"
    hint = "List every file with name, sha256 and size in `files` of the signed metadata."


class FileMissingError(BadRequestError):
    code, title, error = "file_missing", "Declared file missing", "File does not match metadata"
    hint = "`files` of the signed metadata lists a file that was not sent under that name."


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
    hint = "Once the student has entered Optio from Spark, or is on a roster, send it again."


class StudentErasedError(StudentNotFoundError):
    """What was handed in before the student was erased, or by nobody who came back since."""

    hint = "The student was erased. A new click in Spark makes a new, empty account."


class NotReplayableError(BadRequestError):
    status, code, title = 409, "not_replayable", "Not replayable"
    error = "Delivery cannot be replayed"
    hint = "Its text or its files were not kept: the sender must send it again."


# Evidence that is edited, and students who are erased.
class EvidenceEmptyError(BadRequestError):
    code, title, error = "evidence_empty", "No evidence", "No evidence to complete the task with"
    hint = "Save at least one block first."


class EvidenceChangedError(BadRequestError):
    status, code, title = 409, "evidence_changed", "Evidence has changed"
    error = "Evidence was changed meanwhile"
    hint = "Nothing was saved. Read it again, put the changes in, and send its new `version`."


class EvidenceFileTooLargeError(FileTooLargeError):
    """`file_size` is what the sender announced, or what had come when it was too much."""

    error = "File exceeds {megabytes}MB limit"


class MappingConflictError(BadRequestError):
    status, code, title = 409, "mapping_conflict", "Mapping conflicts"
    error = "Assignment cannot be mapped to this task"
    hint = "Choose a task of the same course that no other assignment has."


class GradeStaleError(BadRequestError):
    status, code, title, error = 409, "grade_stale", "Older score", "A newer score is kept"
    hint = "Its scored_at is not later than that of the score kept. Nothing was changed."


class JobNotDeadError(BadRequestError):
    status, code, title, error = 409, "job_not_dead", "Job not dead", "The job is not dead"
    hint = "It runs or waits for its turn. Nothing was changed."


class TargetNotConfiguredError(UnavailableError):
    code, title = "target_not_configured", "Target not configured"
    error = "Spark's API is not configured"
    hint = "Set SPARK_API_URL and SPARK_API_KEY."


class NotAStudentError(ForbiddenError):
    status, code, title, error = 409, "not_a_student", "Not a student", "Not a student"
    hint = "Only accounts with the role `student` are erased here. Nothing was changed."


class ReferencedElsewhereError(ForbiddenError):
    status, code, title = 409, "referenced_elsewhere", "Referenced elsewhere"
    error = "Rows of other tables name the student"
    hint = "`references` names the tables. Take the student out of them, then ask again."


def kinds(of: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """That one, and every narrower one."""
    yield of
    for narrower in of.__subclasses__():
        yield from kinds(narrower)


# What is said of a code where no more is known; of several kinds the widest one's.
HINTS = {kind.code: kind.hint for kind in reversed([*kinds()])}
