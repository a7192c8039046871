"""A file as readers get it: a signed link beside what is known of it."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.fields import LINK_EXAMPLE, Id, Moment
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile


class HandedInFile(BaseModel):
    """A file of a revision."""

    id: Id = Field(description="The file.")
    filename: str = Field(description="Its display name.", examples=["rain-gauge.jpg"])
    content_type: str = Field(description="Decided by the content.", examples=["image/jpeg"])
    size_bytes: int = Field(description="In bytes.", examples=[482113])
    sha256: str = Field(
        description="In hexadecimal.", examples=["9f86d081884c7d659a2feaa0c55ad015"]
    )
    url: str = Field(description="A signed link that downloads the file.", examples=[LINK_EXAMPLE])
    url_expires_at: Moment = Field(description="Until then the link works.")


def link_file(bucket: Bucket, file: KeptFile, now: datetime) -> HandedInFile:
    place = bucket.pointers.place(file.object_key)
    url, expires_at = bucket.links.sign(
        place, now, content_type=file.content_type, filename=file.filename
    )
    return HandedInFile(
        id=file.id,
        filename=file.filename,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256.hex(),
        url=url,
        url_expires_at=expires_at,
    )
