"""A file that a message names by its address, and that we fetch (DESIGN R29)."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field

from app.deliveries.payload import FreeText
from app.errors import (
    BadRequestError,
    FileTooLargeError,
    TooManyFilesError,
    TotalTooLargeError,
    UrlNotAllowedError,
)
from app.fetch import check_url
from app.fields import MessageModel
from app.settings import MEBIBYTE, Settings


class RemoteFile(MessageModel):
    """Where a file is. Its content decides what it is; unknown members are ignored."""

    url: str = Field(
        title="URL",
        description=(
            "https, at a host that was agreed on; valid for a day at least. A signed link may"
            " differ each time: what comes before `?` says which file it is."
        ),
        examples=["https://files.spark.example/rain-gauge.jpg?signature=6f1d"],
    )
    type: str | None = Field(
        None, description="The sender's word for it; not relied on.", examples=["image/jpeg"]
    )
    filename: FreeText | None = Field(
        None, description="Default: the end of the address.", examples=["rain-gauge.jpg"]
    )
    sha256: str | None = Field(
        None,
        title="SHA-256",
        description="Of the file's bytes, in hexadecimal: other bytes are not kept.",
        pattern="^[0-9A-Fa-f]{64}$",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    size: int | None = Field(
        None, description="In bytes: another is not kept.", ge=0, examples=[482113]
    )

    @property
    def name(self) -> str:
        return self.filename or unquote(urlsplit(self.url).path.rpartition("/")[2]) or "file"

    @property
    def host(self) -> str:
        """With its port unless that is 443: whom the job calls."""
        return urlsplit(self.url).netloc.lower().removesuffix(":443")

    @property
    def digest(self) -> bytes:
        """Of the content as far as it is known: links that are signed anew are of the same file."""
        if self.sha256:
            return bytes.fromhex(self.sha256)
        return hashlib.sha256(f"url:{self.url.partition('?')[0]}".encode()).digest()

    @property
    def facts(self) -> dict[str, Any]:
        """As the answer of a submission names it before it was fetched."""
        return {
            "name": self.name,
            "size": self.size,
            "content_type": None,
            "sha256": self.sha256 and self.sha256.lower(),
            "state": "pending",
        }


def _from_address(value: object) -> object:
    """What names no address is an address that is not allowed."""
    if isinstance(value, dict) and isinstance(value.get("url"), str):
        return value
    return {"url": value if isinstance(value, str) else ""}


RemoteFileText = Annotated[
    RemoteFile, BeforeValidator(_from_address, json_schema_input_type=RemoteFile)
]


def faults_of(files: Sequence[RemoteFile], settings: Settings) -> list[BadRequestError]:
    """Of all files, before anything is written (SECURITY D20)."""
    if files and not settings.spark_storage_domains:
        return [UrlNotAllowedError()]
    if len(files) > settings.max_files:
        return [TooManyFilesError(hint=f"A submission has {settings.max_files} files at most.")]
    faults = [fault for file in files if (fault := _fault_of(file, settings))]
    if sum(file.size or 0 for file in files) > settings.max_total_file_bytes:
        megabytes = settings.max_total_file_bytes // MEBIBYTE
        faults.append(TotalTooLargeError(megabytes=megabytes))
    return faults


def _fault_of(file: RemoteFile, settings: Settings) -> BadRequestError | None:
    fault: BadRequestError | None = None
    try:
        check_url(file.url, settings.spark_storage_domains)
    except UrlNotAllowedError as refusal:
        fault = refusal
    if fault is None and (file.size or 0) > settings.max_file_bytes:
        megabytes = settings.max_file_bytes // MEBIBYTE
        fault = FileTooLargeError(name=file.name, megabytes=megabytes)
    if fault:
        fault.file = file.name
    return fault
