"""What students handed in: lists, one with all its revisions, and an earlier one shown again."""

from datetime import datetime
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from app.api.callers import READ, WRITE, Caller
from app.api.dependencies import Now, Opened, RequestId
from app.api.internal.completions import link_file
from app.api.internal.submission_schemas import (
    RevisionAnswer,
    RevisionFacts,
    SubmissionDetail,
    SubmissionFacts,
    SubmissionList,
    SubmissionQuery,
)
from app.api.paging import Cursors, read_page
from app.api.problems import problems
from app.api.submission_answer import SubmissionAnswer, answer_submission
from app.clock import MILLISECOND, first_id, new_id
from app.errors import INTERNAL_PROBLEMS, AccountInactiveError, NotFoundError
from app.storage.bucket import Bucket
from app.submissions.get_submission import FullRevision, get_submission
from app.submissions.list_submissions import Wanted, list_submissions
from app.submissions.restore import Restoration, restore_revision

router = APIRouter(prefix="/internal/v1/submissions", tags=["submissions"])

MAX_REVISION = 2**31 - 1  # as the column


@router.get(
    "",
    name="listSubmissions",
    dependencies=[READ],
    summary="List submissions",
    description=(
        "Every handing-in, newest first, without texts. Filters narrow it together; several"
        " revisions of one completion are several items."
    ),
    responses=problems(*INTERNAL_PROBLEMS),
)
async def read_submissions(
    query: Annotated[SubmissionQuery, Query()], opened: Opened
) -> SubmissionList:
    page = await read_page(
        query,
        partial(list_submissions, opened.sessions, _wanted(query)),
        Cursors(router.prefix, opened.cursor_keys),
    )
    return SubmissionList.model_validate(page, from_attributes=True)


def _wanted(query: SubmissionQuery) -> Wanted:
    return Wanted(
        user_id=query.user_id,
        spark_user_id=query.spark_user_id,
        spark_assignment_id=query.spark_assignment_id,
        quest_id=query.quest_id,
        outcome=query.outcome,
        first_id=first_id(query.received_from) if query.received_from else None,
        end_id=first_id(query.received_to + MILLISECOND) if query.received_to else None,
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
    submission_id: UUID, caller: Annotated[Caller, READ], opened: Opened, now: Now
) -> SubmissionDetail:
    found = await get_submission(opened.sessions, submission_id, caller=caller.name)
    facts = SubmissionFacts.model_validate(found.asked, from_attributes=True)
    return SubmissionDetail(
        **dict(facts),
        text=found.asked.text,
        grade=_grade(found.asked),
        revisions=[await _revision(opened.bucket, each, now) for each in found.revisions],
    )


async def _revision(bucket: Bucket, revision: FullRevision, now: datetime) -> RevisionAnswer:
    facts = RevisionFacts.model_validate(revision, from_attributes=True)
    return RevisionAnswer(
        **dict(facts),
        text=revision.text,
        grade=_grade(revision),
        files=[await link_file(bucket, file, now) for file in revision.files],
    )


def _grade(revision: FullRevision) -> float | None:
    return None if revision.grade is None else float(revision.grade)


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
    caller: Annotated[Caller, WRITE],
    opened: Opened,
    now: Now,
    request_id: RequestId,
) -> Response:
    asked = Restoration(submission_id, revision, caller.name)
    restored = await restore_revision(opened.intake, asked, now=now, new_id=new_id)
    return answer_submission(restored, request_id)
