"""Answers of the server take three seconds. The next post is on the screen at once all the same; no press is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from statistics import median

import pytest
from playwright.async_api import Page, Route, expect

from benchmarks.press_to_paint import TIMES, WATCH
from streams.settings import Settings
from tests.desk.review.made import decisions, fill, opened, outcome, sent, shown, shows, texts
from tests.desk.review.test_page import HELD, REVIEW, expected, meant

ANSWER_S = 3.0
PAINTED_MS = 1000
"""Longest time from a press to the next post, in milliseconds, in the middle of the times of one round. On a quiet
machine it is 12 to 30; this bound only tells that the page does not wait for an answer."""

ROUNDS, POSTS = 3, 30
PRESS = """async keys => {
  for (const key of keys) {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    await new Promise((resolve) => setTimeout(resolve, 45));
  }
}"""


@pytest.fixture
async def hurry(page: Page) -> asyncio.Event:
    """Makes each answer of the review take three seconds, until this is set."""
    hurry = asyncio.Event()

    async def slowly(route: Route) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), ANSWER_S)
        await route.continue_()

    await page.route(REVIEW, slowly)
    return hurry


async def test_the_next_post_is_painted_at_once_while_answers_take_three_seconds(
    desk: str, desk_settings: Settings, page: Page, hurry: asyncio.Event
) -> None:
    made = await fill(desk_settings, POSTS)
    await page.add_init_script(WATCH)
    await opened(page, desk)
    rounds: list[list[float]] = []
    pressed = 0
    for _ in range(ROUNDS):
        await page.wait_for_function(HELD, arg=4)
        held = await page.evaluate(f"() => {{ let most = 0; while (({HELD})(most + 1)) most += 1; return most; }}")
        before = len(await page.evaluate(TIMES))
        for number in range(held - 1):
            await page.keyboard.press(meant(await shown(page)))
            pressed += 1
            await page.wait_for_function(f"count => {TIMES}.length >= count", arg=before + number + 1)
        rounds.append((await page.evaluate(TIMES))[before:])
    print("ms from a press to the next post, painted:", [[round(time) for time in times] for times in rounds])
    assert all(len(times) >= 3 for times in rounds)
    assert min(median(times) for times in rounds) < PAINTED_MS
    assert len(decisions(desk_settings)) < pressed, "the server is behind the screen"
    hurry.set()
    await sent(page)
    found = {one.task.tweet.text: outcome(one) for one in decisions(desk_settings)}
    assert found == {text: expected(text) for text in made[:pressed]}


async def test_the_page_says_that_it_waits_when_the_posts_run_out(
    desk: str, desk_settings: Settings, page: Page, hurry: asyncio.Event
) -> None:
    made = await fill(desk_settings, 10)
    await opened(page, desk)
    await page.wait_for_function(HELD, arg=4)
    for text in made[:4]:
        await shows(page, text)
        await page.keyboard.press("a")
    await expect(page.get_by_role("heading", name="Fetching the next post …")).to_be_visible()
    assert await shown(page) == "", "no old post stands there meanwhile"
    await page.keyboard.press("r")
    await expect(page.get_by_text("1 press waits for it. Escape forgets them.")).to_be_visible()
    hurry.set()
    await shows(page, made[5])
    await sent(page)
    found = {one.task.tweet.text: outcome(one) for one in decisions(desk_settings)}
    wanted = {text: [(f"Person{number:02}", "PER")] for number, text in enumerate(made[:4])}
    assert found == wanted | {made[4]: []}


async def test_twenty_presses_in_a_second_are_twenty_answers_in_order_while_answers_take_three_seconds(
    desk: str, desk_settings: Settings, page: Page, hurry: asyncio.Event
) -> None:
    made = await fill(desk_settings, 20)
    await opened(page, desk)
    await page.evaluate(PRESS, [meant(text) for text in made])
    await expect(page.get_by_text("presses wait for it. Escape forgets them.")).to_be_visible()
    await expect(page.locator(".past-list li")).to_have_count(10, timeout=60_000)
    hurry.set()
    await expect(page.locator("#review")).to_have_attribute("data-state", "empty")
    await sent(page)
    made_decisions = decisions(desk_settings)
    assert sorted(texts(made_decisions)) == made
    for decision in made_decisions:
        assert outcome(decision) == expected(decision.task.tweet.text)
