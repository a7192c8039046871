"""A teacher's browser goes the whole way, and the homework after it lands on what was chosen."""

import json
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from jose import jwt
from playwright.async_api import Browser, Page

from app.settings import Settings
from tests.support.bodies import Part
from tests.support.chromium import assert_readable, open_chromium
from tests.support.courses import course, hand_in, synced, templates
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.evidence import body_of
from tests.support.fake_spark import FakeSpark, run_fake_spark
from tests.support.patience import patient
from tests.support.programs import needs_front_end
from tests.support.samples import png

pytestmark = [needs_front_end, pytest.mark.timeout(patient(180))]

SIZES = {"phone": (320, 800), "desktop": (1280, 900)}
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture(scope="module")
async def fake() -> AsyncIterator[FakeSpark]:
    async with run_fake_spark() as running:
        yield running


@pytest.fixture(scope="module")
async def elsewhere(settings: Settings, fake: FakeSpark) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(settings, spark_return_urls=(fake.url,)) as running:
        yield running


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with open_chromium() as browser:
        yield browser


async def look(page: Page, name: str) -> None:
    """What axe-core has against it, and whether it fits the window."""
    if SCREENSHOTS:
        await page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
    await assert_readable(page)


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
async def test_a_teacher_chooses_and_the_first_homework_lands_there(
    chromium: Browser, elsewhere: Elsewhere, fake: FakeSpark, size: str, scheme: Any
) -> None:
    spark, mark = elsewhere.spark, secrets.token_hex(4)
    payload = course("rain", "wind", spark_org_id=mark, course_title=f"Weather {mark}")
    quest_id = await synced(spark, payload)
    ids = {name: payload[name] for name in ("spark_org_id", "spark_course_id")}
    shown = {"assignment_title": "Draft", "course_title": "Weather", "state": f"{mark} ä"}
    where = {"spark_assignment_id": "draft", "return_url": f"{fake.url}/chosen"}
    token = spark.signed(spark.deep_link_claims(**ids, **shown, **where))
    width, height = SIZES[size]
    page = await chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text))
    await page.goto(f"{elsewhere.running.url}/spark/deep-link?token={token}")
    await look(page, f"picker-{scheme}-{size}")
    await page.get_by_label("Search").fill("do WIND")
    await page.keyboard.press("Enter")
    await page.get_by_role("radio", name="Do wind").press("Space")  # by keyboard
    await look(page, f"picker-found-{scheme}-{size}")
    await page.get_by_role("button", name="Choose", exact=True).click()
    await page.get_by_role("heading", name="Do wind").wait_for()
    await look(page, f"picker-answer-{scheme}-{size}")
    await page.keyboard.press("Enter")  # the one button has the focus
    await page.wait_for_url(f"{fake.url}/chosen")
    assert heard == []
    await page.close()

    request = (await fake.requests("/chosen"))[-1]
    [answer] = parse_qs(request["body"].decode())["token"]
    secret = spark.sso_secret.get_secret_value()
    told = jwt.decode(answer, secret, algorithms=["HS256"], audience="spark")
    assert told["state"] == f"{mark} ä"
    wind = next(
        str(each.id)
        for each in await templates(elsewhere.running.app.state.resources.sessions, quest_id)
        if each.spark_assignment_id == "wind"
    )
    [item] = told["content_items"]
    assert (item["type"], item["task_id"], item["title"]) == ("optio_task", wind, "Do wind")

    student = await spark.sign_in(courses=[payload["spark_course_id"]])
    first = body_of(await spark.submit(hand_in(student, payload, "wind")))
    by_json = body_of(await spark.submit(hand_in(student, payload, "draft", submission_text="1")))
    picture = Part("file", png(), filename="gauge.png")
    by_form = body_of(await spark.submit_form(hand_in(student, payload, "draft"), picture))
    assert {first["task_id"], by_json["task_id"], by_form["task_id"]} == {first["task_id"]}
    assert (by_json["revision"], by_form["revision"], by_form["xp_awarded"]) == (2, 3, 0)


async def test_a_frame_of_another_site_shows_no_picker(
    chromium: Browser, elsewhere: Elsewhere, fake: FakeSpark
) -> None:
    spark = elsewhere.spark
    token = spark.signed(spark.deep_link_claims(return_url=f"{fake.url}/chosen"))
    page = await chromium.new_page()
    await page.goto(f"{fake.url}/chosen")
    address = json.dumps(f"{elsewhere.running.url}/spark/deep-link?token={token}")
    frame = f"Object.assign(document.createElement('iframe'), {{src: {address}}})"
    async with page.expect_console_message(lambda said: "frame-ancestors" in said.text):
        await page.evaluate(f"document.body.append({frame})")
    await page.close()
