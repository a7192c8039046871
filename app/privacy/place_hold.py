"""Holds: what retention leaves alone, of a student or of an organisation's students, until somebody
lifts them. A reason may name a child, so no log has it.
"""

from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import bindparam, delete, select

from app import fields
from app.activity.audit import Action, record_audit, record_audit_of_many
from app.adoption.people import IS_STUDENT_SQL
from app.database import Columns, Session, Sessions, Statement
from app.errors import NotFoundError
from app.models import Hold

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00]*$"),
]
EXAMPLE = "Order of the court, 7 O 12/26"


class NewHold(fields.ContractModel):
    """Whose submissions stay. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID | None = Field(
        None, description="This student's.", examples=[fields.UUID_EXAMPLE]
    )
    spark_org_id: fields.SparkId | None = Field(
        None,
        description="Or those of all students of this organisation of Spark's.",
        examples=[None],
    )
    reason: Reason = Field(description="Why, for whoever lifts it.", examples=[EXAMPLE])

    @model_validator(mode="after")
    def _of_one(self) -> Self:
        if (self.user_id is None) == (self.spark_org_id is None):
            raise ValueError("name either user_id or spark_org_id")
        return self


class HoldAnswer(fields.ContractModel):
    """What retention leaves alone, and why."""

    id: fields.Id = Field(title="Hold id", description="The hold.")
    user_id: fields.NullableId = Field(description="The student; null for an organisation.")
    spark_org_id: str | None = Field(
        description="The organisation, whose students are enrolled in its courses; null for one"
        " student.",
        examples=["24"],
    )
    reason: str = Field(description="Why.", examples=[EXAMPLE])
    placed_by: str = Field(
        description="As the audit log names callers.", examples=["optio_5f0c3a9e7b21d846"]
    )
    placed_at: fields.Moment = Field(description="When.")


# What is just going has gone when this returns: nothing goes any more that is held afterwards.
_WAIT = Statement("select from spark.expiry_notices where finished_at is null for update")
_PLACE = Statement(
    f"""
    insert into spark.holds (id, user_id, spark_org_id, reason, placed_by)
    select :id::uuid, whose.user_id, whose.spark_org_id, :reason::text, :caller::text
    from (
      select users.id as user_id, null as spark_org_id from users
      where users.id = :user_id::uuid and {IS_STUDENT_SQL}
      union all (
        select null, spark_org_id from spark.courses
        where spark_org_id = :spark_org_id::text and spark_org_id <> '' limit 1)) whose
    returning *
    """  # noqa: S608 - our own words
)
_LIFT = delete(Hold).where(Hold.id == bindparam("hold_id")).returning(Hold.__table__)


async def place_hold(
    sessions: Sessions, hold: NewHold, *, hold_id: UUID, caller: str
) -> HoldAnswer:
    """From here on nothing of theirs goes. Audited. Raises NotFoundError for who is no student, or
    an organisation without a course.
    """
    async with sessions() as session, session.begin():
        await _WAIT.send(session, {})
        placed = await _PLACE.send(session, hold.model_dump() | {"id": hold_id, "caller": caller})
        if not placed:
            raise NotFoundError
        await _audit(session, caller, "sensitive_create", placed[0])
    return HoldAnswer(**placed[0])


async def list_holds(sessions: Sessions, *, caller: str) -> list[HoldAnswer]:
    """The oldest first. Audited."""
    async with sessions() as session, session.begin():
        found = await session.execute(select(Hold.__table__).order_by(Hold.id))
        holds = [HoldAnswer(**row) for row in found.mappings()]
        held = [hold.user_id for hold in holds if hold.user_id]
        await record_audit_of_many(session, caller, "sensitive_read", held, what="holds")
    return holds


async def lift_hold(sessions: Sessions, hold_id: UUID, *, caller: str) -> None:
    """Audited. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        lifted = (await session.execute(_LIFT, {"hold_id": hold_id})).mappings().one_or_none()
        if lifted is None:
            raise NotFoundError
        await _audit(session, caller, "sensitive_update", lifted)


async def _audit(session: Session, caller: str, action: Action, hold: Columns) -> None:
    ids = {"hold_id": str(hold["id"]), "spark_org_id": hold["spark_org_id"]}
    await record_audit(session, caller, action, user_id=hold["user_id"], **ids)
