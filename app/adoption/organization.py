"""In whose organisation Spark's students are linked: a link names one there (#4)."""

from uuid import UUID

from sqlalchemy import Uuid, bindparam, text

from app.adoption.finding import Finding
from app.adoption.shape import Shape
from app.database import Session

_COLUMN, _SETTING = "lms_integrations.organization_id", "OPTIO_ORGANIZATION_ID"
_CHOICE = "Set it to an id of `select id, name from organizations`."
_NAME = text("select name from organizations where id = :organization_id").bindparams(
    bindparam("organization_id", type_=Uuid)
)


async def judge_organization(
    session: Session, shape: Shape, organization_id: UUID | None
) -> Finding | None:
    """None where a link needs no organisation. Of `refuse` no new link can be made."""
    if not shape.links_need_organization:
        return None
    if organization_id is None:
        return Finding("refuse", _COLUMN, f"is mandatory, and {_SETTING} is not set", _CHOICE)
    found = await session.execute(_NAME, {"organization_id": organization_id})
    name = found.scalar_one_or_none()
    if name is None:
        return Finding("refuse", _SETTING, "names no organisation of this database", _CHOICE)
    return Finding("adapt", _COLUMN, f"is mandatory: {_SETTING} = {name}")
