"""A teacher comes from Spark, chooses work, and goes back with an answer (issue 22)."""

# ruff: noqa: S608 - no value comes from outside

import asyncio
import html
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from jose import jwt
from sqlalchemy import text

from app.settings import Settings
from app.signing import own_keys, sign_token, token_key
from app.sso.deep_link_token import RESPONSE
from tests.support.canaries import CANARIES
from tests.support.courses import Course, course, hand_in, synced, templates
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.evidence import body_of
from tests.support.problems import assert_problem
from tests.support.spark import RETURN_URL, Spark

PATH = "/spark/deep-link"
RETURN = RETURN_URL.removesuffix("/chosen")
LIBRARY = """
with quest as (
  insert into quests (title, description, quest_type, is_public)
  values ('{title}', '<b>Wet</b>', 'optio', {is_public}) returning id),
task as (
  insert into course_quest_tasks (quest_id, title, description, pillar, xp_value, order_index)
  select id, name, 'How to <i>measure</i>', 'art', 30 + place, place
  from quest, (values ('First', 0), ('Second', 1)) as each (name, place)
  returning id, quest_id, order_index)
select quest_id, id from task order by order_index
"""


class Choosing:
    """A teacher's browser, and a course of one assignment."""

    def __init__(self, elsewhere: Elsewhere, key: dict[str, str]) -> None:
        self.running, self.spark, self.key = elsewhere.running, elsewhere.spark, key
        self.settings = elsewhere.running.settings
        self.sessions = elsewhere.running.app.state.resources.sessions
        self.payload: Course = course("essay")

    def claims(self, **changes: Any) -> dict[str, Any]:
        ids = {name: self.payload[name] for name in ("spark_org_id", "spark_course_id")}
        shown = {"assignment_title": "<script>Rain</script>"}
        return self.spark.deep_link_claims(**(ids | shown | changes))

    def token(self, **changes: Any) -> str:
        return self.spark.signed(self.claims(**changes))

    async def post(self, **fields: object) -> httpx.Response:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.spark.browser.post(PATH, content=urlencode(fields), headers=form)

    async def opened(self, **changes: Any) -> dict[str, str]:
        """The picker's hidden fields, and its page."""
        return self.page(await self.post(token=self.token(**changes)))

    def page(self, answer: httpx.Response, status: int = 200) -> dict[str, str]:
        assert answer.status_code == status, answer.text
        [sealed, *_] = re.findall(r'name="request" value="([^"]+)"', answer.text)
        return {"request": sealed, "page": answer.text}

    async def choose(
        self, quest_id: object, task_id: object, sealed: str | None = None, **changes: Any
    ) -> dict[str, Any]:
        """The claims of the answer that Spark is sent."""
        sealed = sealed or (await self.opened(**changes))["request"]
        choice = f"{quest_id}:{task_id or ''}"
        return self.told(await self.post(request=sealed, act="choose", choice=choice))

    def told(self, answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        [token] = re.findall(r'name="token" value="([^"]+)"', answer.text)
        [action] = re.findall(r'action="([^"]+)"', answer.text)
        assert html.unescape(action).startswith(RETURN)
        CANARIES.release(token)
        return self.verified(token)

    def verified(self, token: str) -> dict[str, Any]:
        """As Spark does, by a library that is not ours to choose for it."""
        secret = self.spark.sso_secret.get_secret_value()
        assert jwt.get_unverified_header(token)["typ"] == "optio-deep-link+jwt"
        return dict(jwt.decode(token, secret, algorithms=["HS256"], audience="spark"))

    async def library(
        self, title: str = "Rain", *, is_public: bool = True
    ) -> list[tuple[str, str]]:
        """A quest's two tasks: (quest, task)."""
        sql = LIBRARY.format(title=title, is_public=str(is_public).lower())
        return [(str(quest), str(task)) for quest, task in await self.run(sql)]

    async def run(self, statement: str) -> Any:
        async with self.sessions() as session, session.begin():
            found = await session.execute(text(statement))
            return found.all() if found.returns_rows else None

    async def links(self) -> list[dict[str, Any]]:
        query = {"spark_course_id": self.payload["spark_course_id"]}
        path = "/internal/v1/links"
        found = await self.spark.browser.get(path, params=query, headers=self.key)
        return list(body_of(found)["items"])


@pytest.fixture(scope="module")
async def elsewhere(settings: Settings) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(settings, spark_return_urls=(RETURN,)) as running:
        yield running


@pytest.fixture
async def choosing(elsewhere: Elsewhere, main_app: dict[str, str]) -> Choosing:
    return Choosing(elsewhere, main_app)


# ---------------------------------------------------------------------------- the whole way


@pytest.mark.parametrize("what", ["task", "quest"])
async def test_a_choice_is_the_map_and_the_answer_is_signed(choosing: Choosing, what: str) -> None:
    quest_id = await synced(choosing.spark, choosing.payload)
    (library, first), (_, second) = await choosing.library()
    asked = choosing.claims()
    page = choosing.page(await choosing.post(token=choosing.spark.signed(asked)))
    assert "Now: <b>Weather / Do essay</b>, from course sync" in page["page"]
    wanted = second if what == "task" else None
    told = await choosing.choose(library, wanted, page["request"])
    [link] = await choosing.links()
    [item] = told.pop("content_items")
    assert told.pop("exp") - told["iat"] == 300
    assert told.pop("jti")
    del told["iat"]
    assert told == {
        **{name: asked[name] for name in ("sub", "state", "spark_course_id")},
        "spark_assignment_id": "essay",
        "message_type": RESPONSE,
        "iss": "optio",
        "aud": "spark",
    }
    assert item == {
        "type": f"optio_{what}",
        "link_id": link["id"],
        "quest_id": library,
        "task_id": wanted,
        "title": "Second" if wanted else "Rain",
        "text": "How to <i>measure</i>" if wanted else "<b>Wet</b>",
        "url": f"{choosing.settings.frontend_url}/quests/{library}",
        "score_maximum": 100,
        "points": 31 if wanted else 30,
        "due_date": None,
    }
    student = await choosing.spark.sign_in(courses=[choosing.payload["spark_course_id"]])
    answer = body_of(await choosing.spark.submit(hand_in(student, choosing.payload, "essay")))
    landed = f"select source_task_id from user_quest_tasks where id = '{answer['task_id']}'"
    assert str((await choosing.run(landed))[0][0]) == (second if wanted else first)
    assert answer["quest_id"] != quest_id
    page = await choosing.opened()
    task = "Second" if wanted else "First"
    assert f"Now: <b>Rain / {task}</b>, chosen by a teacher" in page["page"]


async def test_the_token_may_come_by_query_and_nothing_of_the_teacher_is_kept(
    choosing: Choosing,
) -> None:
    [(quest_id, task_id), _] = await choosing.library()
    teacher = f"teacher_{secrets.token_hex(8)}"
    token = choosing.token(sub=teacher)
    page = choosing.page(await choosing.spark.browser.get(PATH, params={"token": token}))
    assert "Nothing yet" in page["page"]
    await choosing.choose(quest_id, task_id, page["request"])
    users = f"select id from lms_integrations where lms_user_id = '{teacher}'"
    assert await choosing.run(users) == []
    [[chosen_by]] = await choosing.run(
        f"select chosen_by from spark.links where quest_id = '{quest_id}'"
    )
    assert len(chosen_by) == 32
    assert teacher.encode() not in chosen_by


async def test_cancelling_changes_nothing_and_the_request_still_counts(choosing: Choosing) -> None:
    [(quest_id, task_id), _] = await choosing.library()
    sealed = (await choosing.opened())["request"]
    told = choosing.told(await choosing.post(request=sealed, act="cancel"))
    assert (told["content_items"], told["state"]) == ([], "äx7")
    assert await choosing.links() == []
    assert (await choosing.choose(quest_id, task_id, sealed))["content_items"]


async def test_of_two_teachers_at_once_the_later_one_wins_and_both_are_told(
    choosing: Choosing,
) -> None:
    tasks = await choosing.library()
    pages = [(await choosing.opened())["request"] for _ in tasks]
    told = await asyncio.gather(
        *(choosing.choose(*work, sealed) for work, sealed in zip(tasks, pages, strict=True))
    )
    [link] = await choosing.links()
    items = [each["content_items"][0] for each in told]
    assert {item["link_id"] for item in items} == {link["id"]}
    assert [item["task_id"] for item in items] == [task for _, task in tasks]
    assert link["task_id"] in {task for _, task in tasks}


# ---------------------------------------------------------------------------- the picker


async def test_the_picker_shows_the_own_course_first_and_never_what_is_anothers(
    choosing: Choosing,
) -> None:
    marks = [secrets.token_hex(6) for _ in range(3)]
    await synced(choosing.spark, choosing.payload | {"course_title": f"Own {marks[0]}"})
    await synced(choosing.spark, course("essay", course_title=f"Foreign {marks[1]}"))
    await choosing.library(f"Private {marks[2]}", is_public=False)
    await choosing.library("A public one")
    page = (await choosing.opened())["page"]
    assert page.index(f"Own {marks[0]}") < page.index("A public one")
    assert marks[1] not in page
    assert marks[2] not in page
    assert "&lt;script&gt;Rain&lt;/script&gt;" in page
    assert "<script" not in page
    assert "&lt;i&gt;measure&lt;/i&gt;" in page


async def test_search_finds_quests_by_their_tasks(choosing: Choosing) -> None:
    mark = secrets.token_hex(6)
    await choosing.library(f"Of {mark}")
    sealed = (await choosing.opened())["request"]
    for words, found in ((mark.upper(), True), ("sECOND", True), (secrets.token_hex(6), False)):
        page = choosing.page(await choosing.post(request=sealed, q=words))["page"]
        assert (f"Of {mark}" in page or (found and words == "sECOND")) == found
        assert ("Nothing fits" in page) != found


async def test_points_and_due_dates_are_shown(choosing: Choosing) -> None:
    for each in choosing.payload["assignments"]:
        each["due_date"] = "2026-12-01T12:00:00Z"
    await synced(choosing.spark, choosing.payload)
    assert "100 points · due 1 Dec 2026" in (await choosing.opened())["page"]


async def test_what_the_pages_may_do(choosing: Choosing) -> None:
    page = await choosing.post(token=choosing.token())
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' https://spark.example;" in policy
    assert "frame-ancestors 'none'" in policy
    assert (page.headers["cache-control"], page.cookies) == ("no-store", httpx.Cookies())


async def test_the_portal_may_frame_it_if_the_operator_says_so(settings: Settings) -> None:
    framed = {"deep_link_in_frame": True, "spark_portal_url": "https://portal.example/home"}
    async with run_elsewhere(settings, **framed) as elsewhere:
        choosing = Choosing(elsewhere, {})
        token = choosing.token(return_url="https://portal.example/any")
        policy = (await choosing.post(token=token)).headers["content-security-policy"]
        assert "frame-ancestors https://portal.example" in policy


# ---------------------------------------------------------------------------- work that went


@pytest.mark.parametrize("what", ["retired", "deleted", "another organisation's", "no choice", "x"])
async def test_work_that_cannot_be_chosen_leaves_the_request_as_it_was(
    choosing: Choosing, what: str
) -> None:
    quest_id = await synced(choosing.spark, choosing.payload)
    [template] = await templates(choosing.sessions, quest_id)
    choice = f"{quest_id}:{template.id}"
    sealed = (await choosing.opened())["request"]
    if what == "retired":
        await choosing.run(f"update quests set is_active = false where id = '{quest_id}'")
    elif what == "deleted":
        await choosing.run(f"delete from course_quest_tasks where id = '{template.id}'")
    elif what == "another organisation's":
        choice = f"{await synced(choosing.spark, course('essay'))}:"
    else:
        choice = "" if what == "no choice" else what
    answer = await choosing.post(request=sealed, act="choose", choice=choice)
    assert 'role="alert"' in choosing.page(answer, 400)["page"]
    assert await choosing.links() == []
    [(library, task_id), _] = await choosing.library()
    assert (await choosing.choose(library, task_id, sealed))["content_items"]


# ---------------------------------------------------------------------------- tokens


async def test_a_request_is_taken_once_and_a_second_click_is_the_first(
    choosing: Choosing,
) -> None:
    (quest_id, first), (_, second) = await choosing.library()
    token = choosing.token()
    pages = [choosing.page(await choosing.post(token=token))["request"] for _ in range(2)]
    told = [await choosing.choose(quest_id, first, sealed) for sealed in pages]
    assert told[0]["content_items"] == told[1]["content_items"]
    assert told[0]["jti"] != told[1]["jti"]
    other = await choosing.post(request=pages[1], act="choose", choice=f"{quest_id}:{second}")
    assert_problem(other, 401, "token_replayed")
    await choosing.choose(quest_id, second)  # another teacher
    same = await choosing.post(request=pages[0], act="choose", choice=f"{quest_id}:{first}")
    assert_problem(same, 401, "token_replayed")
    [link] = await choosing.links()
    assert link["task_id"] == second


def seconds_now() -> int:
    return int(datetime.now(tz=UTC).timestamp())


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {  # times in seconds from now
    "swapped: a launch": ({"message_type": ...}, 401, "token_claims_invalid"),
    "swapped: our answer": (
        {"message_type": RESPONSE, "iss": "optio"},
        401,
        "token_claims_invalid",
    ),
    "foreign issuer": ({"iss": "canvas"}, 401, "token_claims_invalid"),
    "no issuer": ({"iss": ...}, 401, "token_claims_invalid"),
    "no jti": ({"jti": ...}, 401, "token_claims_invalid"),
    "expired": ({"iat": -900, "exp": -300}, 401, "token_expired"),
    "lives too long": ({"exp": 3600}, 401, "token_claims_invalid"),
    "of tomorrow": ({"iat": 86400, "exp": 86500}, 401, "token_claims_invalid"),
    "a long state": ({"state": "x" * 1001}, 401, "token_claims_invalid"),
    "no assignment": ({"spark_assignment_id": ...}, 401, "token_claims_invalid"),
    "a student": ({"role": "student"}, 403, "role_not_allowed"),
}
ADDRESSES = [
    *(
        "https://evil.example/optio",
        "http://spark.example/optio",
        "https://spark.example:444/optio",
    ),
    *(
        "https://spark.example",
        "https://spark.example/optional",
        "https://spark.example.evil/optio",
    ),
    *("https://spark.example/optio/../x", "https://spark.example/optio/%2e%2e/x"),
    *("https://spark.example/optio\\..\\x", "https://a@spark.example/optio"),
    *("https://spark.example/optio#x", "//spark.example/optio", "javascript:alert(1)", ""),
    "https://spark.example/optio\n",
]


@pytest.mark.parametrize("way", ["query", "form"])
@pytest.mark.parametrize(("changes", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_a_token_of_another_kind_or_time_is_refused(
    choosing: Choosing, changes: dict[str, Any], status: int, code: str, way: str
) -> None:
    times = {name: seconds_now() + changes[name] for name in ("iat", "exp") if name in changes}
    token = choosing.token(**changes | times)
    send: Callable[[], Any] = (
        (lambda: choosing.post(token=token))
        if way == "form"
        else (lambda: choosing.spark.browser.get(PATH, params={"token": token}))
    )
    assert_problem(await send(), status, code)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_foreign_return_address_is_refused(choosing: Choosing, address: str) -> None:
    answer = await choosing.post(token=choosing.token(return_url=address))
    assert_problem(answer, 400, "return_url_not_allowed")


@pytest.mark.parametrize("address", [RETURN, "https://spark.example:443/optio/a?b=c"])
async def test_a_return_address_below_an_allowed_one_is_taken(
    choosing: Choosing, address: str
) -> None:
    await choosing.opened(return_url=address)


async def test_each_kind_of_token_opens_its_own_door_alone(
    choosing: Choosing, spark: Spark
) -> None:
    [(quest_id, task_id), _] = await choosing.library()
    launch = choosing.spark.claims()
    answer = await choosing.post(token=choosing.spark.signed(launch))
    assert_problem(answer, 401, "token_claims_invalid")
    asked = choosing.claims(email="", role="student")
    for claims in (asked, launch | {"message_type": "any"}, launch | {"iss": "optio"}):
        assert_problem(
            await choosing.spark.launch(choosing.spark.signed(claims)), 401, "token_claims_invalid"
        )
    # Our own answer, as it left us, and with the header of a launch token.
    told = await choosing.choose(quest_id, task_id)
    for kind, code in (("optio-deep-link+jwt", "token_invalid"), ("JWT", "token_claims_invalid")):
        token = choosing.spark.signed(told | {"email": ""}, kind=kind)
        assert_problem(await choosing.spark.launch(token), 401, code)
        assert_problem(await choosing.post(token=token), 401, code)


@pytest.mark.parametrize("whose", ["nobody's", "the webhooks'", "Spark's own"])
async def test_a_request_that_travels_in_the_page_is_ours_alone(
    choosing: Choosing, whose: str
) -> None:
    keys = {
        "nobody's": token_key(own_keys(choosing.settings, "another purpose")[0]),
        "the webhooks'": token_key(choosing.spark.webhook_secret),
        "Spark's own": token_key(choosing.spark.sso_secret),
    }
    forged = sign_token(choosing.claims() | {"page_until": seconds_now() + 600}, key=keys[whose])
    answer = await choosing.post(request=forged, act="cancel")
    assert_problem(answer, 401, "token_invalid")


async def test_a_page_is_good_for_half_an_hour(choosing: Choosing) -> None:
    key = token_key(own_keys(choosing.settings, "deep link")[0])
    old = sign_token(choosing.claims() | {"page_until": seconds_now() - 1}, key=key)
    assert_problem(await choosing.post(request=old, act="cancel"), 401, "token_expired")


async def test_a_browser_is_shown_a_page_that_says_what_to_do(choosing: Choosing) -> None:
    headers = {"accept": "text/html"}
    for token, said in (("x", "could not open"), (choosing.token(role="x"), "Only teachers")):
        query = {"token": token}
        answer = await choosing.spark.browser.get(PATH, params=query, headers=headers)
        assert said in answer.text
        assert answer.headers["content-type"].startswith("text/html")


async def test_without_a_token_a_secret_or_an_address_nothing_opens(
    choosing: Choosing, settings: Settings
) -> None:
    assert_problem(await choosing.post(), 400, "token_missing")
    async with run_elsewhere(settings, spark_sso_secret=None) as nothing:
        answer = await Choosing(nothing, {}).post(token="x")
        assert_problem(answer, 503, "sso_not_configured")
    async with run_elsewhere(settings) as nowhere:
        other = Choosing(nowhere, choosing.key)
        assert_problem(await other.post(token=other.token()), 400, "return_url_not_allowed")
        path = "/internal/v1/lms/platforms"
        [platform] = (await other.spark.browser.get(path, headers=choosing.key)).json()
        assert platform["supports_deep_linking"] is False
    [platform] = (await choosing.spark.browser.get(path, headers=choosing.key)).json()
    assert platform["supports_deep_linking"] is True


async def test_a_choice_is_audited_and_told(choosing: Choosing) -> None:
    [(quest_id, task_id), _] = await choosing.library()
    teacher = secrets.token_hex(8)
    told = await choosing.choose(quest_id, task_id, sub=teacher)
    link_id = told["content_items"][0]["link_id"]
    audited = f"select caller, detail from spark.audit_log where detail ->> 'link_id' = '{link_id}'"
    [[caller, detail]] = await choosing.run(audited)
    assert (caller, detail["task_id"]) == (PATH, task_id)
    events = (
        f"select event_data from user_activity_events where event_data ->> 'link_id' = '{link_id}'"
    )
    [[event]] = await choosing.run(events)
    assert teacher not in json.dumps([detail, event])
