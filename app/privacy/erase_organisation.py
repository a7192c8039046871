"""A school leaves: the order, its students one by one, what is its own, and then the certificate.

The order is a row and a job. A job does a little and orders the rest anew, so that a worker that is
killed loses little; each step is an act that may be repeated. What becomes of a student is decided
under the student's lock. What arrives meanwhile is erased with the rest; what arrives after the
certificate is as new as of any organisation, and `list_organisations` shows it.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.exc import IntegrityError

from app.accounts.tombstones import Tombstones
from app.database import Session, Sessions, Statement, retried
from app.errors import NotFoundError, ServiceError, StorageUnavailableError
from app.files.uploads import remove_files
from app.jobs.enqueue import enqueue
from app.jobs.lease import Lease, finish
from app.jobs.settle import Outcome, settle_alone
from app.models import PLATFORM
from app.privacy.erase import ErasureOrder, begin_erasure
from app.privacy.erasure_notes import ErasureNote, write_note
from app.privacy.finish_erasure import explain_reference, go_on, stop_writers
from app.privacy.order_organisation import ORGANISATION
from app.privacy.organisation_members import find_fate, list_members
from app.privacy.organisation_rows import (
    IS_DELIVERY_SQL,
    delete_courses,
    find_own,
    forget_messages,
    forget_records,
)
from app.privacy.spark_work import OF_COURSE_WORK, delete_work, plan_work, release_work
from app.storage.bucket import Bucket

SLICE_SECONDS = 15
STRANGERS_AT_ONCE = 100
CLOCKS = timedelta(seconds=1)  # a course is dated by the arrival of its message

_OPEN = Statement(
    """
    select id, spark_org_id, requested_at, exists (
      select from spark.erasures e where e.organisation_id = o.id) as is_begun
    from spark.organisation_erasures o where id = :id and completed_at is null
    """
)
_UNFINISHED = Statement(
    "select id from spark.erasures where organisation_id = :id and completed_at is null order by id"
)
_LOCK = Statement(
    """
    select counts::text from spark.organisation_erasures
    where id = :id and completed_at is null for update
    """
)
_COUNT = Statement("update spark.organisation_erasures set counts = :counts where id = :id")
# Of who had an account there is a count of files. Once it is complete nothing changes it any more.
COUNTS_SQL = """
    select o.counts || coalesce((
      select jsonb_object_agg(name, rows) from (
        select name, sum(rows::bigint) + coalesce((o.counts ->> name)::bigint, 0) as rows
        from spark.erasures e cross join lateral (
          select * from jsonb_each_text(e.counts)
          union all select case when not e.counts ? 'files' then 'students_without_account'
            when e.keeps_account then 'students_unlinked' else 'students_erased' end, '1'
        ) as each (name, rows)
        where e.organisation_id = o.id group by name) as total), '{}')"""
_COMPLETE = Statement(
    f"""
    update spark.organisation_erasures o set completed_at = now(), counts = ({COUNTS_SQL})
    where id = :id
    """  # noqa: S608 - of our own pieces
)
# Named by its rosters or refused homework, and nobody's account here or of another's roster.
_STRANGER = f"""
    select spark_user_id from (
      select spark_user_id from spark.roster_rows where spark_org_id = :org
      union select d.spark_user_id from spark.deliveries d where {IS_DELIVERY_SQL}) named
    where spark_user_id > :after
      and not exists (
        select from lms_integrations l
        where l.lms_platform = '{PLATFORM}' and l.lms_user_id = named.spark_user_id)
      and not exists (
        select from spark.roster_rows r
        where r.spark_user_id = named.spark_user_id and r.spark_org_id not in ('', :org))
"""  # noqa: S608 - of our own pieces
_STRANGERS = Statement(f"{_STRANGER} order by spark_user_id limit {STRANGERS_AT_ONCE}")
_COUNT_STRANGERS = Statement(f"select count(*) as strangers from ({_STRANGER}) stranger")  # noqa: S608


@dataclass(frozen=True)
class Eraser:
    """What an erasure works with."""

    sessions: Sessions
    bucket: Bucket
    tombstones: Tombstones
    now: Callable[[], datetime]


Refused = list[tuple[UUID | str, ServiceError]]  # who could not be erased, and why


async def do_erasure(eraser: Eraser, lease: Lease) -> None:
    """The job: a slice, and a new job for the rest."""
    left = await erase_some(eraser, UUID(lease.key), [])
    if left != "more":
        outcome = Outcome("again", left) if left else Outcome("done", "erased")
        await settle_alone(eraser.sessions, lease, outcome)
        return
    async with eraser.sessions() as session, session.begin():
        await enqueue(session, ORGANISATION, lease.key)
        await finish(session, lease)


async def erase_some(eraser: Eraser, erasure_id: UUID, refused: Refused) -> str:
    """Empty once it is complete; `more`; or the code of what is in the way of the rest. Whom that
    is about is added to `refused`.

    Raises StorageUnavailableError.
    """
    sessions = eraser.sessions
    async with sessions() as session, session.begin():
        found = await _OPEN.send(session, {"id": erasure_id})
        if not found:
            return ""
        erasure = found[0]
        own = await find_own(session, erasure["spark_org_id"])
        hashed = await eraser.tombstones.of_organisation(session, erasure["spark_org_id"])
    note = ErasureNote(
        id=erasure_id,
        user_hash=hashed.hex(),
        subject_hash=None,
        requested_at=erasure["requested_at"],
        is_organisation=True,
    )
    await write_note(eraser.bucket, note)
    if not erasure["is_begun"]:  # each student's name is looked for in all texts that are left
        await _count(sessions, erasure_id, await forget_messages(sessions, own, is_first=True))
    if not await _erase_students(eraser, erasure_id, own, refused):
        return "more"
    if refused:
        return refused[0][1].code
    return await _finish(eraser, erasure_id, own)


async def _erase_students(
    eraser: Eraser, erasure_id: UUID, own: dict[str, Any], refused: Refused
) -> bool:
    """Whether nobody is left but who is `refused`; it takes no longer than a slice."""
    clock = asyncio.get_running_loop().time
    ends = clock() + SLICE_SECONDS
    async for who, students in _everybody(eraser.sessions, own):
        try:
            await _leave(eraser, erasure_id, own["org"], who, students)
        except StorageUnavailableError:
            raise
        except (ServiceError, IntegrityError) as failure:
            refusal = failure if isinstance(failure, ServiceError) else explain_reference(failure)
            if not isinstance(refusal, ServiceError):
                raise
            refused.append((who, refusal))
        else:
            if clock() > ends:
                return False
    return True


async def _everybody(
    sessions: Sessions, own: dict[str, Any]
) -> AsyncIterator[tuple[UUID | str, list[str]]]:
    """Members by their user ids, then strangers by Spark's, each with all ids that Spark has."""
    async for member in list_members(sessions, own["org"]):
        yield member["user_id"], member["spark_user_ids"]
    after: str | None = ""
    while after is not None:
        async with sessions() as session, session.begin():
            page = await _STRANGERS.send(session, own | {"after": after})
        for row in page:
            yield row["spark_user_id"], [row["spark_user_id"]]
        after = page[-1]["spark_user_id"] if page else None


async def count_strangers(session: Session, own: dict[str, Any]) -> int:
    [found] = await _COUNT_STRANGERS.send(session, own | {"after": ""})
    strangers: int = found["strangers"]
    return strangers


async def _leave(
    eraser: Eraser, erasure_id: UUID, org: str, who: UUID | str, students: list[str]
) -> None:
    """One student leaves; a file that is arriving is waited for at the end."""
    order = ErasureOrder(
        uuid5(erasure_id, str(who)),
        who,
        f"organisation:{erasure_id}",
        eraser.now(),
        organisation_id=erasure_id,
        spark_org_id=org,
    )
    try:
        orders = await begin_erasure(eraser.sessions, eraser.tombstones, order)
    except NotFoundError:
        return
    for each in orders:
        await go_on(eraser.sessions, eraser.bucket, each.id)
    if isinstance(who, UUID) and not orders:
        await remove_files(eraser.sessions, eraser.bucket, who, released=True)
        while not await _leave_courses(eraser.sessions, erasure_id, org, who, students):
            await remove_files(eraser.sessions, eraser.bucket, who, released=True)


@retried
async def _leave_courses(
    sessions: Sessions, erasure_id: UUID, org: str, user_id: UUID, students: list[str]
) -> bool:
    """Of who also belongs to another organisation. False while there are files."""
    async with sessions() as session, session.begin():
        await stop_writers(session, user_id, [])
        if await find_fate(session, user_id, org) != "kept":
            return True
        plan = await plan_work(session, user_id, org)
        if released := await release_work(session, plan):
            await _add(session, erasure_id, {"files": released})
            return False
        whose = {"of_spark_users": students}
        removed = await delete_work(session, plan | whose, OF_COURSE_WORK)
        await _add(session, erasure_id, removed | {"students_kept": 1})
        return True


async def _finish(eraser: Eraser, erasure_id: UUID, own: dict[str, Any]) -> str:
    """What is the organisation's own, once its students have left; as `erase_some`."""
    sessions = eraser.sessions
    async with sessions() as session, session.begin():
        unfinished = await _UNFINISHED.send(session, {"id": erasure_id})
    for order in unfinished:
        if not await go_on(sessions, eraser.bucket, order["id"]):
            return "file_arriving"
    began = eraser.now()
    await _count(sessions, erasure_id, await forget_messages(sessions, own))
    await _count(sessions, erasure_id, await forget_records(sessions, own))
    async with sessions() as session, session.begin():
        if await _LOCK.send(session, {"id": erasure_id}):
            removed = await delete_courses(session, own["org"], before=began - CLOCKS)
            if removed is None:
                return "more"
            await _add(session, erasure_id, removed)
            await _COMPLETE.send(session, {"id": erasure_id})
    return ""


async def _count(sessions: Sessions, erasure_id: UUID, removed: Mapping[str, int]) -> None:
    async with sessions() as session, session.begin():
        await _add(session, erasure_id, removed)


async def _add(session: Session, erasure_id: UUID, removed: Mapping[str, int]) -> None:
    locked = await _LOCK.send(session, {"id": erasure_id})
    if locked and any(removed.values()):
        counts = Counter(json.loads(locked[0]["counts"])) + Counter(removed)
        await _COUNT.send(session, {"id": erasure_id, "counts": json.dumps(counts)})
