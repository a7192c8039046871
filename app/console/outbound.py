"""Outbound: whom jobs call, what waits or was given up and why, and once more."""

from contextlib import suppress
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.callers import Caller
from app.api.dependencies import Opened, Resources, read_fields, spark_api_of
from app.console.deliveries import read_query
from app.console.render import HOME, console_router, go_on, render
from app.console.visit import Admin, Reader, Writer, read_form
from app.errors import NotFoundError
from app.fields import Code
from app.files.make_jpeg import makes_jpeg
from app.grades.list_grades import count_dead_quests, read_grade, send_grade_again
from app.grades.write_grade import GRADE
from app.jobs.call_spark import test_spark
from app.jobs.call_target import TargetTest
from app.jobs.review import (
    JobFilter,
    count_jobs,
    discard_job,
    list_jobs,
    list_targets,
    read_job,
    retry_job,
    retry_jobs,
)
from app.jobs.targets import change_target
from app.submissions.list_downloads import fetch_again, read_download
from app.submissions.order_downloads import DOWNLOAD

PATH = f"{HOME}/outbound"
SHOWN = 50
NAMES = {  # of one job and of several
    "grade": ("grade", "grades"),
    "download": ("file by URL", "files by URL"),
    "picture": ("picture to become JPEG", "pictures to become JPEG"),
    "replay": ("replay", "replays"),
    "receipt": ("receipt", "receipts"),
    "alert": ("alert", "alerts"),
}

router = console_router()


class DeadAlike(BaseModel):
    """Those that died alike; a reason of None is any."""

    kind: Code
    reason: Code | None = None


@router.get("/outbound")
async def show_outbound(request: Request, opened: Opened, caller: Reader) -> Response:
    return await _show(request, opened, caller, tested=None)


async def _show(
    request: Request, opened: Resources, caller: Caller, *, tested: TargetTest | None
) -> Response:
    asked = read_query(request.query_params, JobFilter.model_fields)
    filters = read_fields(JobFilter, asked)
    return render(
        request,
        "outbound.html",
        asked=asked,
        counts=await count_jobs(opened.sessions, JobFilter()),
        jobs=await list_jobs(opened.sessions, filters, SHOWN, caller=caller.name),
        targets=await list_targets(opened.sessions),
        calls_spark=opened.spark_api is not None,
        makes_jpeg=makes_jpeg(opened.settings),
        tested=tested,
        names=NAMES,
        shown=SHOWN,
    )


# ---------------------------------------------------------------------------- targets


@router.post("/outbound/targets/test")
async def test(request: Request, opened: Opened, caller: Admin) -> Response:
    """What it says is nowhere kept, so the answer is the page itself."""
    tested = await test_spark(opened.sessions, spark_api_of(opened), caller=caller.name)
    return await _show(request, opened, caller, tested=tested)


@router.post("/outbound/targets/pause")
async def pause(request: Request, opened: Opened, caller: Admin) -> Response:
    return await _change(request, opened, caller, "paused")


@router.post("/outbound/targets/resume")
async def resume(request: Request, opened: Opened, caller: Admin) -> Response:
    return await _change(request, opened, caller, "open")


async def _change(
    request: Request, opened: Resources, caller: Caller, state: Literal["open", "paused"]
) -> Response:
    name = (await read_form(request)).get("name", "")
    await change_target(opened.sessions, name, state, caller=caller.name)
    said = {"open": "is called again.", "paused": "is called no more until somebody resumes it."}
    return go_on(request, PATH, f"{name} {said[state]}")


# ---------------------------------------------------------------------------- many


@router.get("/outbound/retry")
async def confirm_retry(request: Request, opened: Opened, _: Reader) -> Response:
    """What is about to begin anew: how many, of how many quests, since when."""
    alike = read_fields(DeadAlike, read_query(request.query_params, DeadAlike.model_fields))
    dead = JobFilter(state="dead", **alike.model_dump())
    counts = await count_jobs(opened.sessions, dead)
    if not counts:
        return go_on(request, PATH, "Nothing of this is dead any more.")
    is_grade = alike.kind == GRADE
    quests = await count_dead_quests(opened.sessions, alike.reason) if is_grade else None
    return render(
        request,
        "retry.html",
        alike=alike,
        jobs=sum(each.jobs for each in counts),
        oldest_at=min(each.oldest_at for each in counts),
        quests=quests,
        names=NAMES,
    )


@router.post("/outbound/retry")
async def retry_all(request: Request, opened: Opened, caller: Writer) -> Response:
    asked = read_query(await read_form(request), DeadAlike.model_fields)
    alike = read_fields(DeadAlike, asked)
    queued = await retry_jobs(opened.sessions, alike.kind, alike.reason, caller=caller.name)
    query = urlencode({"kind": alike.kind})
    return go_on(request, f"{PATH}?{query}", f"{queued:,} begin anew, with eight attempts each.")


# ---------------------------------------------------------------------------- one


@router.get("/outbound/{job_id}")
async def show_job(job_id: UUID, request: Request, opened: Opened, caller: Reader) -> Response:
    job = await read_job(opened.sessions, job_id, caller=caller.name)
    grade, download = None, None
    with suppress(NotFoundError):  # removed in this moment
        if job.kind == GRADE:
            grade = await read_grade(opened.sessions, UUID(job.key), caller=caller.name)
        elif job.kind == DOWNLOAD:
            download = await read_download(opened.sessions, UUID(job.key), caller=caller.name)
    return render(request, "job.html", job=job, grade=grade, download=download, names=NAMES)


@router.post("/outbound/{job_id}/retry")
async def retry(job_id: UUID, request: Request, opened: Opened, caller: Writer) -> Response:
    await retry_job(opened.sessions, job_id, caller=caller.name)
    return go_on(request, PATH, "It begins anew, with eight attempts.")


@router.post("/outbound/{job_id}/discard")
async def discard(job_id: UUID, request: Request, opened: Opened, caller: Admin) -> Response:
    await discard_job(opened.sessions, job_id, caller=caller.name)
    return go_on(request, PATH, "It will not be done.")


@router.post("/outbound/grades/{grade_id}/send")
async def send_grade(grade_id: UUID, request: Request, opened: Opened, caller: Writer) -> Response:
    spark_api_of(opened)
    await send_grade_again(opened.sessions, grade_id, caller=caller.name)
    return go_on(request, f"{PATH}?kind={GRADE}", "The grade is sent again.")


@router.post("/outbound/downloads/{download_id}/fetch")
async def fetch(download_id: UUID, request: Request, opened: Opened, caller: Writer) -> Response:
    """Without a link by the one that is known."""
    url = (await read_form(request)).get("url", "").strip() or None
    await fetch_again(opened.sessions, opened.settings, download_id, url, caller=caller.name)
    return go_on(request, f"{PATH}?kind={DOWNLOAD}", "The file is fetched.")
