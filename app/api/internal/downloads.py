"""Files by URL, for an operator."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api.callers import Reader, Writer
from app.api.dependencies import Opened, read_small
from app.api.described import json_body
from app.api.paging import LINKED, ListPage, PageQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.errors import JobNotDeadError, NotFoundError, UrlNotAllowedError
from app.submissions.list_downloads import (
    DownloadAnswer,
    DownloadFilter,
    NewAddress,
    fetch_again,
    list_downloads,
)

router = APIRouter(prefix="/internal/v1/downloads", tags=["submissions"])


class DownloadQuery(DownloadFilter, PageQuery):
    """Which files; several filters narrow together."""


class DownloadList(ListPage[DownloadAnswer]):
    """A page of files by URL, newest first."""


@router.get(
    "",
    name="listDownloads",
    summary="List files by URL",
    description="Files that submissions named by an address, newest first.",
    responses=LINKED | problems(*INTERNAL_PROBLEMS),
)
async def read_downloads(
    query: Annotated[DownloadQuery, Query()], opened: Opened, pages: Pages, caller: Reader
) -> DownloadList:
    return DownloadList(
        **await pages.read(
            query, partial(list_downloads, opened.sessions, query, caller=caller.name)
        )
    )


@router.post(
    "/{download_id}/retry",
    name="retryDownload",
    summary="Fetch a file again",
    description="At once, by a new link if one is named. 409 for a file that is stored.",
    responses=problems(
        NotFoundError, UrlNotAllowedError, JobNotDeadError, *INTERNAL_PROBLEMS, *JSON_PROBLEMS
    ),
    status_code=204,
    openapi_extra=json_body(NewAddress),
)
async def retry(download_id: UUID, request: Request, opened: Opened, caller: Writer) -> Response:
    asked = await read_small(request, NewAddress)
    await fetch_again(opened.sessions, opened.settings, download_id, asked.url, caller=caller.name)
    return Response(status_code=204)
