"""What became of a request that somebody names by its `request_id` (DESIGN R37)."""

from typing import Any

from app.accounts.tombstones import Tombstones
from app.activity.audit import record_audit
from app.activity.log_page import ActivityLogEvent
from app.activity.search import find_failure
from app.database import Session, Sessions
from app.deliveries.read_inbox import DeliveryAnswer, DeliveryFilter, newest_deliveries
from app.submissions.explain import look_at
from app.submissions.explain_facts import (
    ExplainAnswer,
    ExplainStep,
    Homework,
    HomeworkFacts,
)
from app.submissions.findings import judge, judge_delivery, said_moment

NOT_KEPT = "Nothing is kept of a request with this id."
LOOK_AT_THE_LOG = "Look for the id in the log: the line of the request has its code."
HINT = "Its answer said in `hint` what is wrong: let the sender do that, and send it again."
# By how the type of a failure begins.
STEPS = {
    "spark_sso": "Let the student click in Spark again.",
    "spark_token": "Let the student click in Spark again: a code lives briefly, and once.",  # nosec
}
NOTHING: dict[str, Any] = dict.fromkeys(HomeworkFacts.model_fields) | {"deliveries": []}


async def explain_request(
    sessions: Sessions, tombstones: Tombstones, request_id: str, *, caller: str
) -> ExplainAnswer:
    """An id that nobody knows is an answer, too. Audited."""
    async with sessions() as session, session.begin():
        delivery = await _find_delivery(session, request_id)
        event = None if delivery else await find_failure(session, request_id)
        homework = _homework(delivery) if delivery else None
        facts = await look_at(session, tombstones, homework) if homework else None
        whose = facts.link.user_id if facts else event.user_id if event else None
        await record_audit(session, caller, "sensitive_read", user_id=whose, what="explain")
    steps, do = _judge(delivery, event, facts)
    return ExplainAnswer(
        spark_user_id=delivery.spark_user_id if delivery else None,
        spark_assignment_id=delivery.spark_assignment_id if delivery else None,
        delivery=delivery,
        event=event.model_copy(update={"user_name": None}) if event else None,  # no name is in it
        summary=[step.says for step in steps],
        steps=steps,
        next=do,
        **(dict(facts) if facts else NOTHING),
    )


async def _find_delivery(session: Session, request_id: str) -> DeliveryAnswer | None:
    """The newest, should a sender have used one id for several requests."""
    newest = newest_deliveries(DeliveryFilter(request_id=request_id), None, 1)
    found = (await session.execute(newest)).mappings().one_or_none()
    return DeliveryAnswer(**found) if found else None


def _homework(delivery: DeliveryAnswer) -> Homework | None:
    student, assignment = delivery.spark_user_id, delivery.spark_assignment_id
    if student is None or assignment is None:
        return None
    return Homework(
        spark_user_id=student,
        spark_assignment_id=assignment,
        spark_course_id=delivery.spark_course_id,
    )


def _judge(
    delivery: DeliveryAnswer | None, event: ActivityLogEvent | None, facts: HomeworkFacts | None
) -> tuple[list[ExplainStep], str]:
    if delivery:
        request, do = judge_delivery(delivery)
        steps, do = judge(facts) if facts else ([], do)
        return [_of_request(request, ok=delivery.code is None), *steps], do
    if event:
        because = str(event.event_data.get("error_message")).lower()
        request = f"The request, of {said_moment(event.timestamp)}, failed: {because}."
        todo = (do for begin, do in STEPS.items() if event.event_type.startswith(begin))
        return [_of_request(request, ok=False)], next(todo, HINT)
    return [_of_request(NOT_KEPT, ok=False)], LOOK_AT_THE_LOG


def _of_request(says: str, *, ok: bool) -> ExplainStep:
    return ExplainStep(topic="request", ok=ok, says=says)
