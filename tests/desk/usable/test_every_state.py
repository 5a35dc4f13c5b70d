"""What holds for every page holds in each of its states: while it waits, after an answer, and when something fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable

import pytest
from playwright.async_api import Page, Route, expect

from desk.access.access import users_of
from examples.desk_posts import posts
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD
from tests.desk.conftest import served
from tests.desk.filled import fill, read
from tests.desk.pages import look, until
from tests.desk.review.made import answering, look_again, moved_on, opened, queue_of, sent, shown
from tests.desk.usable.looking import AXE, judged, squeezed, unfold, walked

DECISIONS, HAND = (f"**/api/v1/review/{path}" for path in ("decisions", "hand"))
BULK = "**/api/v1/review/names/bulks/*"

OWN_TABS = ("editing", "typing ahead")
"""Beginnings of states in which Tab is a press of the review: it chooses the edge that moves, or waits for the post."""

States = AsyncIterator[str]
"""Yields the name of each state that is on the screen now."""


async def decide(page: Page, key: str = "a") -> None:
    """Answers all questions of the post on the screen."""
    text = await shown(page)
    while await shown(page) == text and await page.locator("#review[data-state=task]").count():
        await page.keyboard.press(key)
        await page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    await moved_on(page, text)


async def reviewing(page: Page, desk: str, settings: Settings) -> States:
    await opened(page, desk)
    await page.context.set_offline(True)
    await decide(page)
    await expect(page.get_by_text(re.compile("^Offline: 1 decision waits since"))).to_be_visible()
    yield "offline"
    await page.context.set_offline(False)
    await sent(page)

    await page.route(DECISIONS, answering(503, "Redis at example is unreachable"))
    await decide(page)
    await expect(page.locator(".sync")).to_contain_text("The desk cannot store answers now")
    yield "answers wait"
    await page.unroute(DECISIONS)
    await sent(page)

    await page.route(DECISIONS, answering(409, "the post changed while you looked at it"))
    await page.route("**/lease", lambda route: route.abort())  # the post does not come back yet
    await decide(page)
    await expect(page.locator(".past .refused")).to_be_visible()
    yield "an answer was refused"
    await page.unroute(DECISIONS)
    await page.unroute("**/lease")
    await sent(page)
    await decide(page)
    await expect(page.locator("[data-part=notice]")).to_contain_text("Your decision did not count")
    yield "a refused post came back"

    await decide(page)
    await sent(page)
    await page.keyboard.press("u")
    await expect(page.locator(".why .badge.answered, .review-why .badge").first).to_be_visible()
    yield "opened again"
    await page.keyboard.press("n")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Press 1 to 4 for the type of the new mention.")).to_be_visible()
    yield "editing, with a message"
    await page.keyboard.press("Escape")
    await page.keyboard.press("s")
    await sent(page)


async def without_posts(page: Page, desk: str, settings: Settings) -> States:
    answers = asyncio.Event()

    async def wait(route: Route) -> None:
        await answers.wait()
        await route.continue_()

    async with queue_of(settings) as queue:
        for _ in range((await queue.counts()).open - 2):
            assert await queue.claim("eve", 600)
        await opened(page, desk)
        await decide(page)
        await page.keyboard.press("s")
        await sent(page)
        await expect(page.get_by_role("heading", name="Others have the rest")).to_be_visible()
        yield "others have the rest"
        for entry in await queue.list(limit=200):
            await queue.settle(entry.task, 1_900_000_000_000)
        await look_again(page)
        await expect(page.get_by_role("heading", name="All done")).to_be_visible()
        yield "the queue is empty"
    await page.route(HAND, answering(503, "Redis at example is unreachable"))
    await look_again(page)
    await expect(page.get_by_role("heading", name="The queue does not answer")).to_be_visible()
    yield "the queue is away"
    await page.unroute(HAND)
    await page.route(HAND, wait)
    await page.goto(f"{desk}/review")
    await expect(page.get_by_role("heading", name="Fetching the next post")).to_be_visible()
    await page.keyboard.press("a")
    await expect(page.get_by_text("1 press waits for it")).to_be_visible()
    yield "typing ahead"
    answers.set()
    await page.locator("#review[data-state=empty]").wait_for()
    await page.route(HAND, answering(401, "sign in"))
    await page.goto(f"{desk}/review")
    await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    yield "signed out"


async def by_name(page: Page, desk: str, settings: Settings) -> States:
    await page.goto(f"{desk}/review/words")
    await page.locator("#words[data-state=lines]").wait_for()
    names = page.locator(".words-name")
    few = await names.nth(await names.count() - 3).get_attribute("href")  # the last names have the fewest lines
    await page.goto(f"{desk}{few}")
    await seen(page)
    answers = asyncio.Event()

    async def wait(route: Route) -> None:
        await answers.wait()
        await route.continue_()

    await page.route(BULK, wait)
    await page.keyboard.press("a")
    await expect(page.locator("#words[data-state=busy]")).to_be_visible()
    await expect(page.locator(".words-preview")).to_contain_text("Deciding")
    yield "a bulk is on its way"
    answers.set()
    await expect(page.locator(".words-told")).to_contain_text("accepted as")
    await page.unroute(BULK)
    await seen(page)
    yield "a bulk is decided"
    await page.keyboard.press("u")
    await expect(page.locator(".words-told")).to_contain_text("Undone")
    await seen(page)
    yield "a bulk is undone"
    await page.keyboard.press("x")
    await expect(page.locator(".words-preview")).to_contain_text("No line on the screen has a tick")
    yield "no line has a tick"
    await page.route(BULK, lambda route: route.abort())
    await page.keyboard.press("x")
    await page.keyboard.press("a")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible(timeout=90_000)
    await seen(page)
    yield "a bulk failed"
    await page.unroute(BULK)
    await page.locator("#narrow").fill("zzzz")
    await expect(page.get_by_text("No name that waits has these letters.")).to_be_visible()
    yield "no such name"


async def seen(page: Page) -> None:
    """Waits until all lines of the name have been on the screen, so that no number on a button changes any more."""
    await page.locator("#words[data-state=lines]").wait_for()
    await expect(page.locator(".words-preview")).not_to_contain_text("not on the screen yet")


async def disputing(page: Page, desk: str, settings: Settings) -> States:
    await page.goto(f"{desk}/review/disputed?names=true")
    flagged = ""
    for address in await page.locator(".case-list a").evaluate_all("links => links.map(link => link.href)"):
        await page.goto(address)
        if await page.locator(".flag").count():
            flagged = address
            yield "flagged"
        else:
            await expect(page.locator(".differences")).to_be_visible()
            yield "side by side"
    await page.goto(flagged)
    async with page.expect_navigation():
        await page.keyboard.press("b")
    await expect(page.locator(".note.undo")).to_be_visible()
    yield "put back"
    await page.goto(f"{desk}/review/disputed?post=none")
    yield "gone"


async def searching(page: Page, desk: str, settings: Settings) -> States:
    await look(page, f"{desk}/search?q=NASA&type=ORG&since=2026-11-01&until=2026-11-28&sort=newest")
    await unfold(page)
    yield "with filters"
    await look(page, f"{desk}/search?q=zzzz&type=ORG&lang=en")
    yield "nothing found"
    await look(page, f"{desk}/search?q=NASA")
    await page.route("**/api/v1/export*", lambda route: None)
    await page.locator("#export summary").click()
    await page.locator("#export a").first.click()
    await expect(page.locator("#exporting")).to_be_visible()
    await unfold(page)
    yield "an export runs"
    await page.get_by_role("button", name="Cancel").click()
    await look(page, f"{desk}/audit?action=nothing")
    yield "an empty log"


async def following(page: Page, desk: str, settings: Settings) -> States:
    await look(page, f"{desk}/live")
    new = [read(post | {"id": f"new{post['id']}"}) for post in posts(6, until())]
    await fill(settings, new[:3])
    await expect(page.locator("#live-hits li")).to_have_count(3)
    yield "posts came"
    await page.keyboard.press("p")
    await fill(settings, new[3:])
    await expect(page.locator("#live-more")).to_be_visible()
    yield "paused"


async def saving(page: Page, desk: str, settings: Settings) -> States:
    await look(page, f"{desk}/saved")
    await unfold(page)
    await page.locator("input[type=url]").first.fill("https://hooks.example/posts")
    await page.locator("input[type=url]").first.press("Enter")
    await expect(page.locator("#secret")).to_be_visible()
    await unfold(page)
    yield "a webhook is set up"
    await page.get_by_role("button", name="Send a test message").first.click()
    await expect(page.get_by_text("The test message did not arrive")).to_be_visible()
    await unfold(page)
    yield "a test message was lost"
    for menu in await page.locator(".saved details.menu").all():
        await menu.locator("summary").press("Enter")
        yield "the menu of a search"
        await page.keyboard.press("Escape")
    await look(page, f"{desk}/entities/name?name=lisbon")
    await unfold(page)
    await page.locator("#same-name").fill("Lissabon")
    await page.get_by_role("button", name="Join them").click()
    await expect(page.locator(".note[role=status]")).to_be_visible()
    await unfold(page)
    yield "a name is corrected"


async def signing_in(page: Page, desk: str, settings: Settings) -> States:
    users_of(settings).add("ada", PASSWORD, ("admin", "analyst", "reviewer"))
    with served(settings) as closed:
        await page.goto(f"{closed}/login")
        await page.get_by_label("Name", exact=True).fill("ada")
        await page.get_by_label("Password", exact=True).fill("wrong wrong wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        yield "a wrong password"


AREAS: tuple[Callable[[Page, str, Settings], States], ...] = (
    reviewing,
    without_posts,
    by_name,
    disputing,
    searching,
    following,
    saving,
    signing_in,
)


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.__name__)
async def test_everybody_can_use_each_state(
    page: Page, full_desk: str, desk_settings: Settings, area: Callable[[Page, str, Settings], States]
) -> None:
    faults = []
    async for state in area(page, full_desk, desk_settings):
        await page.evaluate(AXE)
        await page.evaluate("() => scrollTo(0, 0)")  # else the bar covers what axe-core measures
        faults += await judged(page, state)
        faults += [f"{state}: only a mouse presses {name}" for name in await page.evaluate("() => usable.mouseOnly()")]
        if not state.startswith(OWN_TABS):
            focus = await page.evaluate_handle("() => document.activeElement")
            faults += await walked(page, state, await page.evaluate("() => usable.names(document)"))
            await focus.evaluate("element => element.focus()")
        faults += await squeezed(page, state)
    assert not faults, "\n".join(faults)
