"""One delivery: what was signed and answered, what it became, and once more."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from app.accounts.mask_addresses import mask_addresses
from app.api.callers import Caller
from app.api.dependencies import Now, Opened, Resources
from app.clock import new_id
from app.console.deliveries import PATH
from app.console.render import console_router, go_on, render
from app.console.visit import Reader, Writer
from app.deliveries.inbox import Entry
from app.deliveries.payload import beside_if_large, read_subject
from app.deliveries.read_inbox import DeliveryAnswer, open_kept
from app.deliveries.read_text import read_text
from app.errors import NotFoundError, ServiceError, UnavailableError
from app.evidence.link_file import HandedInFile
from app.submissions.get_submission import SubmissionDetail, get_submission
from app.submissions.list_downloads import DownloadAnswer, DownloadFilter, list_downloads
from app.submissions.rehearse import rehearse_replay
from app.submissions.replay import replay_delivery

SHOWN_CHARACTERS = 20_000
MOST_FILES = 50  # by URL

router = console_router()


@router.get("/deliveries/{delivery_id}")
async def show_delivery(
    delivery_id: UUID, request: Request, opened: Opened, now: Now, caller: Reader
) -> Response:
    delivery, entry = await open_kept(opened.sessions, delivery_id, caller=caller.name)
    values = await _look_into(opened, delivery, entry, caller, now)
    if request.query_params.get("text") == "shown":
        written, text = await read_text(
            opened.sessions, entry, user_id=delivery.user_id, caller=caller.name
        )
        if text is None and values["submission"]:
            written = text = values["submission"].text
        values |= {"written": written, "text": text or ""}
    return render(request, "delivery.html", rehearsal=None, **values)


async def _look_into(
    opened: Resources, delivery: DeliveryAnswer, entry: Entry, caller: Caller, now: datetime
) -> dict[str, Any]:
    subject = await beside_if_large(read_subject, entry.text)
    submission = await _find_submission(opened, delivery, caller, now)
    files: list[HandedInFile] = []
    downloads: list[DownloadAnswer] = []
    if submission:
        files = next(each.files for each in submission.revisions if each.id == submission.id)
        of_it = DownloadFilter(submission_id=submission.id)
        downloads = await list_downloads(
            opened.sessions, of_it, None, MOST_FILES, caller=caller.name
        )
    return {
        "delivery": delivery,
        "said_at": subject.submitted_at,
        "keeps_text": bool(entry.text),
        "submission": submission,
        "files": files,
        "downloads": downloads,
        "addresses": await mask_addresses(opened.sessions, [delivery.user_id]),
        "written": None,
        "text": None,  # unless it is asked for
        "shown": SHOWN_CHARACTERS,
    }


async def _find_submission(
    opened: Resources, delivery: DeliveryAnswer, caller: Caller, now: datetime
) -> SubmissionDetail | None:
    if delivery.submission_id is None:
        return None
    asked = (opened.sessions, opened.bucket, delivery.submission_id)
    try:
        return await get_submission(*asked, caller=caller.name, now=now)
    except NotFoundError:  # removed in this moment
        return None


@router.post("/deliveries/{delivery_id}/replay")
async def replay(
    delivery_id: UUID, request: Request, opened: Opened, now: Now, caller: Writer
) -> Response:
    """What the message itself comes to is no failure of the page."""
    here = f"{PATH}/{delivery_id}"
    try:
        recorded = await replay_delivery(
            opened.intake,
            delivery_id,
            caller=caller.name,
            now=now,
            new_id=new_id,
        )
    except (NotFoundError, UnavailableError):
        raise
    except ServiceError as refusal:
        said = f"Not recorded: {refusal.title}. {refusal.hint_text or ''}"
        return go_on(request, here, said.strip())
    is_old = recorded.is_replay or recorded.body["duplicate"]
    said = "It was there already: nothing has changed." if is_old else "It was recorded."
    return go_on(request, here, said)


@router.post("/deliveries/{delivery_id}/dry-run")
async def rehearse(
    delivery_id: UUID, request: Request, opened: Opened, now: Now, caller: Writer
) -> Response:
    """Nothing has changed that another page could show."""
    rehearsal = await rehearse_replay(opened.intake, delivery_id, caller=caller.name, now=now)
    delivery, entry = await open_kept(opened.sessions, delivery_id, caller=caller.name)
    values = await _look_into(opened, delivery, entry, caller, now)
    return render(request, "delivery.html", rehearsal=rehearsal, **values)
