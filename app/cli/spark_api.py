"""Commands that call Spark's API once, so that its developer has something to look at."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from app.api.dependencies import Resources, spark_api_of
from app.cli.servers import CALLER, ask_service, refuse
from app.cli.terminal import say
from app.clock import new_id, utc_now
from app.deliveries.send_receipt import RECEIPTS_PATH, write_receipt
from app.grades.send_grade import GRADES_PATH, message_of
from app.grades.write_grade import FULL_SCORE
from app.jobs.call_spark import SparkApi, test_spark
from app.jobs.call_target import Call
from app.text import trimmed_id

NOBODY = "optio_test"  # a student whom Spark does not have, and an assignment
# By what became of the call.
MEANINGS = {
    "done": "Spark took it.",
    "again": "It would be sent again, later and later for a day.",
    "refused": "Spark does not know us: nothing would be sent until it does.",
    "dead": "It would not be sent again, unless a person asks for it.",
}

Answer = TypeVar("Answer")
SparkId = typer.Option(parser=trimmed_id, metavar="ID", help="As Spark has it.")

grades = typer.Typer(no_args_is_help=True, help="Grades for Spark.")
receipts = typer.Typer(no_args_is_help=True, help="What became of homework, for Spark.")


@grades.command("test")
def test() -> None:
    """Ask Spark whether it knows our key: GET /ping. Its jobs go on if it does."""
    tested = _ask_spark(lambda resources, api: test_spark(resources.sessions, api, caller=CALLER))
    say(f"{tested.status or 'no answer'}, {tested.code}, {tested.milliseconds} ms", tested.hint)
    if not tested.ok:
        raise typer.Exit(1)


@grades.command("try")
def try_grade(
    *,
    student: Annotated[str, SparkId] = NOBODY,
    assignment: Annotated[str, SparkId] = NOBODY,
    course: Annotated[str | None, SparkId] = None,
    score: Annotated[float, typer.Option(min=0, max=FULL_SCORE, help="Of 100.")] = 87.5,
    change_gradebook: Annotated[
        bool, typer.Option("--change-gradebook", help="Of a student whom Spark has.")
    ] = False,
) -> None:
    """Send Spark a made-up grade, and print both sides. Nothing is kept here.

    It is of a student whom Spark does not have, unless one is named.
    """
    if student != NOBODY and not change_gradebook:
        refuse("This changes Spark's gradebook: name a test student, and add --change-gradebook.")
    now = utc_now()
    grade = {
        "id": new_id(),
        "spark_user_id": student,
        "spark_assignment_id": assignment,
        "spark_course_id": course,
        "score": score,
        "max_score": FULL_SCORE,
        "comment": "A test of Optio's",
        "completed_at": now,
        "scored_at": now,
        "version": 1,
    }

    async def write(_: Resources) -> tuple[str, bytes]:
        return f"{grade['id']}.1", message_of(grade).to_json()

    _try_call(GRADES_PATH, write)


@receipts.command("try")
def try_receipt(
    delivery: Annotated[UUID, typer.Argument(help="Its id, as the list of deliveries has it.")],
) -> None:
    """Send Spark the receipt of a delivery, and print both sides, also where SPARK_RECEIPTS is off.

    It says what is so now: what was recorded, or refused.
    """
    _try_call(RECEIPTS_PATH, lambda found: write_receipt(found.sessions, found.settings, delivery))


def _try_call(path: str, write: Callable[[Resources], Awaitable[tuple[str, bytes]]]) -> None:
    """Of a key and a body. Fails unless it is taken."""

    async def send(resources: Resources, spark_api: SparkApi) -> tuple[bytes, Call]:
        message_id, body = await write(resources)
        return body, await spark_api.call("POST", path, message_id, body)

    body, call = _ask_spark(send)
    status, spent = call.status or "nothing", f"{call.milliseconds} ms"
    say(f"sent      POST {path} {body.decode()}")
    say(f"answered  {status} after {spent}: {call.outcome.code}", f"          {call.answer}")
    say(MEANINGS[call.outcome.verdict])
    if call.outcome.verdict != "done":
        raise typer.Exit(1)


def _ask_spark(act: Callable[[Resources, SparkApi], Awaitable[Answer]]) -> Answer:
    async def asked(resources: Resources) -> Answer:
        return await act(resources, spark_api_of(resources))

    return ask_service(asked)
