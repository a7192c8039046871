"""What the erasure of an organisation would do, and what it has done: counts, and nobody's name."""

import json
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from pydantic import Field

from app import fields
from app.activity.audit import record_audit_of_many
from app.database import Sessions, Statement
from app.errors import NotFoundError, ReferencedElsewhereError
from app.privacy.erase_organisation import COUNTS_SQL, count_strangers
from app.privacy.holdings import HOLDINGS, NOTHING
from app.privacy.keeping import name_of
from app.privacy.order_organisation import OrganisationOrder, order_erasure
from app.privacy.organisation_members import UNKNOWN, Fate, list_members, list_organisations
from app.privacy.organisation_rows import find_own

CERTIFIED = (
    "What this service kept for the organisation is erased from its database and file store. Left",
    "are counts, keyed hashes that recognise older messages, and the audit log, without names; of",
    "accounts that were there before, or are another organisation's, too, what is not this one's.",
    "Backups keep what they had until they are deleted.",
)
_WHAT = {
    "students_erased": "students whose accounts are erased",
    "students_unlinked": "students whose accounts were there before: all that came through Spark",
    "students_kept": "students of another organisation, too: what they did in this one's courses",
    "students_without_account": "others whom its rosters or refused homework named",
    "files": "files, from the file store",
    **{holding.name: holding.what for holding in HOLDINGS},
    **{name_of(table): what for table, what in NOTHING.items()},
}
HELD = (
    "Nothing was changed. Holds on it or its students: {}. Lift them, or order it with"
    " `despite_hold` (`--despite-hold`)."
)


class OrganisationCount(fields.ContractModel):
    """An organisation that courses or rosters name."""

    spark_org_id: str = Field(description="As Spark names it.", examples=["24"])
    courses: int = Field(ge=0, description="Its courses.", examples=[12])
    students: int = Field(ge=0, description="Its students.", examples=[240])
    shared: int = Field(ge=0, description="Those who belong to another, too.", examples=[3])
    synced_at: fields.NullableMoment = Field(description="When Spark named a course of it last.")


class KeptStudent(fields.ContractModel):
    """A student who also belongs to another organisation."""

    user_id: fields.UserId
    spark_user_ids: list[str] = Field(description="As Spark names the student.", examples=[["42"]])


class OrganisationPlan(fields.ContractModel):
    """What an erasure would do."""

    spark_org_id: str = Field(description="As Spark names it.", examples=["24"])
    erased: int = Field(ge=0, description="Students whose accounts Spark made.", examples=[230])
    unlinked: int = Field(
        ge=0,
        description="Students whose accounts stay without what came through Spark.",
        examples=[7],
    )
    kept: list[KeptStudent] = Field(
        description="Students who lose only what they did in its courses."
    )
    without_account: int = Field(
        ge=0, description="Others whom its rosters or refused homework name.", examples=[2]
    )
    holds: int = Field(
        ge=0, description="On it or its students: they need `despite_hold`.", examples=[0]
    )
    courses: int = Field(ge=0, description="Its courses.", examples=[12])
    files: int = Field(ge=0, description="Files of its students and courses.", examples=[4200])
    bytes: int = Field(ge=0, description="Their size.", examples=[20_000_000_000])


class OrganisationErasureAnswer(fields.ContractModel):
    """The certificate of an erasure. It holds nothing personal."""

    id: fields.Id = Field(description="The erasure.")
    spark_org_id: str = Field(description="Whose data.", examples=["24"])
    requested_at: fields.Moment = Field(description="When it was ordered.")
    requested_by: str = Field(
        description="By which service key, or by command.", examples=["operator"]
    )
    completed_at: fields.NullableMoment = Field(description="Null while it goes on.")
    counts: dict[str, int] = Field(
        description=(
            "What was removed: `students_erased`, `students_unlinked`, `students_kept`,"
            " `students_without_account`, `files`, and rows by table."
        ),
        examples=[{"students_erased": 230, "students_unlinked": 7, "files": 4200}],
    )


class OrganisationReply(fields.ContractModel):
    """What will go, and the order, unless it was only asked."""

    plan: OrganisationPlan = Field(description="What will go, or would.")
    erasure: OrganisationErasureAnswer | None = Field(description="Null in a dry run.")


_SIZES = Statement(
    """
    with file as (
      select u.stored_bytes from spark.uploads u
      left join spark.submission_revisions r on r.id = u.submission_id
      where u.state = 'committed' and (u.user_id = any (:erased::uuid[]) or r.quest_id in (
        select quest_id from spark.courses where spark_org_id = :org)))
    select (select count(*) from spark.courses where spark_org_id = :org) as courses,
      (select count(*) from spark.holds
        where spark_org_id = :org or user_id = any (:members::uuid[])) as holds,
      count(*) as files, coalesce(sum(stored_bytes), 0)::bigint as bytes
    from file
    """
)
_READ = f"""
select id, spark_org_id, requested_at, requested_by, completed_at,
  (case when completed_at is null then ({COUNTS_SQL}) else counts end)::text as counts
from spark.organisation_erasures o
"""  # noqa: S608 - of our own pieces
_ONE = Statement(f"{_READ} where id = :which")
_LAST = Statement(f"{_READ} where spark_org_id = :which order by requested_at desc limit 1")


def say_removed(counts: dict[str, int]) -> Iterator[str]:
    """For people: how much of what, students first; in the words of docs/data-protection.md."""
    for name in sorted(counts, key=lambda name: ("." in name, name)):
        yield f"{counts[name]:>9}  {_WHAT.get(name, 'rows')} ({name})"


async def count_organisations(sessions: Sessions) -> list[OrganisationCount]:
    return [OrganisationCount(**row) for row in await list_organisations(sessions)]


async def ask_erasure(
    sessions: Sessions, order: OrganisationOrder, *, is_dry: bool, despite_hold: bool = False
) -> OrganisationReply:
    """What would go, and unless `is_dry` the order for it: the one that is open, if there is one.
    Of an organisation that is gone, its last certificate.

    Raises NotFoundError for one that nothing names, and ReferencedElsewhereError. Audited.
    """
    plan = await _plan(sessions, order.spark_org_id, caller=order.caller)
    if not (plan.erased or plan.unlinked or plan.kept or plan.courses or plan.without_account):
        last = await _read(sessions, _LAST, order.spark_org_id, hint=UNKNOWN)
        return OrganisationReply(plan=plan, erasure=last)
    if is_dry:
        return OrganisationReply(plan=plan, erasure=None)
    if plan.holds and not despite_hold:
        held = [{"table": "spark.holds", "rows": plan.holds}]
        raise ReferencedElsewhereError(hint=HELD.format(plan.holds), references=held)
    order_id = await order_erasure(sessions, order)
    return OrganisationReply(plan=plan, erasure=await read_certificate(sessions, order_id))


async def _plan(sessions: Sessions, spark_org_id: str, *, caller: str) -> OrganisationPlan:
    fates = Counter[Fate]()
    members, erased, kept = list[UUID](), list[UUID](), list[KeptStudent]()
    async for member in list_members(sessions, spark_org_id):
        fates[member["fate"]] += 1
        members.append(member["user_id"])
        if member["fate"] == "erased":
            erased.append(member["user_id"])
        elif member["fate"] == "kept":
            named = {name: member[name] for name in KeptStudent.model_fields}
            kept.append(KeptStudent(**named))
    async with sessions() as session, session.begin():
        own = await find_own(session, spark_org_id)
        whose = {"org": spark_org_id, "erased": erased, "members": members}
        [sizes] = await _SIZES.send(session, whose)
        strangers = await count_strangers(session, own)
        await record_audit_of_many(
            session,
            caller,
            "sensitive_read",
            [student.user_id for student in kept] or [None],
            what="organisation",
        )
    return OrganisationPlan(
        spark_org_id=spark_org_id,
        erased=fates["erased"],
        unlinked=fates["unlinked"],
        kept=kept,
        without_account=strangers,
        **sizes,
    )


async def read_certificate(sessions: Sessions, erasure_id: UUID) -> OrganisationErasureAnswer:
    """Raises NotFoundError."""
    hint = "No erasure of an organisation has this id; `erase` printed it."
    return await _read(sessions, _ONE, erasure_id, hint=hint)


async def _read(
    sessions: Sessions, statement: Statement, which: UUID | str, *, hint: str
) -> OrganisationErasureAnswer:
    async with sessions() as session, session.begin():
        found = await statement.send(session, {"which": which})
    if not found:
        raise NotFoundError(hint=hint)
    return OrganisationErasureAnswer(**{**found[0], "counts": json.loads(found[0]["counts"])})
