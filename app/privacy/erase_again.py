"""After a restore: who was erased since the backup is erased again, by the notes in the bucket.

A user id is never given twice, so whoever has a noted one came back from a backup. Of a Spark id,
which a student keeps, that is so only where the database does not know of the erasure.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import CompoundSelect, bindparam, func, select, union
from sqlalchemy.dialects.postgresql import insert

from app.accounts.tombstones import Tombstones
from app.database import Sessions
from app.errors import NotFoundError, ServiceError
from app.models import (
    PLATFORM,
    Erasure,
    InboxDelivery,
    LmsIntegration,
    OrganisationErasure,
    RosterRow,
    User,
)
from app.privacy.erase import ErasureOrder, erase_student
from app.privacy.erasure_notes import ErasureNote, read_notes
from app.privacy.order_organisation import OrganisationOrder, order_erasure
from app.privacy.organisation_members import list_organisations
from app.storage.bucket import Bucket

Tell = Callable[[str], None]
Hashes = dict[str, UUID | str]

_USERS = select(User.id)
_STUDENTS: CompoundSelect[str | None] = union(
    select(LmsIntegration.lms_user_id).where(LmsIntegration.lms_platform == PLATFORM),
    select(InboxDelivery.spark_user_id),
    select(RosterRow.spark_user_id),
)
_TOMBSTONES = select(func.encode(Erasure.user_hash, "hex"))
_KEEP = (
    insert(Erasure)
    .values(
        {name: bindparam(name) for name in ("id", "user_hash", "subject_hash", "requested_at")}
        | {"completed_at": func.now(), "counts": {}}
    )
    .on_conflict_do_nothing()
)


async def erase_again(
    sessions: Sessions, bucket: Bucket, tombstones: Tombstones, *, caller: str, tell: Tell
) -> tuple[int, int]:
    """How many were erased, and how many could not be; `tell` hears of each. Repeatable. What is
    left of organisations is ordered, for the worker.

    Raises StorageUnavailableError.
    """
    notes = await read_notes(bucket)
    if not notes:
        return 0, 0
    notes = await _order_organisations(sessions, tombstones, notes, caller)
    users, students, known = await _look(sessions, tombstones)
    erased = failed = 0
    for note in notes:
        # An account that stays is there in any case.
        is_known = note.user_hash in known
        who = None if is_known and note.keeps_account else users.get(note.user_hash)
        if who is None and not is_known:
            who = students.get(note.subject_hash or "")
        try:
            if who is not None:
                order = ErasureOrder(
                    note.id, who, caller, note.requested_at, keeps_account=note.keeps_account
                )
                await erase_student(sessions, bucket, tombstones, order)
                erased += 1
                tell(f"{note.id} erased")
        except NotFoundError:
            pass  # with another of the student's ids
        except ServiceError as refusal:
            failed += 1
            tell(f"{note.id} {refusal.code}: {refusal.hint_text}")
            continue
        if note.user_hash not in known:
            await _keep(sessions, note)
    return erased, failed


async def _order_organisations(
    sessions: Sessions, tombstones: Tombstones, notes: list[ErasureNote], caller: str
) -> list[ErasureNote]:
    """Those that are a student's. An organisation whose erasure the database does not know of is
    ordered again, if it is here.
    """
    organisations = [each["spark_org_id"] for each in await list_organisations(sessions)]
    async with sessions() as session, session.begin():
        hashes = {
            (await tombstones.of_organisation(session, each)).hex(): each for each in organisations
        }
        done = set((await session.execute(select(OrganisationErasure.id))).scalars())
    for note in notes:
        org = hashes.get(note.user_hash) if note.is_organisation else None
        if org and note.id not in done:
            order = OrganisationOrder(note.id, org, caller, note.requested_at)
            await order_erasure(sessions, order)
    return [note for note in notes if not note.is_organisation]


async def _look(sessions: Sessions, tombstones: Tombstones) -> tuple[Hashes, Hashes, set[str]]:
    """Who is here, users and Spark's, by their hashes; and whose tombstones are."""
    async with sessions() as session, session.begin():
        users = (await session.execute(_USERS)).scalars().all()
        students = (await session.execute(_STUDENTS)).scalars().all()
        known = set((await session.execute(_TOMBSTONES)).scalars())
        return (
            {(await tombstones.of_user(session, each)).hex(): each for each in users},
            {(await tombstones.of_student(session, each)).hex(): each for each in students if each},
            known,
        )


async def _keep(sessions: Sessions, note: ErasureNote) -> None:
    """The tombstone, so that what is older than the erasure stays refused."""
    row: dict[str, UUID | bytes | datetime | None] = {
        "id": note.id,
        "user_hash": bytes.fromhex(note.user_hash),
        "subject_hash": bytes.fromhex(note.subject_hash) if note.subject_hash else None,
        "requested_at": note.requested_at,
    }
    async with sessions() as session, session.begin():
        await session.execute(_KEEP, row)
