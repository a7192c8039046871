"""HEIC shows nowhere but in Safari: what is stored of it is ordered to become JPEG (DESIGN R29)."""

from collections.abc import Iterable

from app.database import Session, Statement
from app.jobs.enqueue import job_of_each_sql
from app.storage.kept_file import KeptFile

PICTURE = "picture"  # as a kind of job; its key is the upload

_JOB_SQL = job_of_each_sql(
    PICTURE, "spark.uploads where id = any (:ids::uuid[])", target="null::text"
)
_ORDER = Statement(f"with {_JOB_SQL} select id from enqueued")  # noqa: S608 - of our own pieces


async def order_pictures(session: Session, files: Iterable[KeptFile]) -> None:
    """In the transaction that commits them; without HEIC among them nothing is sent."""
    if ids := [file.id for file in files if file.picture == "waiting"]:
        await _ORDER.send(session, {"ids": ids})
