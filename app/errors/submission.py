"""Signatures, forms, files, and whose homework it is."""

from app.errors.edge import FieldMissingError, JsonInvalidError
from app.errors.kinds import (
    BadRequestError,
    ForbiddenError,
    MissingError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
)


class CourseSyncFailedError(ServiceError):
    error = "Course sync failed"


class RosterFailedError(ServiceError):
    error = "Roster update failed"


class CourseFieldMissingError(FieldMissingError):
    error = "Missing spark_course_id or course_title"


class RequestBodyMissingError(JsonInvalidError):
    error = "Missing request body"


class CourseNotFoundError(BadRequestError):
    code, title = "course_not_found", "Course not found"
    error = "Course not found: {spark_course_id}"
    hint = "Sync the course first, then send the roster again."


class RosterFileInvalidError(BadRequestError):
    code, title = "roster_file_invalid", "Roster file invalid"
    error = "Roster file invalid"
    hint = (
        "Send the flat CSV (sourcedId, email, givenName, familyName, role) or a zip of OneRoster"
        " 1.2 CSV files, in UTF-8."
    )


class SubmissionFailedError(ServiceError):
    error = "Failed to process submission"


class WebhookNotConfiguredError(UnavailableError):
    code, title = "webhook_not_configured", "Webhook not configured"
    error = "Webhook not configured"


class SignatureMissingError(UnauthorizedError):
    code, title, error = "signature_missing", "Signature missing", "Missing signature"
    hint = (
        "Send webhook-id, webhook-timestamp and webhook-signature (Standard Webhooks), or"
        " X-Spark-Signature: the lower-case hex HMAC-SHA256 of the raw body (multipart: of the raw"
        " bytes of the metadata field)."
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


class FileDigestMismatchError(BadRequestError):
    code, title = "file_digest_mismatch", "File differs from metadata"
    error = "File does not match metadata"
    hint = "Its bytes are not those whose sha256 and size were signed. Send the file again."


class FileNotDeclaredError(BadRequestError):
    code, title = "file_not_declared", "File not declared"
    error = "File does not match metadata"
    hint = "List every file with name, sha256 and size in `files` of the signed metadata."


class FileMissingError(BadRequestError):
    code, title = "file_missing", "Declared file missing"
    error = "File does not match metadata"
    hint = "`files` of the signed metadata lists a file that was not sent under that name."


class FileDigestRequiredError(BadRequestError):
    code, title = "file_digest_required", "File digest required"
    error = "File does not match metadata"
    hint = "List every file with name, sha256 and size in `files` of the signed metadata."


class NotReplayableError(BadRequestError):
    status, code, title = 409, "not_replayable", "Not replayable"
    error = "Delivery cannot be replayed"
    hint = "Its text or its files were not kept: the sender must send it again."


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


class StudentErasedError(StudentNotFoundError):
    """What was handed in before the student was erased, or by nobody who came back since."""

    hint = "The student was erased. A new click in Spark makes a new, empty account."


class NotAStudentError(ForbiddenError):
    status, code, title, error = 409, "not_a_student", "Not a student", "Not a student"
    hint = "Only accounts with the role `student` are erased here. Nothing was changed."


class RequestInProgressError(UnavailableError):
    status, code, title = 409, "request_in_progress", "Request in progress"
    error = "Request in progress"
    hint = "Another request hands in the same message at this moment. Send it again later."


class RequestStillRunningError(RequestInProgressError):
    """The same for senders without a webhook id, which give up for good on any 4xx (DESIGN R2)."""

    status = 503


class IdempotencyConflictError(BadRequestError):
    status, code, title = 422, "idempotency_conflict", "Idempotency key reused"
    error = "Idempotency key reused with different content"
    hint = (
        "The same signed message, webhook-id or Idempotency-Key was seen before with other content."
        " Sign a new message, under a key of its own."
    )
