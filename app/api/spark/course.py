"""The course webhook: hand the request to `courses`, answer what it did."""

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from app import fields
from app.api.dependencies import Now, Opened, RequestId
from app.api.described import json_body
from app.api.problem_groups import WEBHOOK_PROBLEMS
from app.api.problems import problems
from app.api.spark.delivery import WEBHOOK, DryRun, read_delivery
from app.api.spark.dry_run import DryRunAnswer, describe_rehearsal
from app.courses.course import CoursePayload
from app.courses.receive_course import receive_course, rehearse_course
from app.errors import CourseSyncFailedError, MessageSupersededError

router = APIRouter(tags=["courses"])

DESCRIPTION = """\
Send the whole course each time: its title and all its assignments in order. It becomes a quest,
each assignment a task, and submissions for them find their place. Students who are enrolled get
new assignments and due dates; titles and order follow where nobody has worked yet. An assignment
that is no longer in the list is retired: nobody has to do it any more, and nothing that was handed
in is lost. Without `assignments` they stay as they are.

Signed like a submission. Sending the same again changes nothing; of two different messages at once
one comes after the other entirely. With `sent_at` one that is older than the last taken is 409
`message_superseded`."""


class CourseAnswer(fields.ContractModel):
    """The course is as Spark says."""

    success: fields.Success
    quest_id: fields.Id = Field(description="Optio's quest.")
    task_count: int = Field(description="Tasks that were created or updated.", examples=[12])
    message: str = Field(
        description="For people.", examples=["Quest 'Weather' synced successfully"]
    )
    warnings: fields.Warnings
    request_id: fields.RequestId


@router.post(
    "/spark/webhook/course",
    name="syncCourse",
    summary="Announce a course",
    description=DESCRIPTION,
    response_model=CourseAnswer | DryRunAnswer,
    openapi_extra={**WEBHOOK, **json_body(CoursePayload)},
    responses=problems(*WEBHOOK_PROBLEMS, MessageSupersededError, CourseSyncFailedError),
)
async def sync(
    request: Request, opened: Opened, now: Now, request_id: RequestId, *, dry_run: DryRun = False
) -> Response:
    with read_delivery(request, opened, now=now) as delivery:
        settings, sessions = opened.settings, opened.sessions
        if dry_run:
            return describe_rehearsal(
                await rehearse_course(settings, sessions, delivery), request_id
            )
        synced, warnings = await receive_course(
            settings, sessions, delivery, opened.intake.tombstones
        )
        answer = CourseAnswer(
            success=True,
            quest_id=synced.quest_id,
            task_count=synced.task_count,
            message=f"Quest '{synced.title}' synced successfully",
            warnings=[*warnings],
            request_id=request_id,
        )
        return JSONResponse(answer.model_dump(mode="json"))
