"""What students handed in: lists, one with all its revisions, and an earlier one shown again."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from app.api.callers import Reader, Writer
from app.api.dependencies import Now, Opened, RequestId
from app.api.paging import LINKED, ListPage, PageQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.api.submission_answer import SubmissionAnswer, answer_submission
from app.clock import new_id
from app.errors import AccountInactiveError, NotFoundError
from app.submissions.get_submission import SubmissionDetail, get_submission
from app.submissions.list_submissions import SubmissionFacts, SubmissionFilter, list_submissions
from app.submissions.restore import restore_revision

router = APIRouter(prefix="/internal/v1/submissions", tags=["submissions"])

MAX_REVISION = 2**31 - 1  # as the column


class SubmissionQuery(SubmissionFilter, PageQuery):
    """Which handings-in; several filters narrow together."""


class SubmissionList(ListPage[SubmissionFacts]):
    """A page of handings-in, newest first."""


@router.get(
    "",
    name="listSubmissions",
    summary="List submissions",
    description=(
        "Every handing-in, newest first, without texts. Filters narrow it together; several"
        " revisions of one completion are several items."
    ),
    responses=LINKED | problems(*INTERNAL_PROBLEMS),
)
async def read_submissions(
    query: Annotated[SubmissionQuery, Query()], opened: Opened, pages: Pages, caller: Reader
) -> SubmissionList:
    return SubmissionList(
        **await pages.read(
            query, partial(list_submissions, opened.sessions, query, caller=caller.name)
        )
    )


@router.get(
    "/{submission_id}",
    name="getSubmission",
    summary="Read a submission",
    description=(
        "With its text and grade, and every revision of its completion with their files. A child's"
        " work: each reading is kept in the audit log. Links to files always download."
    ),
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def read_submission(
    submission_id: UUID, caller: Reader, opened: Opened, now: Now
) -> SubmissionDetail:
    return await get_submission(
        opened.sessions, opened.bucket, submission_id, caller=caller.name, now=now
    )


@router.post(
    "/{submission_id}/revisions/{revision}/restore",
    name="restoreRevision",
    summary="Show an earlier revision again",
    description=(
        "As a new revision of the same completion, with the text and the files of the one that is"
        " named, handed in now. Nothing is paid again. What is shown already stays as it is"
        " (`duplicate`), so it may be repeated."
    ),
    response_model=SubmissionAnswer,
    responses=problems(NotFoundError, AccountInactiveError, *INTERNAL_PROBLEMS),
)
async def restore(
    submission_id: UUID,
    revision: Annotated[int, Path(ge=1, le=MAX_REVISION, description="Its number.", examples=[1])],
    caller: Writer,
    opened: Opened,
    now: Now,
    request_id: RequestId,
) -> Response:
    restored = await restore_revision(
        opened.intake, submission_id, revision, caller=caller.name, now=now, new_id=new_id
    )
    return answer_submission(restored, request_id)
