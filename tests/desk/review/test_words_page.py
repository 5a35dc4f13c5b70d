"""The review by name in a real browser, by keyboard."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import Locator, Page, Route, expect

from core.events import ReviewTask
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Counts
from streams.settings import Settings
from tests.desk.review.made import answering, decisions, lose, named, put, task_of

ATTACK = "<img src=x onerror=alert(1)>"


def about(number: int, name: str = "NASA", audit: bool = False) -> ReviewTask:
    text = f"{number:02} {ATTACK} says {name} {ATTACK} about the moon"
    task = task_of(f"{number:02}", text, named(text, name, "ORG"), author={"name": f"{ATTACK} {number}"}, source=ATTACK)
    checks = tuple(question.model_copy(update={"is_audit": audit}) for question in task.questions)
    return task.model_copy(update={"questions": checks})


async def opened(page: Page, desk: str, query: str = "") -> None:
    await page.goto(f"{desk}/review/words{query}")
    await page.locator("#words[data-state=lines]").wait_for()


async def test_37_posts_are_decided_and_undone_by_keys(desk: str, desk_settings: Settings, page: Page) -> None:
    await put(desk_settings, [*(about(number) for number in range(37)), *(about(40 + n, "ESA") for n in range(3))])
    attacks: list[str] = []
    page.on("dialog", lambda dialog: attacks.append(dialog.message))
    await opened(page, desk)
    heading, preview, told = page.locator("#group-title"), page.locator(".words-preview"), page.locator(".words-told")
    await expect(heading).to_have_text("nasaORG")
    await expect(preview).to_contain_text("not on the screen yet")
    await page.keyboard.press("j")
    await page.keyboard.press(" ")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press(" ")
    for _ in range(36):
        await page.keyboard.press("j")
    await expect(preview).to_have_text("One key decides 35 posts. Not decided: 2 without a tick.")
    posts = await page.locator(".words-line").evaluate_all("lines => lines.map(line => line.dataset.post)")
    assert attacks == []
    assert await page.locator(".words-line").first.locator(".before").inner_text() == f"{posts[0]} {ATTACK} says "

    await page.keyboard.press("a")
    await expect(heading).to_have_text("esaORG")
    await expect(told).to_contain_text("35 accepted as ORG")
    assert "name=esa" in page.url
    stored = decisions(desk_settings)
    assert sorted(one.task.tweet.id for one in stored) == sorted(post for post in posts if post not in posts[1:3])
    assert {one.looked_at for one in stored} == {37}
    assert len({one.bulk_id for one in stored}) == 1

    await page.reload()
    await expect(told).to_contain_text("35 accepted as ORG")
    await page.keyboard.press("u")
    await expect(heading).to_have_text("nasaORG")
    await expect(told).to_contain_text("Undone: 35 posts are open again.")
    await expect(page.locator(".words-line")).to_have_count(37)
    queue = ReviewQueue(str(desk_settings.redis), desk_settings.name("review:"))
    assert await queue.counts() == Counts(open=40, leased=0, decided=0)
    await queue.close()


async def test_only_lines_that_were_on_the_screen_are_decided(desk: str, desk_settings: Settings, page: Page) -> None:
    await put(desk_settings, [about(number) for number in range(60)])
    await page.set_viewport_size({"width": 1440, "height": 600})
    await opened(page, desk)
    button = page.get_by_role("button", name="Accept", exact=False).first
    await expect(button).to_be_enabled()
    await page.wait_for_function(
        "() => /not on the screen yet/.test(document.querySelector('.words-preview').textContent)"
    )
    visible = int(re.findall(r"\d+", await button.inner_text())[0])
    assert 3 <= visible <= 15
    await page.keyboard.press("r")
    await expect(page.locator(".words-told")).to_contain_text(f"{visible} rejected as ORG")
    await expect(page.locator(".words-line")).to_have_count(60 - visible)
    assert len(decisions(desk_settings)) == visible


async def test_a_low_window_shows_lines_too(desk: str, desk_settings: Settings, page: Page) -> None:
    await put(desk_settings, [about(number) for number in range(3)])
    await page.set_viewport_size({"width": 320, "height": 256})  # 1280 pixels at a zoom of 400%
    await opened(page, desk)
    for _ in range(3):
        await page.keyboard.press("j")
    await page.locator(".words-line").last.scroll_into_view_if_needed()
    await page.keyboard.press("a")
    await expect(page.locator(".words-told")).to_contain_text("accepted as ORG")
    assert decisions(desk_settings)


async def test_held_lines_and_spot_checks_have_no_tick(desk: str, desk_settings: Settings, page: Page) -> None:
    await put(desk_settings, [about(0), about(1), about(2, audit=True), about(3)])
    queue = ReviewQueue(str(desk_settings.redis), desk_settings.name("review:"))
    await queue.take("01", "marlen", 600)
    await opened(page, desk)
    me = await page.locator("#words").get_attribute("data-person")
    assert me
    await put(desk_settings, [about(4)])
    await queue.take("04", me, 600)
    await opened(page, desk)
    own = page.locator(".words-line[data-post='04']")
    await expect(own).to_contain_text("held by you in another window")
    await own.locator("label").click(force=True)
    await expect(page.locator("#toasts")).to_contain_text("You have this post open in another window")
    await expect(page.locator(".words-preview")).to_contain_text("2 held elsewhere")
    held, check, late = (page.locator(f".words-line[data-post='{post}']") for post in ("01", "02", "03"))
    await expect(held).to_contain_text("held by marlen")
    await expect(check).to_contain_text("spot check")
    await expect(held.locator("input")).not_to_be_checked()
    await expect(check.locator("input")).not_to_be_checked()
    await held.locator("label").click(force=True)  # it is no control that is off, but one that says why
    await expect(held.locator("input")).not_to_be_checked()
    await expect(page.locator("#toasts")).to_contain_text("Somebody works on this post")
    await page.keyboard.press("x")
    await expect(page.locator(".words-preview")).to_contain_text("No line on the screen has a tick.")
    await page.keyboard.press("x")
    await expect(check.locator("input")).not_to_be_checked()
    await check.locator("label").click()
    await queue.take("03", "tobias", 600)

    await page.keyboard.press("2")
    told = page.locator(".words-told")
    await expect(told).to_contain_text("2 changed from ORG to LOC")
    await expect(told).to_contain_text("somebody else works on it")
    await expect(late).to_contain_text("Not decided: somebody else works on it")
    assert sorted(one.task.tweet.id for one in decisions(desk_settings)) == ["00", "02"]
    await queue.close()


async def test_names_are_found_by_keys_and_by_address(desk: str, desk_settings: Settings, page: Page) -> None:
    names = ("NASA", "ESA", "JAXA")
    await put(
        desk_settings, [about(10 * place + n, name) for place, name in enumerate(names) for n in range(4 - place)]
    )
    await opened(page, desk)
    heading = page.locator("#group-title")
    await page.keyboard.press("]")
    await expect(heading).to_have_text("esaORG")
    await page.keyboard.press("ArrowRight")
    await expect(heading).to_have_text("jaxaORG")
    await page.go_back()
    await expect(heading).to_have_text("esaORG")
    await page.keyboard.press("ArrowLeft")
    await expect(heading).to_have_text("nasaORG")
    await page.keyboard.press("/")
    await page.keyboard.type("jax")
    await expect(page.locator(".words-name")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(heading).to_have_text("jaxaORG")
    await opened(page, desk, "?name=%23Esa&type=ORG")
    await expect(heading).to_have_text("esaORG")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert decisions(desk_settings) == []


async def unconfirmed(desk: str, page: Page) -> tuple[Locator, Locator]:
    """Accepts two posts at once, and loses the answer. Returns the button that sends it again, and the message."""
    await opened(page, desk)
    await expect(page.locator(".words-preview")).to_contain_text("2 posts")
    await page.route("**/bulks/*", lose)
    await page.keyboard.press("a")
    again = page.get_by_role("button", name="Try again")
    await again.wait_for()
    await page.unroute("**/bulks/*")
    return again, page.locator(".words-told")


async def test_an_answer_that_got_lost_can_be_sent_again(desk: str, desk_settings: Settings, page: Page) -> None:
    await put(desk_settings, [about(0), about(1)])
    again, told = await unconfirmed(desk, page)
    await again.click()
    await expect(told).to_contain_text("2 accepted as ORG")
    assert len(decisions(desk_settings)) == 2


async def test_nothing_comes_between_a_lost_answer_and_its_repetition(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    await put(desk_settings, [about(0), about(1), about(2, "ESA")])
    again, told = await unconfirmed(desk, page)
    await page.keyboard.press("]")
    await expect(page.locator("#group-title")).to_have_text("esaORG")
    await expect(page.locator(".words-preview")).to_contain_text("1 post")
    for key in ("a", "u"):
        await page.keyboard.press(key)
        await expect(told).to_contain_text("Your last answer is not confirmed yet")
    await again.click()
    await expect(told).to_contain_text("2 accepted as ORG")
    assert sorted((one.task.tweet.id, one.kind) for one in decisions(desk_settings)) == [
        ("00", "settle"),
        ("01", "settle"),
    ]


async def test_a_button_that_is_pressed_twice_acts_once(desk: str, desk_settings: Settings, page: Page) -> None:
    await put(desk_settings, [about(0), about(1)])
    again, told = await unconfirmed(desk, page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method) if "/bulks/" in request.url else None)

    async def late(route: Route) -> None:
        await asyncio.sleep(1)
        await route.continue_()

    await page.route("**/review/names?*", late)
    await again.evaluate("button => [1, 2].forEach(() => button.click())")
    await expect(told).to_contain_text("2 accepted as ORG")
    await told.get_by_role("button", name="Undo").evaluate("button => [1, 2].forEach(() => button.click())")
    await expect(told).to_contain_text("Undone: 2 posts are open again.")
    assert asked == ["PUT", "POST"]


async def test_an_answer_that_is_too_old_to_be_sent_again_can_be_undone(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    await put(desk_settings, [about(0), about(1)])
    again, told = await unconfirmed(desk, page)
    await page.route("**/bulks/*", answering(409, "this bulk is too old to be decided now"))
    await again.click()
    await expect(told).to_contain_text("too old to be decided now")
    await page.keyboard.press("u")
    await expect(told).to_contain_text("Undone: 2 posts are open again.")


async def test_names_that_could_not_be_read_are_not_said_to_be_none(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    await put(desk_settings, [about(0)])
    asked = asyncio.Event()

    async def away(route: Route) -> None:
        await asked.wait()
        await answering(503, "Redis is away")(route)  # type: ignore[misc]

    await page.route("**/api/v1/review/names?*", away)
    await page.goto(f"{desk}/review/words")
    names = page.locator("[data-part=names]")
    await expect(names).to_have_text("Looking for names …")
    asked.set()
    await expect(names).to_have_text("The names could not be read.")
    await expect(page.locator("[data-part=lines]")).to_contain_text("Redis is away")
