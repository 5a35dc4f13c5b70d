"""Tasks whose answer a tab never got come back to it, and those whose answers wait in it do not. In real Chromium."""

from __future__ import annotations

from playwright.async_api import Page, Route, expect

from streams.settings import Settings
from tests.desk.review.made import (
    decisions,
    fill,
    moved_on,
    named,
    opened,
    outcome,
    put,
    queue_of,
    sent,
    shows,
    task_of,
)

TEXT = "NASA met ESA, number {}"


async def test_a_reload_gets_what_a_lost_answer_had_leased(desk: str, desk_settings: Settings, page: Page) -> None:
    texts = [TEXT.format(number) for number in range(6)]
    await put(
        desk_settings,
        [
            task_of(str(number), text, named(text, "NASA", "ORG"), uncertainty=0.9 - number / 10)
            for number, text in enumerate(texts)
        ],
    )

    async def lost(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/api/v1/review/hand", lost)
    await page.goto(f"{desk}/review")
    await page.locator("#review[data-state=away]").wait_for()
    async with queue_of(desk_settings) as queue:
        assert (await queue.counts()).leased > 0
        await page.unroute("**/api/v1/review/hand", lost)
        await opened(page, desk)
        await shows(page, texts[0])
        await page.route("**/api/v1/review/decisions", lambda route: route.abort())
        await page.keyboard.press("a")
        await moved_on(page, texts[0])
        await opened(page, desk)
        await shows(page, texts[1])  # the first one is answered, and its answer waits to be sent
        await page.unroute("**/api/v1/review/decisions")
        for text in texts[1:]:
            await shows(page, text)
            await page.keyboard.press("a")
            await moved_on(page, text)
        await sent(page)
        assert (await queue.counts()).decided == len(texts)


async def test_answers_of_before_a_reload_outlast_an_outage(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 2, questions=2)
    await opened(page, desk)
    await page.keyboard.press("r")
    await page.wait_for_function("() => JSON.parse(Object.values(sessionStorage)[0]).held[0].answers.length === 1")
    await page.route("**/api/v1/review/hand", lambda route: route.abort())
    await page.reload()
    await page.locator("#review[data-state=away]").wait_for()
    await page.unroute("**/api/v1/review/hand")
    await page.evaluate("() => dispatchEvent(new Event('online'))")
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, made[0])
    await page.keyboard.press("a")
    await sent(page)
    assert [outcome(one) for one in decisions(desk_settings)] == [[("Town00", "LOC")]]


async def test_a_tab_that_held_more_than_one_request_may_name_comes_back(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 2)
    await opened(page, desk)
    await page.wait_for_load_state("networkidle")
    await page.evaluate("""() => {
      const [[key, saved]] = Object.entries(sessionStorage).map(([key, value]) => [key, JSON.parse(value)]);
      const [first] = saved.held;
      saved.held.unshift(...Array.from({ length: 30 }, (_, number) => ({ ...first, post: `gone${number}` })));
      sessionStorage.setItem(key, JSON.stringify(saved));
    }""")
    await opened(page, desk)
    await shows(page, made[0])


async def test_a_decided_post_does_not_come_back_before_the_queue_has_heard_of_it(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 3)
    await opened(page, desk)
    await page.wait_for_load_state("networkidle")

    async def stored(route: Route) -> None:
        await (route.fulfill(status=200, json={}) if route.request.method == "POST" else route.continue_())

    await page.route("**/api/v1/review/decisions", stored)
    await page.route("**/api/v1/review/hand", lambda route: route.abort())
    await page.keyboard.press("a")
    await moved_on(page, made[0])
    await sent(page)
    await page.wait_for_load_state("networkidle")
    await page.unroute("**/api/v1/review/hand")
    for text in made[1:]:
        await shows(page, text)
        async with page.expect_response("**/api/v1/review/hand"):
            await page.keyboard.press("s")
        await moved_on(page, text)
    await expect(page.locator("#review")).to_have_attribute("data-state", "empty")
