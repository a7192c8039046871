"""Why is this homework missing? Every state has its sentence and its next step."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import delete, insert, update

from app.database import Sessions
from app.models import (
    EvidenceBlock,
    EvidenceDocument,
    InboxDelivery,
    LmsIntegration,
    QuestTaskCompletion,
    SparkLink,
    SubmissionRevision,
    User,
    UserQuest,
)
from app.submissions.findings import FINDINGS
from tests.conftest import create_assignment
from tests.support import samples
from tests.support.bodies import Part
from tests.support.courses import course, items, synced
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import blocks_of

EXPLAIN = "/internal/v1/explain"
NOBODY = SignedIn("nobody_on_earth", str(UUID(int=0)), "", "")
LINK = {"found", "user_id", "active", "reason", "erased", "address_exists"}
ASSIGNMENT = {
    *("found", "code", "quest_id", "quest_title", "task_template_id", "retired", "mapped_at"),
    *("linked_at", "link_lost", "rule"),
}
ENROLMENT = {"enrolled", "active", "started_at", "completed_at"}
TASK = {"task_id", "title", "completed", "completion_id", "completed_at", "xp_awarded"}


@dataclass
class Scene:
    """One student and one assignment, and what is asked about them."""

    browser: httpx.AsyncClient
    key: dict[str, str]
    spark: Spark
    sessions: Sessions
    student: SignedIn
    assignment: Assignment

    async def run(self, *statements: Any) -> None:
        async with self.sessions() as session, session.begin():
            for statement in statements:
                await session.execute(statement)

    async def send(self, *, ago: int = 0, **changes: Any) -> dict[str, Any]:
        moment = datetime.now(tz=UTC) - timedelta(minutes=ago)
        said = {"submitted_at": moment.isoformat(), "spark_course_id": ...} | changes
        payload = submission(self.student, self.assignment, **said)
        body: dict[str, Any] = (await self.spark.submit(payload)).json()
        return body

    async def explain(self, **changes: str) -> dict[str, Any]:
        query = {
            "spark_user_id": self.student.spark_user_id,
            "spark_assignment_id": self.assignment.spark_assignment_id,
        } | changes
        answer = await self.browser.get(EXPLAIN, params=query, headers=self.key)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def restore(self, submission_id: str, revision: int) -> None:
        path = f"/internal/v1/submissions/{submission_id}/revisions/{revision}/restore"
        answer = await self.browser.post(path, headers=self.key)
        assert answer.status_code == 200, answer.text

    @property
    def link(self) -> Any:
        return update(LmsIntegration).where(LmsIntegration.user_id == self.student.user_id)

    @property
    def user(self) -> Any:
        return update(User).where(User.id == self.student.user_id)

    @property
    def deliveries(self) -> Any:
        return InboxDelivery.spark_user_id == self.student.spark_user_id


@pytest.fixture
async def scene(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    sessions: Sessions,
    student: SignedIn,
) -> Scene:
    assignment = await create_assignment(sessions)
    return Scene(browser, main_app, spark, sessions, student, assignment)


# ---------------------------------------------------------------------------- how it got there


async def nothing(_: Scene) -> None:
    pass


async def unknown_student(scene: Scene) -> None:
    scene.student = replace(NOBODY, spark_user_id=f"nobody_{uuid4().hex}")


async def unknown_student_sent(scene: Scene) -> None:
    await unknown_student(scene)
    await scene.send()


async def erased(scene: Scene) -> None:
    path = f"/internal/v1/students/{scene.student.user_id}"
    assert (await scene.browser.delete(path, headers=scene.key)).status_code == 200


async def paused(scene: Scene) -> None:
    await scene.run(scene.link.values(sync_status="paused"))
    await scene.send()


async def switched_off(scene: Scene) -> None:
    await scene.run(scene.link.values(sync_enabled=False))


async def deletion_pending(scene: Scene) -> None:
    await scene.run(scene.user.values(deletion_status="pending"))
    await scene.send()


async def now_a_parent(scene: Scene) -> None:
    await scene.run(scene.user.values(role="parent"))


async def not_linked(scene: Scene) -> None:
    email = f"{uuid4().hex}@example.com"
    older = {"id": uuid4(), "email": email, "role": "student", "first_name": "Ada"}
    await scene.run(insert(User).values(**older))
    scene.student = await scene.spark.sign_in(email=email, given_name="Bob")


async def unknown_assignment(scene: Scene) -> None:
    scene.assignment = replace(scene.assignment, spark_assignment_id=f"unknown_{uuid4().hex}")


async def unknown_assignment_sent(scene: Scene) -> None:
    await unknown_assignment(scene)
    await scene.send()


async def synced_since(scene: Scene) -> None:
    await unknown_assignment_sent(scene)
    known = scene.assignment.spark_assignment_id
    await create_assignment(scene.sessions, spark_assignment_id=known)


async def ambiguous(scene: Scene) -> None:
    same = scene.assignment.spark_assignment_id
    await create_assignment(scene.sessions, spark_assignment_id=same)
    await scene.send()


async def retired(scene: Scene) -> None:
    name = f"retired_{uuid4().hex}"
    payload = course(name, "other")
    await synced(scene.spark, payload)
    await synced(scene.spark, payload | {"assignments": items("other")})
    scene.assignment = replace(scene.assignment, spark_assignment_id=name)


async def chosen_by_hand(scene: Scene) -> None:
    name, listed = f"chosen_{uuid4().hex}", "/internal/v1/courses"
    payload = course(name)
    await synced(scene.spark, payload)
    query = {"spark_course_id": payload["spark_course_id"]}
    found = await scene.browser.get(listed, params=query, headers=scene.key)
    path = f"{listed}/{found.json()['items'][0]['id']}/assignments"
    [each] = (await scene.browser.get(path, headers=scene.key)).json()["items"]
    choice = {"task_id": each["task_id"]}
    answer = await scene.browser.put(f"{path}/{name}/task", json=choice, headers=scene.key)
    assert answer.status_code == 200
    scene.assignment = replace(scene.assignment, spark_assignment_id=name)


async def linked(scene: Scene) -> None:
    link = {
        "spark_course_id": scene.assignment.spark_course_id,
        "spark_assignment_id": scene.assignment.spark_assignment_id,
        "quest_id": str((await create_assignment(scene.sessions)).quest_id),
    }
    answer = await scene.browser.put("/internal/v1/links", json=link, headers=scene.key)
    assert answer.status_code == 200, answer.text


async def link_lost(scene: Scene) -> None:
    await linked(scene)
    of_assignment = SparkLink.spark_assignment_id == scene.assignment.spark_assignment_id
    await scene.run(update(SparkLink).where(of_assignment).values(quest_id=uuid4()))


async def synced_afterwards(scene: Scene) -> None:
    await recorded(scene)
    await synced(scene.spark, course(scene.assignment.spark_assignment_id))


async def left(scene: Scene) -> None:
    await recorded(scene)
    mine = UserQuest.user_id == scene.student.user_id
    await scene.run(update(UserQuest).where(mine).values(is_active=False))


async def form_refused(scene: Scene) -> None:
    await unknown_assignment(scene)
    payload = submission(scene.student, scene.assignment, spark_course_id=...)
    await scene.spark.submit_form(payload, Part("f", samples.png(), filename="a.png"))


async def text_gone(scene: Scene) -> None:
    await synced_since(scene)
    await scene.run(update(InboxDelivery).where(scene.deliveries).values(message=None))


async def recorded(scene: Scene) -> None:
    await scene.send(ago=4)


async def corrected(scene: Scene) -> None:
    await recorded(scene)
    await scene.send(ago=3)


async def then_refused(scene: Scene) -> None:
    await recorded(scene)
    await scene.send(submission_text=...)


async def duplicates(scene: Scene) -> None:
    for ago in (4, 3, 2):
        await scene.send(ago=ago, submission_text="The same.")


async def late(scene: Scene) -> None:
    await scene.send(ago=1)
    await scene.send(ago=4)


async def restored(scene: Scene) -> None:
    first = await scene.send(ago=4)
    await scene.send(ago=3)
    await scene.restore(first["submission_id"], 1)


async def hide(scene: Scene, **values: Any) -> None:
    ids = [block.id for block in await blocks_of(scene.sessions, scene.student.user_id)]
    await scene.run(update(EvidenceBlock).where(EvidenceBlock.id == ids[0]).values(values))


async def private(scene: Scene) -> None:
    await recorded(scene)
    await hide(scene, is_private=True)


async def partly_private(scene: Scene) -> None:
    payload = submission(scene.student, scene.assignment)
    await scene.spark.submit_form(payload, Part("f", samples.png(), filename="a.png"))
    await hide(scene, is_private=True)


async def confidential(scene: Scene) -> None:
    await recorded(scene)
    mine = EvidenceDocument.user_id == scene.student.user_id
    await scene.run(update(EvidenceDocument).where(mine).values(is_confidential=True))


async def removed(scene: Scene) -> None:
    await recorded(scene)
    [block] = await blocks_of(scene.sessions, scene.student.user_id)
    await scene.run(delete(EvidenceBlock).where(EvidenceBlock.id == block.id))


async def forgotten(scene: Scene) -> None:
    await recorded(scene)
    await scene.run(delete(InboxDelivery).where(scene.deliveries))


async def not_kept(scene: Scene) -> None:
    await forgotten(scene)
    theirs = SubmissionRevision.user_id == UUID(scene.student.user_id)
    await scene.run(delete(SubmissionRevision).where(theirs))


async def paused_afterwards(scene: Scene) -> None:
    await recorded(scene)
    await scene.run(scene.link.values(sync_status="paused"))


async def gone(scene: Scene) -> None:
    await recorded(scene)
    mine = QuestTaskCompletion.user_id == scene.student.user_id
    await scene.run(delete(QuestTaskCompletion).where(mine))


KNOWN = ["linked", "assignment_found"]
FRESH = [*KNOWN, "not_enrolled"]
ENROLLED = [*KNOWN, "enrolled"]
AGAIN = "then let Spark send it again."
BY_ITSELF = "then it is processed again by itself."
REPLAY = "replay delivery "
LOOK = "Nothing is missing: look at completion "
SEND_RIGHT = "Let Spark send a right message"

STATES: dict[str, tuple[Callable[[Scene], Awaitable[None]], list[str], str]] = {
    "nothing arrived": (nothing, [*FRESH, "nothing_arrived"], "spark_outcomes_total"),
    "unknown student": (
        unknown_student,
        ["user_not_found", "assignment_found", "nothing_arrived"],
        "Let the student sign in from Spark once, then let Spark send it again.",
    ),
    "unknown student who sent": (
        unknown_student_sent,
        ["user_not_found", "assignment_found", "not known. It is waiting for the student."],
        f"sign in from Spark once, {BY_ITSELF}",
    ),
    "erased": (erased, ["erased", "assignment_found", "nothing_arrived"], "new, empty account"),
    "paused": (
        paused,
        ["paused", "assignment_found", "not_enrolled", "refused: the account was not active"],
        f"made active in the main app, then {REPLAY}",
    ),
    "switched off": (
        switched_off,
        ["paused", "assignment_found", "not_enrolled", "nothing_arrived"],
        f"made active in the main app, {AGAIN}",
    ),
    "deletion pending": (
        deletion_pending,
        ["deletion_pending", *FRESH[1:], "refused: the account was not active"],
        f"in the main app, then {REPLAY}",
    ),
    "now a parent": (
        now_a_parent,
        ["not_a_student", *FRESH[1:], "nothing_arrived"],
        "Ask whose account it is",
    ),
    "not linked": (
        not_linked,
        ["linked", "address_exists", "assignment_found", "not_enrolled", "nothing_arrived"],
        "spark_outcomes_total",
    ),
    "unknown assignment": (
        unknown_assignment,
        ["linked", "assignment_not_found", "nothing_arrived"],
        f"Let Spark sync the course, {AGAIN}",
    ),
    "unknown assignment, refused": (
        unknown_assignment_sent,
        ["linked", "assignment_not_found", "not known. It is waiting for the course."],
        f"Let Spark sync the course, {BY_ITSELF}",
    ),
    "synced since": (
        synced_since,
        [*FRESH, "refused: the assignment was not known"],
        "Replay delivery ",
    ),
    "ambiguous": (
        ambiguous,
        ["linked", "assignment_ambiguous", "refused: several courses had the assignment"],
        f"then {REPLAY}",
    ),
    "chosen by hand": (
        chosen_by_hand,
        [*KNOWN, "assignment_by_hand", "not_enrolled", "nothing_arrived"],
        "spark_outcomes_total",
    ),
    "linked": (
        linked,
        [*KNOWN, "assignment_by_link", "not_enrolled", "nothing_arrived"],
        "spark_outcomes_total",
    ),
    "link lost": (
        link_lost,
        [*KNOWN, "assignment_link_lost", "not_enrolled", "nothing_arrived"],
        "Let the teacher choose again, or take the link back, then",
    ),
    "retired": (
        retired,
        ["linked", "assignment_retired", "not_enrolled", "nothing_arrived"],
        "spark_outcomes_total",
    ),
    "form that was not stored": (
        form_refused,
        ["linked", "assignment_not_found", "refused: the assignment was not known"],
        f"Let Spark sync the course, {AGAIN}",
    ),
    "text is not kept": (
        text_gone,
        [*FRESH, "refused: the assignment was not known"],
        "Let Spark send it again.",
    ),
    "recorded": (recorded, [*ENROLLED, "recorded", "shown"], LOOK),
    "corrected": (corrected, [*ENROLLED, "recorded", "shown"], LOOK),
    "recorded, then refused": (
        then_refused,
        [*ENROLLED, "refused: no content", "shown"],
        SEND_RIGHT,
    ),
    "recorded, then paused": (
        paused_afterwards,
        ["paused", "assignment_found", "enrolled", "recorded", "shown"],
        LOOK,
    ),
    "recorded in another quest": (
        synced_afterwards,
        [*FRESH, "recorded", "shown", "elsewhere"],
        LOOK,
    ),
    "left": (left, [*KNOWN, "enrolment_left", "recorded", "shown"], LOOK),
    "only duplicates": (duplicates, [*ENROLLED, "repeated", "shown"], "Look at what was handed in"),
    "late": (late, [*ENROLLED, "not_shown", "shown"], "If it should be shown, restore it"),
    "replaced": (restored, [*ENROLLED, "not_shown", "shown"], "If it should be shown, restore it"),
    "private": (private, [*ENROLLED, "recorded", "private"], "Ask the student"),
    "partly private": (
        partly_private,
        [*ENROLLED, "recorded", "partly_private"],
        "Ask the student",
    ),
    "confidential": (confidential, [*ENROLLED, "recorded", "private"], "Ask the student"),
    "removed": (removed, [*ENROLLED, "recorded", "removed"], "Ask the student"),
    "forgotten": (forgotten, [*ENROLLED, "forgotten", "shown"], LOOK),
    "not kept": (not_kept, [*ENROLLED, "not_kept"], "If more was handed in since"),
    "gone": (gone, [*ENROLLED, "gone"], "Ask who removed the completion"),
}


@pytest.mark.parametrize(("arrange", "says", "then"), STATES.values(), ids=STATES)
async def test_every_state_has_its_sentences_and_its_next_step(
    scene: Scene, arrange: Callable[[Scene], Awaitable[None]], says: list[str], then: str
) -> None:
    await arrange(scene)
    explained = await scene.explain()
    assert len(explained["summary"]) == len(says), explained["summary"]
    for sentence, finding in zip(explained["summary"], says, strict=True):
        assert sentence.endswith(".")
        assert "{" not in sentence
        for piece in _pieces(finding):
            assert piece in sentence
    steps = explained["steps"]
    assert [step["says"] for step in steps] == explained["summary"]
    for step, finding in zip(steps, says, strict=True):
        refused = finding not in FINDINGS
        assert step["ok"] is not (refused or bool(FINDINGS[finding].do)), finding
        assert step["topic"] == "delivery" or not refused
    assert then in explained["next"]
    assert explained["next"].endswith(".")
    assert "{" not in explained["next"]


def _pieces(finding: str) -> list[str]:
    """What is certain of a finding's sentence: the words around those that are filled in."""
    if finding not in FINDINGS:
        return [finding]
    return [part.partition("}")[2] or part for part in FINDINGS[finding].says.split("{")]


def test_every_finding_is_some_state() -> None:
    used = {finding for _, says, _ in STATES.values() for finding in says}
    assert FINDINGS.keys() <= used


REFUSALS = {
    "replay": [
        *(("assignment_not_found", 400), ("timestamp_too_old", 400), ("account_inactive", 403)),
        *(("timestamp_in_future", 400), ("user_not_found", 404), ("request_in_progress", 409)),
        *(("internal_error", 500), ("storage_unavailable", 503), ("request_in_progress", 503)),
    ],
    "send": [
        *(("field_missing", 400), ("field_invalid", 400), ("json_invalid", 400)),
        *(("content_missing", 400), ("file_too_large", 413), ("file_type_not_allowed", 400)),
        *(("file_missing", 400), ("file_digest_mismatch", 400), ("total_too_large", 413)),
        *(("too_many_files", 400), ("multipart_invalid", 400), ("multipart_truncated", 400)),
        *(("idempotency_conflict", 422), ("url_not_allowed", 400), ("a_new_one", 400)),
    ],
}


async def test_every_refusal_has_its_sentence_and_its_next_step(scene: Scene) -> None:
    await scene.send(submission_text=...)
    sentences = set()
    for step, refusals in REFUSALS.items():
        for code, status in refusals:
            change = update(InboxDelivery).where(scene.deliveries)
            await scene.run(change.values(code=code, status=status))
            explained = await scene.explain()
            [delivery] = explained["deliveries"]
            sentence = explained["summary"][-1]
            assert " was refused: " in sentence, code
            sentences.add(sentence)
            replay = f"Replay delivery {delivery['id']}."
            assert (explained["next"] == replay) == (step == "replay"), code
            assert explained["next"].startswith(SEND_RIGHT) == (step == "send"), code
    assert len(sentences) == len({code for few in REFUSALS.values() for code, _ in few})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"submitted_at": "soon"}, "field_invalid"),
        ({"submitted_at": ...}, "field_missing"),
        ({"submission_files": [{"url": "https://files.example.com/a"}]}, "url_not_allowed"),
    ],
)
async def test_a_message_that_is_wrong_is_found_and_explained(
    scene: Scene, changes: dict[str, Any], code: str
) -> None:
    await scene.send(**changes)
    explained = await scene.explain()
    [delivery] = explained["deliveries"]
    assert delivery["code"] == code
    assert " was refused: " in explained["summary"][-1]
    assert explained["next"].startswith(SEND_RIGHT)


# ---------------------------------------------------------------------------- fields


async def test_a_recorded_homework_is_told_in_fields_without_what_it_says(scene: Scene) -> None:
    answer = await scene.send(submission_text="Rain fell on my umbrella.")
    explained = await scene.explain()
    assert explained.keys() == {
        *("spark_user_id", "spark_assignment_id", "summary", "next", "link", "assignment"),
        *("enrolment", "task", "deliveries", "submission", "delivery", "event", "steps"),
    }
    link, task = explained["link"], explained["task"]
    assert link.keys() == LINK
    assert (link["found"], link["active"], link["reason"], link["erased"]) == (
        *(True, True, None, False),
    )
    assert link["user_id"] == scene.student.user_id
    assert explained["assignment"].keys() == ASSIGNMENT
    assert explained["assignment"]["quest_id"] == answer["quest_id"]
    assert explained["assignment"]["quest_title"] == "Weather"
    assert explained["enrolment"].keys() == ENROLMENT
    assert explained["enrolment"]["active"] is True
    assert task.keys() == TASK
    for name in ("task_id", "completion_id"):
        assert task[name] == answer[name]
    assert (task["title"], task["completed"], task["xp_awarded"]) == ("Research", True, 100)
    [delivery] = explained["deliveries"]
    assert delivery["submission_id"] == answer["submission_id"] == explained["submission"]["id"]
    assert explained["submission"]["blocks_shown"] == 1
    assert answer["completion_id"] in explained["next"]
    for private in ("umbrella", "@"):
        assert private not in str(explained)


async def test_nothing_known_is_told_in_the_same_fields(scene: Scene) -> None:
    await unknown_student(scene)
    await unknown_assignment(scene)
    explained = await scene.explain()
    assert explained["link"] == dict.fromkeys(LINK) | {
        "found": False,
        "active": False,
        "reason": "user_not_found",
        "erased": False,
        "address_exists": False,
    }
    missing = {"found": False, "code": "assignment_not_found"} | dict.fromkeys(
        ("retired", "link_lost"), False
    )
    assert explained["assignment"] == dict.fromkeys(ASSIGNMENT) | missing
    no = {"enrolled": False, "active": False}
    assert explained["enrolment"] == dict.fromkeys(ENROLMENT) | no
    assert explained["task"] == dict.fromkeys(TASK) | {"completed": False, "xp_awarded": 0}
    assert (explained["deliveries"], explained["submission"]) == ([], None)


async def test_a_course_tells_its_own_assignment_from_others(scene: Scene) -> None:
    same = scene.assignment.spark_assignment_id
    other = await create_assignment(scene.sessions, spark_assignment_id=same)
    mine = scene.assignment.spark_course_id
    answer = await scene.send(spark_course_id=mine)
    assert answer["status"] == "success"
    here = await scene.explain(spark_course_id=mine)
    there = await scene.explain(spark_course_id=other.spark_course_id)
    assert here["assignment"]["quest_id"] == str(scene.assignment.quest_id)
    assert there["assignment"]["quest_id"] == str(other.quest_id)
    assert (len(here["deliveries"]), len(there["deliveries"])) == (1, 0)
    assert here["submission"]["id"] == answer["submission_id"]
    assert there["submission"] is None


async def test_it_is_told_why_an_assignment_is_the_one_that_is_meant(scene: Scene) -> None:
    """By its course, as the only one there may be, or by the enrolment (CONTRACT 8.5)."""
    named = await scene.explain(spark_course_id=scene.assignment.spark_course_id)
    alone = await scene.explain()
    await scene.send()
    await create_assignment(
        scene.sessions, spark_assignment_id=scene.assignment.spark_assignment_id
    )
    enrolled = await scene.explain()
    rules = [each["assignment"]["rule"] for each in (named, alone, enrolled)]
    assert rules == ["course", "organisation", "enrolment"]


async def test_the_newest_deliveries_are_told(scene: Scene) -> None:
    for number in range(21):
        await scene.send(submission_text=f"{number}.")
    explained = await scene.explain()
    assert len(explained["deliveries"]) == 20
    times = [delivery["received_at"] for delivery in explained["deliveries"]]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"spark_user_id": ""}, id="no student"),
        pytest.param({"spark_assignment_id": "a\0b"}, id="NUL"),
        pytest.param({"spark_course_id": "a" * 256}, id="long course"),
        pytest.param({"user_id": "1"}, id="unknown parameter"),
    ],
)
async def test_what_cannot_be_explained_is_invalid(
    browser: httpx.AsyncClient, main_app: dict[str, str], changes: dict[str, str]
) -> None:
    query = {"spark_user_id": "student_42", "spark_assignment_id": "essay_1"} | changes
    answer = await browser.get(EXPLAIN, params=query, headers=main_app)
    problem = assert_problem(answer, 400, "field_invalid")
    assert problem["error"] == f"Invalid field: {next(iter(changes))}"
