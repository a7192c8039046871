"""`/spark/deep-link`: a teacher comes from Spark with a request, and goes back with an answer.

Nobody signs in and nothing is stored before the choice: between the pages the request travels in
them, sealed.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import HTMLResponse, Response

from app.api.dependencies import FORM, Now, Opened, Resources, read_form
from app.api.described import REFERENCE, request_body
from app.api.problem_groups import BODY_PROBLEMS, DEEP_LINK_PROBLEMS
from app.api.problems import problems
from app.clock import new_id
from app.courses.choose_work import ROUTE, choose, look_around
from app.courses.find_work import QUESTS_SHOWN
from app.courses.link_assignment import NewAssignmentLink
from app.deep_link.render import render
from app.errors import (
    FieldInvalidError,
    LaunchTokenMissingError,
    MediaTypeUnsupportedError,
    RequestInvalidError,
    SsoNotConfiguredError,
)
from app.fields import ContractModel
from app.signing import own_keys, sign
from app.sso.deep_link_token import (
    DeepLinkAnswer,
    DeepLinkRequest,
    open_request,
    seal_request,
    sign_answer,
    verify_deep_link,
)

router = APIRouter(tags=["deep-link"])

MAX_WORDS = 200
NOTHING = "Choose a quest or a task first."
EXAMPLE = "eyJhbGciOiJIUzI1NiJ9.eyJtZXNzYWdlX3R5cGUiOiJkZWVwX2xpbmtpbmdfcmVxdWVzdCJ9.c2lnbmF0dXJl"

DESCRIPTION = """\
Open it in the teacher's browser, in a window of its own, once the assignment is saved in Spark as a
draft. The token is a JWT, HS256 only, signed with the SSO secret as literal text; its claims are
`DeepLinkRequestClaims`. It may live 10 minutes, and a choice uses it up.

The teacher chooses a quest or one of its tasks, and homework for the assignment goes there from
then on. Their browser then posts the field `token` to `return_url`: a JWT of ours under the same
secret, with `typ` `optio-deep-link+jwt` in its header and the claims `DeepLinkAnswerClaims`. Check
signature, `typ`, `aud`, `exp`, and that `jti` is new and `state` yours."""


class DeepLinkForm(ContractModel):
    """What the teacher's browser posts."""

    token: str = Field(
        min_length=1, title="Request token", description="Of Spark.", examples=[EXAMPLE]
    )


HTML = {"type": "string", "title": "Page", "examples": ["<!doctype html>"]}
PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A page for people.", "content": {"text/html": {"schema": HTML}}}
}
CLAIMS = {
    f"x-{name}-claims": {"$ref": REFERENCE.format(model=model.model_config["title"])}
    for name, model in (("request", DeepLinkRequest), ("answer", DeepLinkAnswer))
}
TOKEN_PARAMETER = {
    "name": "token",
    "in": "query",
    "required": True,
    "description": "At most 16 KiB.",
    "schema": {"type": "string", "title": "Request token", "minLength": 1, "examples": [EXAMPLE]},
}


@router.get(
    ROUTE,
    name="chooseWork",
    summary="Let a teacher choose work",
    description=DESCRIPTION,
    response_class=HTMLResponse,
    responses={**PAGE, **problems(*DEEP_LINK_PROBLEMS)},
    openapi_extra={"parameters": [TOKEN_PARAMETER], **CLAIMS},
)
async def come_by_query(request: Request, opened: Opened, now: Now) -> Response:
    tokens = request.query_params.getlist("token")
    if len(tokens) > 1:
        raise RequestInvalidError(hint="Send one token parameter.")
    return await _begin(opened, tokens[0] if tokens else None, now)


@router.post(
    ROUTE,
    name="chooseWorkByForm",
    summary="Let a teacher choose work, by a form",
    description=DESCRIPTION,
    response_class=HTMLResponse,
    responses={
        **PAGE,
        **problems(*DEEP_LINK_PROBLEMS, *BODY_PROBLEMS, MediaTypeUnsupportedError),
    },
    openapi_extra=request_body({FORM: DeepLinkForm}) | CLAIMS,
)
async def come_by_form(request: Request, opened: Opened, now: Now) -> Response:
    fields = await read_form(request)
    if any(len(values) > 1 for values in fields.values()):
        raise RequestInvalidError(hint="Send each field once.")
    form = {name: values[0] for name, values in fields.items()}
    if "request" not in form:
        return await _begin(opened, form.get("token"), now)
    asked = open_request(form["request"], keys=opened.deep_link_keys, now=now)
    if form.get("act") == "cancel":
        return _answer(opened, asked, None, now)
    if form.get("act") == "choose":
        return await _choose(opened, asked, form, now)
    return await _show(opened, asked, form)


async def _begin(opened: Resources, token: str | None, now: datetime) -> Response:
    if not opened.launch_keys:
        raise SsoNotConfiguredError
    if not token:
        raise LaunchTokenMissingError
    settings = opened.settings
    asked = verify_deep_link(
        token, keys=opened.launch_keys, return_urls=settings.return_urls, now=now
    )
    await opened.limits.count_success(ROUTE, asked.sub, per_minute=settings.rate_limit_sso)
    sealed = seal_request(asked, key=opened.deep_link_keys[0], now=now)
    return await _show(opened, asked, {"request": sealed})


async def _show(
    opened: Resources, asked: DeepLinkRequest, form: Mapping[str, str], problem: str | None = None
) -> Response:
    words = form.get("q", "").strip()[:MAX_WORDS]
    course = {"spark_org_id": asked.spark_org_id, "spark_course_id": asked.spark_course_id}
    quests, meaning = await look_around(opened.sessions, course, asked.spark_assignment_id, words)
    return render(
        opened.settings,
        "picker.html",
        origin=asked.return_origin,
        status=400 if problem else 200,
        asked=asked,
        sealed=form["request"],
        words=words,
        chosen=form.get("choice"),
        quests=quests[:QUESTS_SHOWN],
        more=len(quests) > QUESTS_SHOWN,
        meaning=meaning,
        problem=problem,
        path=ROUTE,
    )


async def _choose(
    opened: Resources, asked: DeepLinkRequest, form: Mapping[str, str], now: datetime
) -> Response:
    quest_id, task_id = _read_choice(form.get("choice", ""))
    if quest_id is None:
        return await _show(opened, asked, form, NOTHING)
    wanted = NewAssignmentLink(
        spark_org_id=asked.spark_org_id,
        spark_course_id=asked.spark_course_id,
        spark_assignment_id=asked.spark_assignment_id,
        quest_id=quest_id,
        task_id=task_id,
    )
    [teachers_key, *_] = own_keys(opened.settings, "teacher of a link")
    try:
        link, item = await choose(
            opened.sessions,
            wanted,
            replay_key=asked.replay_key,
            expires_at=asked.expires_at,
            chosen_by=bytes.fromhex(sign(teachers_key, asked.sub.encode())),
            now=now,
        )
    except FieldInvalidError as gone:
        return await _show(opened, asked, form, gone.hint_text)
    address = f"{opened.settings.frontend_url}/quests/{link.quest_id}"
    return _answer(opened, asked, item | {"link_id": str(link.id), "url": address}, now)


def _read_choice(choice: str) -> tuple[UUID | None, UUID | None]:
    quest_id, _, task_id = choice.partition(":")
    with suppress(ValueError):
        return UUID(quest_id), UUID(task_id) if task_id else None
    return None, None


def _answer(
    opened: Resources, asked: DeepLinkRequest, item: Mapping[str, Any] | None, now: datetime
) -> Response:
    items = [item] if item else []
    token = sign_answer(asked, items, jti=str(new_id()), key=opened.launch_keys[0], now=now)
    return render(
        opened.settings,
        "answer.html",
        origin=asked.return_origin,
        asked=asked,
        item=item,
        token=token,
    )
