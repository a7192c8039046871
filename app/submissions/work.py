"""A submission being handled: with what, which message, and by whom."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.accounts.tombstones import Tombstones
from app.adoption.shape import LiveShape
from app.database import Sessions
from app.deliveries.inbox import Entry
from app.files.places import Places
from app.files.scan_file import Scanner
from app.files.spool import Spool
from app.files.store_file import Destination
from app.files.waiting_room import WaitingRoom
from app.settings import Settings
from app.storage.bucket import Bucket
from app.submissions.idempotency import Claim
from app.submissions.message import Message


@dataclass(frozen=True)
class Intake:
    """What handling takes, opened once per process."""

    settings: Settings
    sessions: Sessions
    bucket: Bucket
    waiting_room: WaitingRoom
    spool: Spool
    places: Places
    scanner: Scanner | None
    tombstones: Tombstones
    shape: LiveShape

    @property
    def keeps_raw_text(self) -> bool:
        """Whether evidence_text holds what the student wrote."""
        return self.settings.evidence_text_mode == "raw"

    def destination(self, user_id: UUID) -> Destination:
        """Of files of this student."""
        settings = self.settings
        return Destination(
            self.sessions,
            self.bucket,
            user_id,
            timedelta(seconds=settings.upload_lease_seconds),
            settings.allowed_file_types,
            settings.strip_location,
            self.scanner,
        )


@dataclass(frozen=True)
class Work:
    """One message, as it came, and the right to handle it.

    Its age is judged at `now`; with `takes_any_age` it may have any. `elapsed` gives the seconds
    since it came. Spark was told otherwise and has a receipt coming, if it `was_refused`.
    """

    message: Message
    entry: Entry
    claim: Claim
    now: datetime
    new_id: Callable[[], UUID]
    elapsed: Callable[[], float]
    takes_any_age: bool = False
    was_refused: bool = False
