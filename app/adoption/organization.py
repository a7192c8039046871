"""In whose organisation Spark's students are linked: a link names one there (#4)."""

from uuid import UUID

from sqlalchemy import Uuid, bindparam, text

from app.adoption.finding import Finding
from app.adoption.read_catalogue import Catalogue
from app.adoption.requirements import ORGANISATIONS
from app.database import Session, Sessions

_COLUMN, _SETTING = "lms_integrations.organization_id", "OPTIO_ORGANIZATION_ID"
_CHOICE = "Set it to an id of `select id, name from organizations`."
_NAME = text("select name from organizations where id = :organization_id").bindparams(
    bindparam("organization_id", type_=Uuid)
)


async def judge_organization(
    session: Session, catalogue: Catalogue, organization_id: UUID | None
) -> Finding | None:
    """None where a link needs no organisation. Of `refuse` no new link can be made."""
    if not catalogue.links_need_organization:
        return None
    if organization_id is None:
        return Finding("refuse", _COLUMN, f"is mandatory, and {_SETTING} is not set", _CHOICE)
    table = catalogue.tables.get(ORGANISATIONS)
    if table is None or "select" not in table.rights or "name" not in table.columns:
        return None  # `compare` says what can be said
    found = await session.execute(_NAME, {"organization_id": organization_id})
    name = found.scalar_one_or_none()
    if name is None:
        return Finding("refuse", _SETTING, "names no organisation of this database", _CHOICE)
    return Finding("adapt", _COLUMN, f"is mandatory: {_SETTING} = {name}")


async def refuse_organization(
    sessions: Sessions, catalogue: Catalogue, organization_id: UUID | None
) -> list[Finding]:
    """What of that is `refuse`."""
    async with sessions() as session, session.begin():
        finding = await judge_organization(session, catalogue, organization_id)
    return [finding] if finding and finding.mark == "refuse" else []
