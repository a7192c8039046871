"""A school's data: who is known, everything as a zip, and its end with a certificate."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field, StrictBool
from starlette.responses import Response, StreamingResponse

from app.api.callers import Admin
from app.api.dependencies import Now, Opened, read_small
from app.api.described import json_body
from app.api.internal.students import A_ZIP, ZIP
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.clock import new_id
from app.errors import NotFoundError, ReferencedElsewhereError
from app.fields import ContractModel, SparkId
from app.privacy.export_organisation import begin_organisation_export
from app.privacy.order_organisation import OrganisationOrder
from app.privacy.organisation_certificate import (
    OrganisationCount,
    OrganisationErasureAnswer,
    OrganisationReply,
    ask_erasure,
    count_organisations,
    read_certificate,
)

router = APIRouter(prefix="/internal/v1/organisations", tags=["organisations"])


class OrganisationList(ContractModel):
    """Every organisation that a course or a roster names."""

    items: list[OrganisationCount] = Field(description="By its id.")


class OrganisationQuery(ContractModel):
    """Which organisation. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid")

    spark_org_id: SparkId = Field(description="As Spark names it; never empty.", examples=["24"])


class OrganisationToErase(OrganisationQuery):
    """Whose data is to go. Unknown members are refused."""

    apply: StrictBool = Field(
        default=False, description="Do it; else it is only said.", examples=[False]
    )
    despite_hold: StrictBool = Field(
        default=False, description="Also what a hold is on.", examples=[False]
    )


@router.get(
    "",
    name="listOrganisations",
    summary="List organisations",
    description="Counts alone. Students whom no course and no roster ties to one are in none.",
    responses=problems(*INTERNAL_PROBLEMS),
)
async def read_organisations(opened: Opened, _: Admin) -> OrganisationList:
    return OrganisationList(items=await count_organisations(opened.sessions))


@router.get(
    "/export",
    name="exportOrganisation",
    summary="Export everything of an organisation",
    description=(
        "A zip with `index.csv`, a folder for each student as in a student's export, and what is no"
        " student's. Of accounts that Spark did not make, and of who also belongs to another"
        " organisation, only what is this one's. Each export is in the audit log."
    ),
    response_class=StreamingResponse,
    responses={**A_ZIP, **problems(NotFoundError, *INTERNAL_PROBLEMS)},
)
async def export(
    query: Annotated[OrganisationQuery, Query()], opened: Opened, now: Now, caller: Admin
) -> Response:
    stream = await begin_organisation_export(
        opened.sessions, opened.bucket, query.spark_org_id, caller=caller.name, now=now
    )
    said = f'attachment; filename="organisation-{now:%Y-%m-%d}.zip"'
    return StreamingResponse(stream, media_type=ZIP, headers={"Content-Disposition": said})


@router.post(
    "/erasures",
    name="eraseOrganisation",
    summary="Erase an organisation",
    description=(
        "Says what would go; with `apply` it is ordered, and a worker does it: students whose"
        " accounts Spark made are erased, of others the link and what came through Spark goes, and"
        " who also belongs to another organisation is named and loses only what was done in the"
        " courses of this one. Then its courses, rosters and messages. Asked again it is the same"
        " order, and once it is complete its certificate."
    ),
    responses=problems(NotFoundError, ReferencedElsewhereError, *INTERNAL_PROBLEMS, *JSON_PROBLEMS),
    openapi_extra=json_body(OrganisationToErase),
)
async def erase(request: Request, opened: Opened, now: Now, caller: Admin) -> OrganisationReply:
    asked = await read_small(request, OrganisationToErase)
    order = OrganisationOrder(new_id(), asked.spark_org_id, caller.name, now)
    return await ask_erasure(
        opened.sessions, order, is_dry=not asked.apply, despite_hold=asked.despite_hold
    )


@router.get(
    "/erasures/{erasure_id}",
    name="getOrganisationErasure",
    summary="Read the certificate of an erasure",
    description="What was removed so far; with `completed_at` all of it.",
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def certificate(erasure_id: UUID, opened: Opened, _: Admin) -> OrganisationErasureAnswer:
    return await read_certificate(opened.sessions, erasure_id)
