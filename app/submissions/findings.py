"""What is said of a homework that somebody misses: a sentence for each state, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app import errors
from app.deliveries.read_inbox import DeliveryAnswer
from app.errors import ServiceError
from app.submissions.explain_facts import ExplainStep, HomeworkFacts, ShownAnswer, Topic


@dataclass(frozen=True)
class Finding:
    """`{again}` is how to have the homework handed in again, other words are of _words."""

    says: str
    do: str | None = None


_REPLAY = "{Again}."
_SPARK = "Let Spark send a right message: a replay would be refused again."
_STUDENT = "Ask the student: it is theirs to show."

FINDINGS = {
    # the student
    "linked": Finding("The student is known."),
    "user_not_found": Finding(
        "No student of this Spark id has entered Optio, nor is on a roster.",
        "Let the student sign in from Spark once, then {again}.",
    ),
    "erased": Finding(
        "The student was erased, and what was handed in before is not taken any more.",
        "A new click in Spark makes a new, empty account; nothing else brings work back.",
    ),
    "paused": Finding(
        "The student's link to Spark is paused.",
        "Let the link be made active in the main app, then {again}.",
    ),
    "deletion_pending": Finding(
        "The student's account is being deleted.",
        "Ask whether it shall be; if not, take the deletion back in the main app, then {again}.",
    ),
    "not_a_student": Finding(
        "The account is not a student's any more.",
        "Ask whose account it is; homework is only taken for students.",
    ),
    "address_exists": Finding(
        "An Optio account with this student's address exists and was not linked: the address is not"
        " plain ASCII, or the given names differ. The work is in an account of its own."
    ),
    # the assignment
    "assignment_found": Finding("The assignment is known."),
    "assignment_retired": Finding(
        "The assignment is known; Spark no longer names it, and work for it is still taken."
    ),
    "assignment_by_hand": Finding(
        "Its task was chosen by hand at {mapped_at}, not by the course's sync."
    ),
    "assignment_by_link": Finding(
        "A link that was chosen at {linked_at} decides its task, before the course's sync."
    ),
    "assignment_link_lost": Finding(
        "The task or quest of its link is there no more, so the other rules decide.",
        "Let the teacher choose again, or take the link back, then {again}.",
    ),
    "assignment_not_found": Finding(
        "The assignment is not known, or its quest is not active.",
        "Let Spark sync the course, then {again}.",
    ),
    "assignment_ambiguous": Finding(
        "Several courses have an assignment of this id, and it is not plain which one is meant.",
        "Let Spark name spark_course_id, or enrol the student in one of the courses, then {again}.",
    ),
    # the enrolment
    "enrolled": Finding("The student is enrolled in its quest."),
    "enrolment_left": Finding("The student has left its quest; handing in takes it up again."),
    "not_enrolled": Finding("The student is not enrolled in its quest yet; handing in enrols."),
    # what arrived
    "nothing_arrived": Finding(
        "Nothing of this student for this assignment has arrived with a right signature in the time"
        " that deliveries are kept.",
        "Look for signature_* in spark_outcomes_total, and at Spark's own log; then {again}.",
    ),
    "forgotten": Finding("Its deliveries are not kept any more."),
    "not_kept": Finding(
        "Of this task nothing from Spark is kept. It was completed at {completed_at}: in Optio, or"
        " what was handed in has gone because it was old.",
        "If more was handed in since, look at Spark's own log; then {again}.",
    ),
    "recorded": Finding("The newest delivery, of {received_at}, was recorded."),
    "repeated": Finding(
        "The newest delivery, of {received_at}, repeated what was there, so nothing changed.",
        "Look at what was handed in before; if the student did other work, Spark must send that.",
    ),
    "not_shown": Finding(
        "The newest delivery, of {received_at}, was recorded, but another revision is shown: it was"
        " restored, or handed in later.",
        "If it should be shown, restore it: read submission {submission_id} for its number.",
    ),
    "gone": Finding(
        "The newest delivery, of {received_at}, was recorded, but nothing of it is there any more.",
        "Ask who removed the completion in the main app.",
    ),
    # what is shown
    "shown": Finding("Evidence shows revision {revision}, handed in at {submitted_at}."),
    "elsewhere": Finding(
        "It belongs to another quest than the one that the assignment means now: the course was"
        " synced after it was handed in."
    ),
    "partly_private": Finding(
        "Evidence shows revision {revision}, but the student made a part of it private.", _STUDENT
    ),
    "private": Finding("Revision {revision} is there, but the student made it private.", _STUDENT),
    "removed": Finding(
        "Revision {revision} is there, but the student removed it from the evidence.", _STUDENT
    ),
}
NOTHING_MISSING = "Nothing is missing: look at completion {completion_id}."

# Refusals by code. What had a cause outside of the message is replayed once the cause is gone, and
# what was our fault at any time; every other message stays wrong.
_TITLES = {
    kind.code: kind.title.lower()
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ServiceError)
}
_OURS = 500
_AMBIGUOUS = errors.AssignmentAmbiguousError.code  # an enrolment settles it, too, and wakes nothing
_CAUSED = {
    "user_not_found": "the student was not known",
    "account_inactive": "the account was not active",
    "assignment_not_found": "the assignment was not known",
    "assignment_ambiguous": "several courses had the assignment, and it named none",
    "timestamp_too_old": "it came too late",
    "timestamp_in_future": "its time lay in the future",
    "request_in_progress": "another request was handing in the same",
    "body_timeout": "it arrived too slowly",
}


def judge(facts: HomeworkFacts) -> tuple[list[ExplainStep], str]:
    """The sentences in order, and what to do next."""
    words = _words(facts)
    student: list[tuple[Topic, Finding]] = [("student", FINDINGS[facts.link.reason or "linked"])]
    if facts.link.address_exists:
        student.append(("student", FINDINGS["address_exists"]))
    student.append(("assignment", _assignment(facts)))
    if facts.assignment.mapped_at:
        student.append(("assignment", FINDINGS["assignment_by_hand"]))
    if facts.assignment.linked_at:
        student.append(("assignment", FINDINGS["assignment_by_link"]))
    if facts.assignment.link_lost:
        student.append(("assignment", FINDINGS["assignment_link_lost"]))
    if facts.link.user_id and facts.assignment.found:
        student.append(("enrolment", _enrolment(facts)))
    arrived: tuple[Topic, Finding] = ("delivery", _arrived(facts))
    shown: list[tuple[Topic, Finding]] = [
        ("evidence", finding)
        for finding in (_shown(facts, facts.submission) if facts.submission else ())
    ]
    newest = facts.deliveries[0] if facts.deliveries else None
    is_refused = newest is not None and newest.code is not None
    # What keeps the next one out is no trouble of one that is recorded.
    is_recorded = facts.submission is not None and not is_refused
    order = [*shown, arrived] if is_recorded else [*student, arrived, *shown]
    do = next((finding.do for _, finding in order if finding.do), NOTHING_MISSING)
    steps = [
        ExplainStep(topic=topic, ok=finding.do is None, says=finding.says.format(**words))
        for topic, finding in (*student, arrived, *shown)
    ]
    return steps, do.format(**words)


def _assignment(facts: HomeworkFacts) -> Finding:
    found = "assignment_retired" if facts.assignment.retired else "assignment_found"
    return FINDINGS[facts.assignment.code or found]


def _enrolment(facts: HomeworkFacts) -> Finding:
    if not facts.enrolment.enrolled:
        return FINDINGS["not_enrolled"]
    return FINDINGS["enrolled" if facts.enrolment.active else "enrolment_left"]


def _arrived(facts: HomeworkFacts) -> Finding:
    if not facts.deliveries:
        if facts.submission:
            return FINDINGS["forgotten"]
        return FINDINGS["not_kept" if facts.task.completed_at else "nothing_arrived"]
    newest = facts.deliveries[0]
    if newest.code is not None:
        return _refusal(newest)
    if facts.submission is None or newest.submission_id is None:
        return FINDINGS["gone"]
    if newest.submission_id != facts.submission.id:
        return FINDINGS["not_shown"]
    # Ids are in the order of time: what it became was there before it came.
    return FINDINGS["repeated" if newest.submission_id < newest.id else "recorded"]


def _refusal(delivery: DeliveryAnswer) -> Finding:
    may_pass = delivery.code in _CAUSED or delivery.status >= _OURS
    return Finding(
        f"The newest delivery, of {{received_at}}, was {_refused(delivery)}",
        _REPLAY if may_pass else _SPARK,
    )


def _refused(delivery: DeliveryAnswer) -> str:
    code = delivery.code or ""
    because = _CAUSED.get(code) or _TITLES.get(code, code.replace("_", " "))
    waits = f" It is waiting for the {delivery.waiting_for}." if delivery.waiting_for else ""
    return f"refused: {because}.{waits}"


def _shown(facts: HomeworkFacts, submission: ShownAnswer) -> list[Finding]:
    if submission.confidential or (submission.blocks_private and not submission.blocks_shown):
        seen = FINDINGS["private"]
    elif submission.blocks_private:
        seen = FINDINGS["partly_private"]
    else:
        seen = FINDINGS["shown" if submission.blocks_shown else "removed"]
    is_here = facts.assignment.quest_id in (None, submission.quest_id)
    return [seen] if is_here else [seen, FINDINGS["elsewhere"]]


def judge_delivery(delivery: DeliveryAnswer) -> tuple[str, str]:
    """What became of one, and what to do next if nothing else is known."""
    came = f"The request, of {said_moment(delivery.received_at)},"
    if delivery.replayed_at:
        came += f" was processed again at {said_moment(delivery.replayed_at)}, and"
    if delivery.code is None:
        return f"{came} was taken.", "Nothing is missing."
    step = _refusal(delivery).do or ""
    return f"{came} was {_refused(delivery)}", step.format(**_repetition([delivery]))


def said_moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _words(facts: HomeworkFacts) -> dict[str, object]:
    words: dict[str, object] = {}
    if facts.submission:
        words |= vars(facts.submission)
        words["submitted_at"] = said_moment(facts.submission.submitted_at)
    words |= _repetition(facts.deliveries)
    for name in ("mapped_at", "linked_at"):
        if moment := getattr(facts.assignment, name):
            words[name] = said_moment(moment)
    if facts.task.completed_at:
        words["completed_at"] = said_moment(facts.task.completed_at)
    if facts.deliveries:
        newest = facts.deliveries[0]
        words["received_at"] = said_moment(newest.received_at)
        words["submission_id"] = newest.submission_id
    return words


def _repetition(deliveries: Sequence[DeliveryAnswer]) -> dict[str, str]:
    """`again` once what is missing is there; `Again` at once."""
    again = _again(deliveries)
    waits = any(each.waiting_for and each.code != _AMBIGUOUS for each in deliveries[:1])
    return {
        "again": "it is processed again by itself" if waits else again,
        "Again": again[0].upper() + again[1:],
    }


def _again(deliveries: Sequence[DeliveryAnswer]) -> str:
    for delivery in deliveries[:1]:
        if delivery.code is not None and delivery.replayable:
            return f"replay delivery {delivery.id}"
    return "let Spark send it again"
