"""What the database keeps of a file (DESIGN R19): `<bucket>/<key>`, or beside the main app the
address that it keeps as well, `{SUPABASE_URL}/storage/v1/object/public/<bucket>/<key>`.

Which of them, and whatever else differs there, is decided here: with SUPABASE_URL the main app's
editor writes blocks, too. Both forms are read.
"""

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from app.settings import Settings

# Canonical, signed by the main app, or of its transformed pictures.
_ADDRESS = re.compile(r"/storage/v1/(?:object|render/image)/(?:public|sign|authenticated)/(.+)")
_MEMBERS = frozenset(("url", "thumbnail_url", "poster_url", "src"))  # of the main app's blocks
_NO_SEGMENT = frozenset(("", ".", ".."))  # whoever follows the link may read them as another path


class Place(NamedTuple):
    """Where a file lies."""

    bucket: str
    key: str


class Pointers:
    """`endpoints` are those of links into our store."""

    def __init__(self, settings: Settings, endpoints: Collection[str]) -> None:
        self._own = settings.s3_bucket
        self._readable = {self._own, *settings.s3_read_buckets}
        self._main_app = settings.supabase_url
        self._root = urlsplit(self._main_app or "").path
        self._endpoints = [urlsplit(endpoint) for endpoint in endpoints]

    @property
    def members(self) -> frozenset[str]:
        """Of a block's content, at any depth, those that may name a file."""
        return _MEMBERS if self._main_app else frozenset(("url",))

    def is_of(self, key: str, student: str, uploader: str) -> bool:
        """Whether a file is the student's, or of whoever added the block that names it."""
        folders = key.split("/")
        if self._main_app is None or not _NO_SEGMENT.isdisjoint(folders):
            return key.startswith(f"{student}/") and _NO_SEGMENT.isdisjoint(folders)
        return not {student, uploader}.isdisjoint(folders[:-1])

    def place(self, object_key: str) -> Place:
        """Of a file in our own bucket."""
        return Place(self._own, object_key)

    def write(self, place: Place) -> str:
        path = "/".join(place)
        return f"{self._main_app}/storage/v1/object/public/{path}" if self._main_app else path

    def find(self, pointer: object) -> Place | None:
        """What a pointer names, in either form; None for what is none, or not ours to read."""
        if not isinstance(pointer, str):
            return None
        path = pointer
        if self._main_app and pointer.startswith(f"{self._main_app}/"):
            address = _ADDRESS.fullmatch(urlsplit(pointer).path.removeprefix(self._root))
            path = unquote(address[1]) if address else ""
        return self._readable_place(path)

    def object_key(self, pointer: object) -> str | None:
        """The key a pointer names, or None if it is no pointer into our own bucket."""
        place = self.find(pointer)
        return place.key if place and place.bucket == self._own else None

    def reduce(self, url: str) -> str:
        """The pointer behind a link into our store, signed or not; any other URL as it is.

        Raises ValueError for what is no URL.
        """
        place = self.find(url) or self._behind(urlsplit(url))
        return self.write(place) if place else url

    def _behind(self, link: SplitResult) -> Place | None:
        for endpoint in self._endpoints:
            root = endpoint.path.rstrip("/") + "/"
            if _host(link) == _host(endpoint) and link.path.startswith(root):
                place = self._readable_place(unquote(link.path.removeprefix(root)))
                if place:
                    return place
        return None

    def _readable_place(self, path: str) -> Place | None:
        bucket, _, key = path.partition("/")
        return Place(bucket, key) if key and bucket in self._readable else None


def _host(url: SplitResult) -> tuple[str | None, int | None]:
    """Raises ValueError for a port that is none."""
    return url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)
