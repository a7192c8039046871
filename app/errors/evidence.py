"""What can be wrong with an evidence document that is edited."""

from app.errors.kinds import BadRequestError
from app.errors.submission import FileTooLargeError


class EvidenceEmptyError(BadRequestError):
    code, title, error = "evidence_empty", "No evidence", "No evidence to complete the task with"
    hint = "Save at least one block first."


class EvidenceChangedError(BadRequestError):
    status, code, title = 409, "evidence_changed", "Evidence has changed"
    error = "Evidence was changed meanwhile"
    hint = "Nothing was saved. Read the document again, put the changes in, and save it."


class EvidenceFileTooLargeError(FileTooLargeError):
    """`file_size` is what the sender announced, or what had come when it was too much."""

    error = "File exceeds {megabytes}MB limit"

    def __init__(self, *, file_size: int, max_size: int, megabytes: str) -> None:
        super().__init__(megabytes=megabytes)
        self.file_size = file_size
        self.max_size = max_size
