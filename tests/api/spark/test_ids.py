"""One student, one course, one assignment, however an id is surrounded; and ids that are none."""

import httpx
import pytest
from sqlalchemy import func, select

from app.database import Sessions
from app.models import LmsIntegration
from tests.api.spark.test_course import quest_row
from tests.api.spark.test_roster import user_of
from tests.api.spark.test_submission_json import revision_of
from tests.support.courses import course, items, synced
from tests.support.problems import assert_problem
from tests.support.roster import COUNTS, Course, counts, entry, new_student, roster, send
from tests.support.roster import sync_course as sync
from tests.support.spark import Spark, submission

UNSEEN = {
    "F29-blank": " {} ",
    "L6-blank-before": " {}",
    "R35-tab": "\t{}",
    "R35-line-end": "{}\r\n",
    "R35-no-break-space": "\u00a0{}",
    "R35-narrow-no-break-space": "{}\u202f",
    "R35-ideographic-space": "{}\u3000",
    "R35-next-line": "{}\u0085",
    "R35-line-separator": "{}\u2028",
    "R35-unit-separator": "{}\x1f",
    "R35-zero-width-space": "{}\u200b",
    "R35-joiner": "{}\u200d",
    "R35-word-joiner": "\u2060{}",
    "R35-byte-order-mark": "\ufeff{}",
    "R35-soft-hyphen": "{}\u00ad",
    "R35-mongolian-separator": "{}\u180e",
    "R46-left-to-right": "\u200e{}",
    "R46-right-to-left": "{}\u200f",
    "R46-arabic": "\u061c{}",
    "R46-embedded": "\u202a{}\u202c",
    "R46-isolated": "\u2066{}\u2069",
    "R46-mixed": " \u200e\ufeff {} \u200b\u00a0",
}
INSIDE = {
    "L3-escape": "a\x1b[2Jb",
    "L3-bell": "a\x07b",
    "L3-c1": "a\u009bb",
    "R46-line-end": "a\nb",
    "R46-tab": "a\tb",
    "R46-delete": "a\x7fb",
    "R46-override": "a\u202eb",
    "R46-mark": "a\u200fb",
    "R46-arabic": "a\u061cb",
    "R46-isolate": "a\u2068b",
    "P081-nul": "a\0b",
    "P081-nul-behind": "ab\0",
}
unseen = pytest.mark.parametrize("around", UNSEEN.values(), ids=UNSEEN)
inside = pytest.mark.parametrize("broken", INSIDE.values(), ids=INSIDE)


@pytest.fixture(scope="module")
async def known(spark: Spark) -> Course:
    return await sync(spark)


@unseen
async def test_what_is_not_seen_round_an_id_makes_no_other_student(
    lms: Spark, known: Course, sessions: Sessions, main_app: dict[str, str], around: str
) -> None:
    name = new_student()
    shown = around.format(name)
    made = await send(lms, roster(known, entry(shown)))
    assert counts(made) == COUNTS | {"enrolled": 1, "users_created": 1}
    student = await lms.sign_in(sub=shown, courses=[around.format(known.spark_course_id)])
    assert student.user_id == str((await user_of(sessions, name)).id)
    payload = submission(
        student,
        known.assignment,
        spark_assignment_id=around.format(known.assignment.spark_assignment_id),
        spark_course_id=around.format(known.spark_course_id),
    )
    answer = await lms.submit(payload)
    assert answer.status_code == 200, answer.text
    found = await ask(lms, main_app, "students", spark_user_id=shown)
    assert [item["user_id"] for item in found.json()["items"]] == [student.user_id]
    asked = {"spark_user_id": shown, "spark_assignment_id": payload["spark_assignment_id"]}
    told = await ask(lms, main_app, "explain", **asked)
    assert told.json()["submission"]["id"] == answer.json()["submission_id"]


async def ask(lms: Spark, headers: dict[str, str], route: str, **query: str) -> httpx.Response:
    return await lms.browser.get(f"/internal/v1/{route}", params=query, headers=headers)


@unseen
async def test_what_is_not_seen_round_an_id_makes_no_other_course(
    spark: Spark, around: str
) -> None:
    sent = course("essay")
    shown = {name: around.format(sent[name]) for name in ("spark_org_id", "spark_course_id")}
    again = sent | shown | {"assignments": items(around.format("essay"))}
    assert await synced(spark, sent) == await synced(spark, again)


@pytest.mark.parametrize(
    "broken",
    [*INSIDE.values(), "a\ud800b", "\udfff"],
    ids=[*INSIDE, "R46-half-a-pair", "R46-half-a-pair-behind"],
)
async def test_a_character_that_no_id_has_costs_the_entry_alone(
    spark: Spark, known: Course, sessions: Sessions, broken: str
) -> None:
    good, bad = new_student(), f"{new_student()}{broken}"
    answer = await send(spark, roster(known, entry(bad), entry(good)))
    assert counts(answer) == COUNTS | {"enrolled": 1, "users_created": 1, "errors": 1}
    (fault,) = answer.json()["errors"]
    assert (fault["index"], fault["code"]) == (0, "field_invalid")
    assert fault["spark_user_id"].isprintable()
    rehearsed = await send(spark, roster(known, entry(bad), entry(good)), dry_run="true")
    assert [each["hint"][:10] for each in rehearsed.json()["problems"]] == ["entries.0:"]
    assert (await user_of(sessions, good)).id
    async with sessions() as session, session.begin():
        named = select(func.count()).where(LmsIntegration.lms_user_id.startswith(bad[:20]))
        assert (await session.execute(named)).scalar_one() == 0


@inside
async def test_a_character_that_no_id_has_is_refused_in_a_look_up(
    spark: Spark, main_app: dict[str, str], broken: str
) -> None:
    for route in ("students", "submissions", "deliveries"):
        answer = await ask(spark, main_app, route, spark_user_id=broken)
        assert_problem(answer, 400, "field_invalid")


async def test_a_name_is_shown_in_one_line_and_rules_no_screen(
    lms: Spark, sessions: Sessions
) -> None:
    student = await lms.sign_in(given_name="A\x1b[2Jd\u202ea\r\nMay", family_name="\u200fEx\x9b")
    user = await user_of(sessions, student.spark_user_id)
    assert (user.first_name, user.last_name) == ("A[2Jda May", "Ex")


async def test_text_and_titles_lose_control_characters_and_keep_their_lines(
    spark: Spark, known: Course, sessions: Sessions
) -> None:
    student = await spark.sign_in(courses=[known.spark_course_id])
    text = "Rain\x1b[31m fell.\r\n\tOften\x07."
    answer = await spark.submit(submission(student, known.assignment, submission_text=text))
    kept = await revision_of(sessions, answer)
    assert kept.submission_text == "Rain[31m fell.\r\n\tOften."
    quest_id = await synced(spark, course(course_title="Wea\x1b[2Jther"))
    assert (await quest_row(sessions, quest_id)).title == "Wea[2Jther"
