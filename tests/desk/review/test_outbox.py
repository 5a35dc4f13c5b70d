"""What becomes of answers that cannot be sent, or that the desk refuses, in a real browser. None of them vanishes."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from desk.access.access import users_of
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD
from tests.desk.review.made import (
    answering,
    decisions,
    end_leases,
    fill,
    look_again,
    lose,
    moved_on,
    named,
    opened,
    outcome,
    put,
    queue_of,
    sent,
    shown,
    shows,
    task_of,
    texts,
)

DECISIONS, REOPENING, HAND = (f"**/api/v1/review/{path}" for path in ("decisions", "tasks/*/reopening", "hand"))


async def decided_anew_in_an_outage(page: Page, desk: str, settings: Settings) -> list[str]:
    """Decides a post, and decides it again while the server's answer to `u` is lost, until the lease is over."""
    made = await fill(settings, 4)
    await opened(page, desk)
    await page.keyboard.press("a")
    await moved_on(page, made[0])
    await sent(page)
    asked = asyncio.Event()

    async def out(route: Route) -> None:
        await (route.abort() if asked.is_set() else lose(route))
        asked.set()

    await page.route(REOPENING, out)
    await page.keyboard.press("u")
    await moved_on(page, made[1])
    await asyncio.wait_for(asked.wait(), 60)
    await page.keyboard.press("r")
    await moved_on(page, made[0])
    await expect(page.locator(".past .waiting")).to_be_visible()
    await end_leases(settings)
    return made


async def test_an_answer_given_anew_arrives_after_an_outage_longer_than_the_lease(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await decided_anew_in_an_outage(page, desk, desk_settings)
    await page.unroute(REOPENING)
    await sent(page)
    found = [(one.kind, outcome(one)) for one in decisions(desk_settings) if one.task.tweet.text == made[0]]
    assert found == [("settle", [("Person00", "PER")]), ("retract", []), ("settle", [])]
    await shows(page, made[1])


async def test_an_answer_given_anew_on_a_post_that_another_took_is_kept_with_its_reason(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await decided_anew_in_an_outage(page, desk, desk_settings)
    refused = page.locator(".past", has_text="did not count")
    async with queue_of(desk_settings) as queue:
        claim = await queue.take("00", "bo", 600)
        assert claim is not None
        await page.unroute(REOPENING)
        await expect(refused).to_contain_text("Person00")
        await expect(refused).to_contain_text("another reviewer has it")
        await sent(page)
        await shows(page, made[1])
        await page.reload()
        await page.locator("#review[data-state=task]").wait_for()
        await expect(refused).to_contain_text("another reviewer has it")
        await refused.click()
        await expect(page.get_by_text("The post was not opened: post 00 is not free")).to_be_visible()
        await queue.release(claim)
    await refused.click()
    await expect(page.get_by_text("Your answer did not count: post 00 is not free")).to_be_visible()
    await shows(page, made[0])
    await page.keyboard.press("2")
    await sent(page)
    last = [one for one in decisions(desk_settings) if one.task.tweet.text == made[0]][-1]
    assert outcome(last) == [("Person00", "LOC")]
    await expect(refused).to_have_count(0)


async def test_a_reload_between_a_reopening_and_its_answer_loses_nothing(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 3)
    await opened(page, desk)
    await page.keyboard.press("a")
    await moved_on(page, made[0])
    await sent(page)
    await page.route(DECISIONS, lambda route: route.abort())
    async with page.expect_response(REOPENING):
        await page.keyboard.press("u")
        await moved_on(page, made[1])
        await page.keyboard.press("r")
    await moved_on(page, made[0])
    await page.reload()
    await page.unroute(DECISIONS)
    await sent(page)
    found = [(one.kind, outcome(one)) for one in decisions(desk_settings) if one.task.tweet.text == made[0]]
    assert found == [("settle", [("Person00", "PER")]), ("retract", []), ("settle", [])]


async def test_a_closed_tabs_answers_survive_a_tab_without_room_to_store_them(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 2)
    await page.context.route(DECISIONS, lambda route: route.abort())
    await opened(page, desk)
    await page.keyboard.press("a")
    await moved_on(page, made[0])
    await page.close()
    full = await page.context.new_page()
    await full.add_init_script("""
        const set = Storage.prototype.setItem;
        Storage.prototype.setItem = function (key, value) {
          if (key.startsWith("mner.review.outbox")) throw new DOMException("full", "QuotaExceededError");
          set.call(this, key, value);
        };
    """)
    async with full.expect_request(DECISIONS):
        await full.goto(f"{desk}/review")
    await full.close()
    await page.context.unroute(DECISIONS)
    await sent(await opened(await page.context.new_page(), desk))
    assert texts(decisions(desk_settings)) == made[:1]


@pytest.mark.parametrize("status", [422, 431, 500])
async def test_an_answer_that_is_never_taken_comes_back_and_stops_no_other(
    desk: str, desk_settings: Settings, page: Page, status: int
) -> None:
    made = await fill(desk_settings, 5)
    pressed = asyncio.Event()

    async def refuse(route: Route) -> None:
        sent_now = route.request.post_data_json or {}  # nothing, when the list of decisions is asked for
        is_first = sent_now.get("post") == "00"
        if is_first:
            await pressed.wait()  # else the post comes back between the presses
        await (answering(status, "it has a fault")(route) if is_first else route.continue_())  # type: ignore[misc]

    await page.route(DECISIONS, refuse)  # now, since Chromium may let the first request of an open page pass
    await opened(page, desk)
    for text in made[:3]:
        await page.keyboard.press("a")
        await moved_on(page, text)
    pressed.set()
    await expect(page.locator(".toast.bad")).to_have_text("A decision did not count: it has a fault", timeout=60_000)
    await sent(page)
    assert texts(decisions(desk_settings)) == made[1:3]
    assert await shown(page) == made[3], "the post on the screen stays"
    await page.unroute(DECISIONS)
    await page.keyboard.press("a")
    await expect(page.get_by_text("Your decision did not count: it has a fault")).to_be_visible()
    await shows(page, made[0])
    await page.keyboard.press("3")
    await sent(page)
    assert {one.task.tweet.text: outcome(one) for one in decisions(desk_settings)}[made[0]] == [("Person00", "ORG")]


async def test_a_refused_answer_comes_back_after_an_outage_and_a_reload(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 3)
    await opened(page, desk)
    await page.route(DECISIONS, answering(400, "it makes no sense"))
    await page.route("**/lease", lambda route: route.abort())
    await page.keyboard.press("a")
    await expect(page.locator(".past .refused")).to_contain_text("it makes no sense")
    await page.reload()
    await expect(page.locator(".past .refused")).to_contain_text("it makes no sense")
    await page.unroute("**/lease")
    await page.unroute(DECISIONS)
    await sent(page)
    while await shown(page) != made[0]:
        text = await shown(page)
        await page.keyboard.press("s")
        await moved_on(page, text)
    await expect(page.get_by_text("Your decision did not count: it makes no sense")).to_be_visible()
    await page.keyboard.press("a")
    await sent(page)
    assert texts(decisions(desk_settings)) == [made[0]]


async def test_a_request_without_an_answer_is_given_up_and_sent_again(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 3)
    await page.clock.install()
    await opened(page, desk)
    asked = asyncio.Event()

    async def hang(route: Route) -> None:
        if asked.is_set():
            await route.continue_()
        asked.set()

    await page.route(DECISIONS, hang)
    await page.keyboard.press("a")
    await moved_on(page, made[0])
    await asyncio.wait_for(asked.wait(), 60)
    await page.clock.fast_forward(45_000)
    await expect(page.get_by_text("The desk does not answer: 1 decision waits since")).to_be_visible()
    await page.clock.fast_forward(30_000)
    await sent(page)
    assert texts(decisions(desk_settings)) == made[:1]


async def test_answers_that_wait_longer_than_the_lease_arrive(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 4)
    await page.clock.install()
    await opened(page, desk)
    await page.route(DECISIONS, answering(503))
    for text in made[:2]:
        await page.keyboard.press("a")
        await moved_on(page, text)
    await expect(page.get_by_text("2 decisions wait since")).to_be_visible()
    await page.wait_for_function("() => JSON.parse(Object.values(sessionStorage)[0]).held.length === 2")
    await page.clock.fast_forward(61_000)
    await end_leases(desk_settings)
    async with page.expect_response(HAND):
        await page.keyboard.press("s")
    await page.unroute(DECISIONS)
    await page.clock.fast_forward(30_000)
    await sent(page)
    assert texts(decisions(desk_settings)) == made[:2]
    await expect(page.locator(".past .refused")).to_have_count(0)


async def sign_in(page: Page, desk: str) -> None:
    await page.goto(f"{desk}/login?next=/review")
    await page.get_by_label("Name", exact=True).fill("ada")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{desk}/review")


async def test_answers_wait_for_the_sign_in_of_another_tab(desk: str, desk_settings: Settings, page: Page) -> None:
    users_of(desk_settings).add("ada", PASSWORD, ("reviewer",))
    made = await fill(desk_settings, 3)
    await sign_in(page, desk)
    await page.locator("#review[data-state=task]").wait_for()
    await page.context.clear_cookies()
    await page.keyboard.press("a")
    await expect(page.get_by_text("You are signed out: 1 decision waits since")).to_be_visible()
    await sign_in(await page.context.new_page(), desk)
    await look_again(page)
    await sent(page)
    assert texts(decisions(desk_settings)) == made[:1]
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, made[1])


async def test_a_deleted_post_goes_from_the_list_and_from_the_screen(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 6)
    await opened(page, desk)
    for text in made[:2]:
        await page.keyboard.press("a")
        await moved_on(page, text)
    await sent(page)
    await expect(page.locator(".past")).to_have_count(2)
    async with queue_of(desk_settings) as queue:
        await queue.erase("00", "02")
        await look_again(page)
        await expect(page.locator(".past")).to_have_count(1)
        await moved_on(page, made[2])
        await shows(page, made[3])
        await queue.erase("03")
    await page.keyboard.press("a")
    await expect(page.get_by_text("A post that you worked on was deleted")).to_be_visible()
    await expect(page.locator(".past")).to_have_text(["Open again: Person01 PER✓"])
    await shows(page, made[4])


async def test_the_page_says_which_server_is_away_while_answers_wait(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 3)
    await opened(page, desk)
    await page.route(DECISIONS, answering(503, "Redis at example is unreachable"))
    await page.keyboard.press("a")
    await expect(page.locator(".sync")).to_contain_text("The desk cannot store answers now: 1 decision waits since")
    await expect(page.locator(".sync")).to_contain_text("Redis at example is unreachable")
    await page.unroute(DECISIONS)
    await sent(page)
    assert texts(decisions(desk_settings)) == made[:1]


async def test_long_decisions_stay_inside_their_list(desk: str, desk_settings: Settings, page: Page) -> None:
    tasks = [task_of("00", text := "Bo " + "Person" * 20, named(text, text, "PER"))]
    await put(desk_settings, [*tasks, task_of("01", "Ada", named("Ada", "Ada", "PER"))])
    await opened(page, desk)
    await page.route(DECISIONS, lambda route: route.abort())
    await page.keyboard.press("a")
    await expect(page.locator(".past .waiting")).to_be_in_viewport(ratio=1)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator(".review-past").evaluate("box => box.scrollWidth <= box.clientWidth")
    await page.unroute(DECISIONS)
    await sent(page)
