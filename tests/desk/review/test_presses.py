"""To which post a press belongs, in a real browser: none is lost, and none meets a post that it was not meant for."""

from __future__ import annotations

import asyncio

from playwright.async_api import Page, Route, expect

from streams.settings import Settings
from tests.desk.review.made import (
    answering,
    decisions,
    fill,
    moved_on,
    named,
    opened,
    outcome,
    put,
    sent,
    shows,
    task_of,
    texts,
)

HAND, DECISIONS, REOPENING = (f"**/api/v1/review/{path}" for path in ("hand", "decisions", "tasks/*/reopening"))

HOLD_FRAMES = """() => {
  window.frames_held = [];
  window.drawFrame = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (draw) => frames_held.push(draw);
}"""
"""Lets no frame be drawn: what is pressed now, comes before the next post is painted."""
DRAW_FRAMES = """() => {
  window.requestAnimationFrame = drawFrame;
  for (const draw of frames_held) requestAnimationFrame(draw);
}"""


async def type_ahead(page: Page, *keys: str) -> str:
    """Presses keys within one frame. Returns the name of the element that has the focus before that frame is drawn."""
    await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await page.evaluate(HOLD_FRAMES)
    for key in keys:
        await page.keyboard.press(key)
    focus: str = await page.evaluate("() => document.activeElement.tagName")
    await page.evaluate(DRAW_FRAMES)
    return focus


async def test_presses_say_why_they_do_nothing_when_no_post_comes(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 1)
    await opened(page, desk)
    await page.wait_for_load_state("networkidle")
    asked = asyncio.Event()
    answers = asyncio.Event()

    async def wait(route: Route) -> None:
        asked.set()
        await answers.wait()
        await route.fulfill(status=503, json={"error": "Redis is away"})

    await page.route(HAND, wait)
    await page.keyboard.press("a")
    await asyncio.wait_for(asked.wait(), 60)
    await page.keyboard.press("r")
    await page.keyboard.press("3")
    await expect(page.get_by_text("2 presses wait for it. Escape forgets them.")).to_be_visible()
    answers.set()
    await expect(page.get_by_role("heading", name="The queue does not answer")).to_be_visible()
    await expect(page.get_by_text("2 presses were not used: no post came for them.")).to_be_visible()
    await page.keyboard.press("r")
    await expect(page.get_by_text("No post is on the screen, so r does nothing.")).to_be_visible()
    text = "A new post about Ann"
    await put(desk_settings, [task_of("new", text, named(text, "Ann"))])
    await page.unroute(HAND)
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, text)
    await sent(page)
    assert texts(decisions(desk_settings)) == made, "no press met the post that came later"


async def test_an_undo_that_is_typed_ahead_on_the_last_post_opens_it_again(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 1)
    await opened(page, desk)
    await page.wait_for_load_state("networkidle")
    answers = asyncio.Event()

    async def wait(route: Route) -> None:
        await answers.wait()
        await route.continue_()

    await page.route(HAND, wait)
    await page.keyboard.press("a")
    await page.keyboard.press("u")
    await expect(page.get_by_text("1 press waits for it.")).to_be_visible()
    answers.set()
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, made[0])
    await page.keyboard.press("r")
    await sent(page)
    assert outcome(decisions(desk_settings)[-1]) == []


async def test_an_enter_that_is_typed_ahead_keeps_the_span(desk: str, desk_settings: Settings, page: Page) -> None:
    first, second = "with Jo Ann", "with Jo Bell"
    tasks = [task_of("1", first, named(first, "Jo"), uncertainty=0.9), task_of("2", second, named(second, "Jo"))]
    await put(desk_settings, tasks)
    await opened(page, desk)
    await page.wait_for_load_state("networkidle")
    await type_ahead(page, "a", "e", "ArrowRight", "Enter")
    await expect(page.get_by_role("heading", name="All done")).to_be_visible()
    await sent(page)
    found = {decision.task.tweet.text: outcome(decision) for decision in decisions(desk_settings)}
    assert found == {first: [("Jo", "PER")], second: [("Jo Bell", "PER")]}


async def test_escape_forgets_presses_that_wait_and_says_so(desk: str, desk_settings: Settings, page: Page) -> None:
    await fill(desk_settings, 1)
    await opened(page, desk)
    await page.wait_for_load_state("networkidle")
    answers = asyncio.Event()

    async def wait(route: Route) -> None:
        await answers.wait()
        await route.continue_()

    await page.route(HAND, wait)
    await page.keyboard.press("a")
    await page.keyboard.press("a")
    await expect(page.get_by_text("1 press waits for it.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("1 press was not used: you pressed Escape.")).to_be_visible()
    text = "A new post about Ann"
    await put(desk_settings, [task_of("new", text, named(text, "Ann"))])
    answers.set()
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, text)


async def test_tab_before_the_paint_acts_on_the_post_that_is_painted(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 3, questions=2)
    await opened(page, desk)
    focus = await type_ahead(page, "a", "a", "Tab", "r", "a")
    assert focus not in {"BUTTON", "A"}, "the focus stays where the person saw it"
    await page.wait_for_function(
        "text => document.getElementById('post-text').textContent.includes(text)", arg="Post 02"
    )
    await shows(page, made[2])
    await sent(page)
    found = {one.task.tweet.text: outcome(one) for one in decisions(desk_settings)}
    assert found == {made[0]: [("Person00", "PER"), ("Town00", "LOC")], made[1]: [("Person01", "PER")]}
    await type_ahead(page, "Tab", "Tab")
    await expect(page.get_by_role("button", name="Accept", exact=True)).to_be_focused()


async def test_escape_before_the_paint_cancels_what_is_painted(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 2, questions=2)
    await opened(page, desk)
    await type_ahead(page, "a", "e", "Shift+ArrowLeft", "Escape", "r")
    await page.wait_for_function(
        "text => document.getElementById('post-text').textContent.includes(text)", arg="Post 01"
    )
    await sent(page)
    (decision,) = decisions(desk_settings)
    assert outcome(decision) == [("Person00", "PER")]
    await shows(page, made[1])


async def test_twenty_presses_with_tabs_and_edits_between_lose_none(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 5, questions=2)
    await opened(page, desk)
    await type_ahead(page, *["Tab", "r", "e", "Escape", "3"] * 4)
    await page.wait_for_function(
        "text => document.getElementById('post-text').textContent.includes(text)", arg="Post 04"
    )
    await sent(page)
    found = {one.task.tweet.text: outcome(one) for one in decisions(desk_settings)}
    assert found == {text: [(f"Person{number:02}", "ORG")] for number, text in enumerate(made[:4])}


async def test_a_post_that_came_back_must_be_seen_first(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 3)
    await opened(page, desk)
    await page.route(DECISIONS, answering(409, "it changed"))
    await page.keyboard.press("a")
    await expect(page.get_by_text("A decision did not count: it changed")).to_be_visible()
    await sent(page)
    await page.unroute(DECISIONS)
    await type_ahead(page, "r", "r", "3")
    await expect(page.get_by_text("Your decision did not count: it changed")).to_be_visible()
    await expect(page.get_by_text("2 presses were not used: this post came back, so look at it first.")).to_be_visible()
    await shows(page, made[0])
    await sent(page)
    assert texts(decisions(desk_settings)) == [made[1]]


async def test_a_post_that_opens_late_comes_behind_the_one_on_the_screen(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 5)
    await opened(page, desk)
    await page.keyboard.press("a")
    await moved_on(page, made[0])
    await sent(page)
    await page.reload()
    await page.locator("#review[data-state=task]").wait_for()
    answers = asyncio.Event()

    async def wait(route: Route) -> None:
        await answers.wait()
        await route.continue_()

    await page.route(REOPENING, wait)
    await page.get_by_role("button", name="Open again: Person00").click()
    await shows(page, made[1])
    await page.keyboard.press("e")
    await expect(page.locator("#preview")).to_have_text("Person01")
    answers.set()
    await expect(page.get_by_text("The post that you opened again comes next.")).to_be_visible()
    await expect(page.locator("#preview")).to_have_text("Person01")
    await page.keyboard.press("Escape")
    await page.keyboard.press("r")
    await moved_on(page, made[1])
    await shows(page, made[0])
    await page.keyboard.press("2")
    await moved_on(page, made[0])
    await shows(page, made[2])
    await sent(page)
    last = {one.task.tweet.text: outcome(one) for one in decisions(desk_settings)}
    assert last == {made[0]: [("Person00", "LOC")], made[1]: []}


async def test_skipped_posts_are_shown_again_by_their_button(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 2)
    await opened(page, desk)
    for text in made:
        await page.keyboard.press("s")
        await moved_on(page, text)
    await expect(page.get_by_role("heading", name="All done")).to_be_visible()
    await page.get_by_role("button", name="Show the 2 skipped again").click()
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, made[0])
    await page.keyboard.press("a")
    await moved_on(page, made[0])
    await sent(page)
    assert texts(decisions(desk_settings)) == made[:1]
