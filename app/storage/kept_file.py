"""A file that is in the store: one shape, from the moment it has arrived to whatever shows it."""

from dataclasses import dataclass
from uuid import UUID

from app.fields import Location, Picture, Scanned
from app.models import Upload


@dataclass(frozen=True)
class KeptFile:
    """`id` is its upload's; the type is the one its content has, the name one that may be shown.

    `size_bytes` and `sha256` are of what was sent; without its location less may be stored.
    """

    id: UUID
    object_key: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: bytes
    stored_bytes: int
    stored_sha256: bytes
    location: Location | None
    scan: Scanned | None
    picture: Picture | None

    @property
    def facts(self) -> dict[str, object]:
        """As the answer of a submission names it."""
        return {
            "name": self.filename,
            "size": self.size_bytes,
            "content_type": self.content_type,
            "sha256": self.sha256.hex(),
        }


# What a KeptFile is made of, by the same names.
FILE_COLUMNS = (
    Upload.id,
    Upload.object_key,
    Upload.filename,
    Upload.content_type,
    Upload.size_bytes,
    Upload.sha256,
    Upload.stored_bytes,
    Upload.stored_sha256,
    Upload.location,
    Upload.scan,
    Upload.picture,
)
