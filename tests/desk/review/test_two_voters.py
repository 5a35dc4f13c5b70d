"""Two people vote in two browsers at once, a third one settles what they differ on, and the overview shows kappa."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Browser, Page, expect

from desk.access.access import users_of
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD
from tests.desk.conftest import served
from tests.desk.review.made import decisions, fill, moved_on, outcome, sent, shown

VOTES = {"ada": "aa3r", "bo": "ar3r"}
"""The key of each person for every fourth post. They agree on PER, ORG and no entity, and differ on the second post."""

POSTS = 8

# By hand, of four posts: eight have the same shares. The two agree on 3. Of their 8 votes, 3 are PER, 2 ORG and 3 no
# entity. Fleiss: by chance 9/64 + 4/64 + 9/64 = 22/64 agree, so kappa is (48/64 - 22/64) / (64/64 - 22/64) = 26/42.
# Cohen: ada has 2 PER, 1 ORG and 1 none, bo 1, 1 and 2. By chance (2 + 1 + 2)/16 agree, and kappa is (12 - 5)/(16 - 5).
FLEISS, COHEN = f"{26 / 42:.2f}", f"{7 / 11:.2f}"


async def signed_in(browser: Browser, desk: str, name: str, path: str) -> Page:
    """Returns a page of a browser of its own, in which this person has signed in."""
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{desk}/login?next={path}")
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(desk + path)
    return page


async def vote(page: Page, name: str) -> None:
    """Votes on all posts, as they come: a post that the other person reads comes later."""
    for _ in range(POSTS):
        await page.locator("#review[data-state=task]").wait_for(timeout=60_000)
        text = await shown(page)
        number = int(re.findall(r"\d+", text)[0])
        await page.keyboard.press(VOTES[name][number % 4])
        await moved_on(page, text)
    await sent(page)


async def settle(page: Page, desk: str, post: str, voter: str) -> None:
    """Takes the version of this person."""
    await page.goto(f"{desk}/review/disputed?post={post}&names=true")
    await expect(page.get_by_role("heading", name="2 people, 1 difference")).to_be_visible()
    version = page.locator(".versions li", has_text=f"by {voter}").get_by_role("button")
    async with page.expect_navigation():
        await version.click()
    await expect(page.get_by_text(f"You settled post {post}")).to_be_visible()


async def until_shown(page: Page, address: str, text: str) -> None:
    """Loads a page until this text is there: the desk reads the topic behind it."""
    async with asyncio.timeout(60):
        await page.goto(address)
        while not await page.get_by_text(text).count():
            await asyncio.sleep(0.2)
            await page.reload()


async def test_two_people_vote_and_a_third_one_settles(
    desk_settings: Settings, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("desk.agreement.watch.EVERY_S", 0.3)
    settings = desk_settings.changed(reviewers=2)
    for name in ("ada", "bo", "cleo"):
        users_of(settings).add(name, PASSWORD, ("reviewer",))
    made = await fill(settings, POSTS)
    with served(settings) as desk:
        pages = {name: await signed_in(browser, desk, name, "/review") for name in VOTES}
        await asyncio.gather(*(vote(page, name) for name, page in pages.items()))

        await pages["ada"].goto(f"{desk}/review/disputed?post=01")
        await expect(pages["ada"].get_by_text("2 people, 1 difference")).to_be_visible()
        assert await pages["ada"].locator(".versions button:enabled").count() == 0, "who voted settles nothing"
        cleo = await signed_in(browser, desk, "cleo", "/")
        await until_shown(cleo, desk, f"{FLEISS} Fleiss’ kappa over {POSTS} questions.")
        await settle(cleo, desk, "01", "ada")
        await settle(cleo, desk, "05", "bo")
        await cleo.goto(f"{desk}/review/disputed")
        await expect(cleo.get_by_role("heading", name="Nothing waits here")).to_be_visible()

        last = {one.task.tweet.id: one for one in decisions(settings)}
        assert {one.kind for one in last.values()} == {"settle"}
        assert {one.task.tweet.text for one in last.values()} == set(made)
        kept = {"0": ["PER"], "1": ["PER"], "2": ["ORG"], "3": [], "4": ["PER"], "5": [], "6": ["ORG"], "7": []}
        assert {post[1]: [kind for _, kind in outcome(one)] for post, one in last.items()} == kept
        for post, one in last.items():
            assert sorted(vote.reviewer for vote in one.votes) == ["ada", "bo"]
            assert (one.reviewer == "cleo") == (post in {"01", "05"})

        await until_shown(cleo, desk, f"{FLEISS} Fleiss’ kappa over {POSTS} questions.")
        await until_shown(cleo, f"{desk}/review/agreement", "ada and bo")
        pair = cleo.locator(".kappa-rows li", has_text="ada and bo")
        await expect(pair.locator("strong")).to_have_text(COHEN)
        await expect(pair).to_contain_text(f"{POSTS} questions, {POSTS} posts")
