"""A file as readers get it: a signed link beside what is known of it."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.fields import LINK_EXAMPLE, Id, Location, Moment, Picture, Scanned
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile


class HandedInFile(BaseModel):
    """A file of a revision."""

    id: Id = Field(description="The file.")
    filename: str = Field(description="Its display name.", examples=["rain-gauge.jpg"])
    content_type: str = Field(description="Decided by the content.", examples=["image/jpeg"])
    size_bytes: int = Field(description="Of what was sent, in bytes.", examples=[482113])
    sha256: str = Field(
        description="Of what was sent, in hexadecimal.",
        examples=["9f86d081884c7d659a2feaa0c55ad015"],
    )
    stored_bytes: int = Field(description="Of what `url` leads to.", examples=[479830])
    stored_sha256: str = Field(
        description="Of what `url` leads to.", examples=["9f86d081884c7d659a2feaa0c55ad015"]
    )
    location: Location | None = Field(
        description=(
            "What became of place, camera and names inside a picture or film: `none` were there,"
            " they were `removed`, or `unknown`: it could not be read, and is as it was sent."
            " Null of others."
        ),
        examples=["removed"],
    )
    scan: Scanned | None = Field(
        description=(
            "Of the malware scanner: `clean`, or `unscanned` where it was away. Null without one."
        ),
        examples=["clean"],
    )
    picture: Picture | None = Field(
        description=(
            "What became of a HEIC picture, which few browsers show: it is `waiting`, `jpeg`, as"
            " which evidence shows it, or stays HEIC, being `too_large` or `unreadable`. Null of"
            " others."
        ),
        examples=["jpeg"],
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
        stored_bytes=file.stored_bytes,
        stored_sha256=file.stored_sha256.hex(),
        location=file.location,
        scan=file.scan,
        picture=file.picture,
        url=url,
        url_expires_at=expires_at,
    )
