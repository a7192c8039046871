"""What routes may answer; within one status the contract names them in this order."""

from app.errors import (
    AccountInactiveError,
    AccountLinkForbiddenError,
    AssignmentAmbiguousError,
    AssignmentNotFoundError,
    BodyTimeoutError,
    BodyTooLargeError,
    CodeAlreadyRedeemedError,
    CodeExpiredError,
    CodeInvalidError,
    CodeMissingError,
    ContentMissingError,
    CredentialsInvalidError,
    DatabaseUnavailableError,
    EvidenceChangedError,
    EvidenceFileTooLargeError,
    FieldInvalidError,
    FieldMissingError,
    FileDigestMismatchError,
    FileDigestRequiredError,
    FileExpandsTooLargeError,
    FileMissingError,
    FileNotDeclaredError,
    FileRejectedError,
    FileTooLargeError,
    FileTypeNotAllowedError,
    IdempotencyConflictError,
    JsonInvalidError,
    LaunchClaimsInvalidError,
    LaunchTokenExpiredError,
    LaunchTokenInvalidError,
    LaunchTokenMissingError,
    LaunchTokenReplayedError,
    MediaTypeUnsupportedError,
    MetadataDuplicateError,
    MetadataMissingError,
    MultipartInvalidError,
    MultipartTruncatedError,
    NotFoundError,
    NotReplayableError,
    OverloadedError,
    RateLimitedError,
    RequestInProgressError,
    RequestInvalidError,
    RequestStillRunningError,
    ReturnUrlNotAllowedError,
    RoleNotAllowedError,
    ScannerUnavailableError,
    ScopeMissingError,
    ServiceError,
    SignatureMismatchError,
    SignatureMissingError,
    SignInFailedError,
    SsoNotConfiguredError,
    StorageUnavailableError,
    StudentNotFoundError,
    SubmissionFailedError,
    TimestampInFutureError,
    TimestampTooOldError,
    TokenExchangeFailedError,
    TooManyFilesError,
    TotalTooLargeError,
    UrlNotAllowedError,
    WebhookNotConfiguredError,
)

_BUSY = (DatabaseUnavailableError, OverloadedError)
BODY_PROBLEMS = (BodyTimeoutError, BodyTooLargeError)
JSON_PROBLEMS = (*BODY_PROBLEMS, MediaTypeUnsupportedError, JsonInvalidError)
_CREDENTIALS = (CredentialsInvalidError, ScopeMissingError)
INTERNAL_PROBLEMS = (*_CREDENTIALS, FieldInvalidError, *_BUSY, ServiceError)
_LAUNCH = (RequestInvalidError, LaunchTokenMissingError, LaunchTokenInvalidError)
_CLAIMS = (LaunchClaimsInvalidError, LaunchTokenExpiredError, LaunchTokenReplayedError)
_ACCOUNT = (RoleNotAllowedError, AccountInactiveError, AccountLinkForbiddenError)
_SIGN_IN = (SsoNotConfiguredError, RateLimitedError, *_BUSY)
SSO_PROBLEMS = (*_LAUNCH, *_CLAIMS, *_ACCOUNT, SignInFailedError, *_SIGN_IN)
DEEP_LINK_PROBLEMS = (
    *_LAUNCH,
    *_CLAIMS,
    ReturnUrlNotAllowedError,
    RoleNotAllowedError,
    *_SIGN_IN,
    ServiceError,
)
_CODE = (CodeMissingError, CodeInvalidError, CodeAlreadyRedeemedError, CodeExpiredError)
_EXCHANGE = (FieldInvalidError, *JSON_PROBLEMS, TokenExchangeFailedError)
TOKEN_PROBLEMS = (*_CODE, *_EXCHANGE, *_SIGN_IN)
_SIGNATURE = (SignatureMissingError, SignatureMismatchError, WebhookNotConfiguredError)
_FIELDS = (FieldMissingError, FieldInvalidError)
_AGE = (TimestampTooOldError, TimestampInFutureError)
WEBHOOK_PROBLEMS = (*_SIGNATURE, *JSON_PROBLEMS, *_FIELDS, *_AGE, RateLimitedError, *_BUSY)
_MULTIPART = (MultipartInvalidError, MultipartTruncatedError)
_FORM = (MetadataMissingError, MetadataDuplicateError, *_MULTIPART, TooManyFilesError)
_FILES = (FileDigestMismatchError, FileDigestRequiredError, FileMissingError, FileNotDeclaredError)
_BYTES = (FileTypeNotAllowedError, FileTooLargeError, TotalTooLargeError, FileExpandsTooLargeError)
_ASSIGNMENT = (AssignmentNotFoundError, AssignmentAmbiguousError)
_ADMISSION = (*_ASSIGNMENT, StudentNotFoundError, AccountInactiveError)
_CLAIM = (IdempotencyConflictError, RequestInProgressError, RequestStillRunningError)
_CONTENT = (ContentMissingError, UrlNotAllowedError)
_STORE = (StorageUnavailableError, FileRejectedError, ScannerUnavailableError)
_RECORDING = (*_ADMISSION, *_CLAIM, SubmissionFailedError, *_STORE)
SUBMISSION_PROBLEMS = (*WEBHOOK_PROBLEMS, *_CONTENT, *_FORM, *_FILES, *_BYTES, *_RECORDING)

_MESSAGE = (JsonInvalidError, FieldMissingError, ContentMissingError, FileMissingError)
_REPLAY = (NotFoundError, NotReplayableError, *_MESSAGE, UrlNotAllowedError)
REPLAY_PROBLEMS = (*_REPLAY, *_ADMISSION, *_CLAIM, *INTERNAL_PROBLEMS)
EVIDENCE_PROBLEMS = (NotFoundError, FieldMissingError, *INTERNAL_PROBLEMS)
_WRITING = (EvidenceChangedError, AccountInactiveError, RateLimitedError)
WRITING_PROBLEMS = (*_WRITING, *EVIDENCE_PROBLEMS)
_EVIDENCE_FORM = (FileTypeNotAllowedError, TooManyFilesError, *_MULTIPART, *BODY_PROBLEMS)
_STORING = (FileExpandsTooLargeError, *_STORE)
EVIDENCE_FILE_PROBLEMS = (*_EVIDENCE_FORM, EvidenceFileTooLargeError, *_STORING, *WRITING_PROBLEMS)
