"""Takes out of pictures and films where, and with what, they were made, as they pass (DESIGN R29).

Pixels, orientation and colours stay as they are, and nothing is decoded. What follows something
that cannot be read passes as it is, and says so: no homework is refused for it.
"""

from app.files.scrub.boxes import FilmScrub
from app.files.scrub.heif import HeifScrub
from app.files.scrub.jpeg import JpegScrub
from app.files.scrub.png import PngScrub
from app.files.scrub.steps import Scrub
from app.files.scrub.webp import WebpScrub

_SCRUBS: dict[str, type[Scrub]] = {
    "image/jpeg": JpegScrub,
    "image/png": PngScrub,
    "image/webp": WebpScrub,
    "image/heic": HeifScrub,
    "image/heif": HeifScrub,
    "video/mp4": FilmScrub,
    "video/quicktime": FilmScrub,
}

__all__ = ["Scrub", "begin_scrub"]


def begin_scrub(media_type: str) -> Scrub | None:
    """None for a type of which nothing is taken out."""
    scrub = _SCRUBS.get(media_type)
    return scrub() if scrub else None
