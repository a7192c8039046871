"""The root of all failures and its families; each family is a status, or close to one."""

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
