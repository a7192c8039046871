"""Pages of one delivery, one job and one homework in a real browser, as test_browser has lists."""

from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.async_api import Browser

import tests.console.test_browser as lists
from tests.console.conftest import Console
from tests.console.test_browser import SCREENSHOTS, SIZES, Scheme
from tests.support.handed_in import path_of_delivery, path_of_job
from tests.support.hostile import HOSTILE
from tests.support.lived_in import HANDED_IN
from tests.support.patience import patient
from tests.support.programs import needs_front_end

pytestmark = [needs_front_end, pytest.mark.soak, pytest.mark.timeout(patient(300))]


chromium, visit = lists.chromium, lists._visit  # the fixture is of this module, too


def details_of(number: int, student: str, assignment: str) -> dict[str, str]:
    """The pages of one homework."""
    whose = urlencode({"student": student[:255], "assignment": assignment[:255]})
    return {
        "delivery": path_of_delivery(number),
        "delivery-text": f"{path_of_delivery(number)}?text=shown",
        "explained": f"/console/explain?{whose}",
        "found": f"/console/deliveries?{whose}",
        "grade": path_of_job(number),
        "confirm": "/console/outbound/retry?kind=grade",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_every_page_of_one_can_be_read_by_everybody(
    chromium: Browser, lived_in: Console, size: str, scheme: Scheme
) -> None:
    first = HANDED_IN[0]
    pages = details_of(first.number, first.student, first.assignment)
    async with visit(chromium, lived_in, size, scheme) as visitor:
        for name, path in pages.items():
            answer = await visitor.page.goto(path)
            assert answer
            assert answer.status == 200, name
            if SCREENSHOTS:
                file = Path(SCREENSHOTS) / f"{name}-{scheme}-{size}.png"
                await visitor.page.screenshot(path=file, full_page=True)
            assert await visitor.findings() == [], name
            assert await visitor.overflow() <= 0, name
        assert visitor.complaints == []
        assert visitor.hosts == {urlsplit(lived_in.url).netloc}


async def test_no_text_of_one_runs_or_breaks_its_page(chromium: Browser, hostile: Console) -> None:
    """Each of thirty as the student's, the assignment's and the file's name, as title, text, reason
    and Spark's answer.
    """
    async with visit(chromium, hostile, "phone") as visitor:
        page = visitor.page
        for number, (kind, text) in enumerate(HOSTILE.items()):
            pages = details_of(number, text, text)
            for name in ("delivery-text", "explained", "grade"):  # lists have all thirty at once
                await page.goto(pages[name])
                assert await page.evaluate("window.ran") is None, (kind, name)
                assert await visitor.overflow() <= 0, (kind, name)
                assert await page.locator("main h1").is_visible(), (kind, name)
                assert await page.locator("main").count() == 1, (kind, name)
        unread = [each for each in visitor.complaints if "400" not in each]
        assert unread == []  # an id that no sender may have is refused
        assert visitor.hosts == {urlsplit(hostile.url).netloc}


async def test_a_homework_is_found_and_its_text_shown_by_keyboard(
    chromium: Browser, lived_in: Console
) -> None:
    first = HANDED_IN[0]
    async with visit(chromium, lived_in) as visitor:
        page = visitor.page
        await page.goto("/console/deliveries")
        await page.get_by_label("Student").focus()
        await page.keyboard.type(first.student)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**student=student_41**")
        await page.locator("tbody a").first.focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Show text").focus()
        assert not await page.get_by_text("I measured at noon").is_visible()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**text=shown")
        assert await page.get_by_text("I measured at noon").first.is_visible()
        assert visitor.complaints == []


async def test_dead_grades_are_sent_again_by_keyboard(chromium: Browser, lived_in: Console) -> None:
    async with visit(chromium, lived_in) as visitor:
        page = visitor.page
        await page.goto("/console/outbound")
        await page.get_by_role("link", name="Send all again (6)").first.focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="6 grades of 6 quests").wait_for()
        await page.get_by_role("button", name="Send all again (6)").focus()
        await page.keyboard.press("Enter")
        await page.get_by_text("6 begin anew").wait_for()
        assert visitor.complaints == []
