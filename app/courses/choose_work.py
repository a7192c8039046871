"""A teacher's choice: one transaction that takes the request, writes the link and tells of it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.courses.find_work import Quest, find_quests, read_meaning
from app.courses.link_assignment import AssignmentLink, NewAssignmentLink, choose_work, read_link
from app.database import Session, Sessions, Statement, retried
from app.errors import FieldInvalidError, LaunchTokenReplayedError

CALLER = ROUTE = "/spark/deep-link"
FULL_SCORE = 100  # what grades are sent out of
GONE = "It is no longer there: choose something else."

_TAKE = Statement(
    """
    insert into spark.sso_replays (key, code_hash, expires_at)
    values (:key, :code_hash, :expires_at) on conflict do nothing returning key
    """
)
_TAKEN_FOR = Statement("select code_hash from spark.sso_replays where key = :key")


async def look_around(
    sessions: Sessions, course: Mapping[str, Any], spark_assignment_id: str, words: str
) -> tuple[list[Quest], tuple[str, str] | None]:
    """What may be chosen, and what the assignment means today."""
    async with sessions() as session, session.begin():
        quests = await find_quests(session, course, words=words)
        meaning = await read_meaning(session, course, spark_assignment_id)
    return quests, meaning


@retried
async def choose(
    sessions: Sessions,
    wanted: NewAssignmentLink,
    *,
    replay_key: bytes,
    expires_at: datetime,
    chosen_by: bytes,
    now: datetime,
) -> tuple[AssignmentLink, dict[str, Any]]:
    """The link, and what Spark is told of the work. A second click on the same is the first one.

    Raises LaunchTokenReplayedError, or FieldInvalidError for work that is not there (any more) or
    that this organisation does not see; then nothing is taken.
    """
    async with sessions() as session, session.begin():
        item = await _see(session, wanted)
        if not await _take(session, wanted, replay_key, expires_at):
            link = await read_link(session, wanted)
            if (link.quest_id, link.task_id, link.retired_at) != (*item_ids(wanted), None):
                raise LaunchTokenReplayedError
            return link, item
        link = await choose_work(
            session, wanted, chosen_by=chosen_by, caller=CALLER, route=ROUTE, now=now
        )
    return link, item


def item_ids(wanted: NewAssignmentLink) -> tuple[UUID, UUID | None]:
    return wanted.quest_id, wanted.task_id


async def _take(
    session: Session, wanted: NewAssignmentLink, replay_key: bytes, expires_at: datetime
) -> bool:
    """False if the same was chosen with it before. Raises LaunchTokenReplayedError."""
    choice = hashlib.sha256(repr(item_ids(wanted)).encode()).hexdigest()
    use = {"key": replay_key, "code_hash": choice, "expires_at": expires_at}
    if await _TAKE.send(session, use):
        return True
    [taken] = await _TAKEN_FOR.send(session, use)
    if taken["code_hash"] != choice:
        raise LaunchTokenReplayedError
    return False


async def _see(session: Session, wanted: NewAssignmentLink) -> dict[str, Any]:
    """The work as a content item. Raises FieldInvalidError."""
    quests = await find_quests(session, wanted.model_dump(), quest_id=wanted.quest_id)
    tasks = [
        task
        for quest in quests
        for task in quest["tasks"]
        if wanted.task_id in (None, task["task_id"])
    ]
    if not tasks:
        raise FieldInvalidError(name="choice", hint=GONE)
    task, is_task = tasks[0], wanted.task_id is not None
    return {
        "type": "optio_task" if is_task else "optio_quest",
        "quest_id": str(wanted.quest_id),
        "task_id": str(wanted.task_id) if is_task else None,
        "title": task["task_title"] if is_task else task["title"],
        "text": (task["task_description"] if is_task else task["description"]) or "",
        "score_maximum": FULL_SCORE,
        "points": task["xp_value"],
        "due_date": task["due_date"] and task["due_date"].isoformat(),
    }
