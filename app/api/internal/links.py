"""Which work an assignment means, said by a person: what the picker writes, for programs."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api.callers import READ, Writer
from app.api.dependencies import Now, Opened, read_small
from app.api.described import json_body
from app.api.paging import LINKED, ListPage, PageQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.courses.link_assignment import (
    AssignmentLink,
    LinkFilter,
    NewAssignmentLink,
    link_assignment,
    list_links,
    retire_link,
)
from app.errors import NotFoundError

router = APIRouter(prefix="/internal/v1/links", tags=["courses"])


class LinkQuery(LinkFilter, PageQuery):
    """Which links; several filters narrow together."""


class LinkList(ListPage[AssignmentLink]):
    """A page of links."""


@router.get(
    "",
    name="listLinks",
    dependencies=[READ],
    summary="List links of assignments",
    description="Also those that were taken back, or do not hold any more; in no order of time.",
    responses=LINKED | problems(*INTERNAL_PROBLEMS),
)
async def read_links(
    query: Annotated[LinkQuery, Query()], opened: Opened, pages: Pages
) -> LinkList:
    return LinkList(**await pages.read(query, partial(list_links, opened.sessions, query)))


@router.put(
    "",
    name="putLink",
    summary="Link an assignment to a quest or a task",
    description=(
        "Homework goes there from then on: in its course a link comes before the course's sync, and"
        " no course message changes it. What was handed in before stays where it is. An assignment"
        " has one link: the last one put. Audited; it may be repeated."
    ),
    responses=problems(*JSON_PROBLEMS, *INTERNAL_PROBLEMS),
    openapi_extra=json_body(NewAssignmentLink),
)
async def put(request: Request, opened: Opened, now: Now, caller: Writer) -> AssignmentLink:
    wanted = await read_small(request, NewAssignmentLink)
    return await link_assignment(
        opened.sessions,
        wanted,
        chosen_by=None,
        caller=caller.name,
        route=router.prefix,
        now=now,
    )


@router.delete(
    "/{link_id}",
    name="deleteLink",
    summary="Take a link back",
    description="The other rules decide again. The row stays, and may be put again. Audited.",
    status_code=204,
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def delete(link_id: UUID, opened: Opened, now: Now, caller: Writer) -> Response:
    await retire_link(opened.sessions, link_id, caller=caller.name, now=now)
    return Response(status_code=204)
