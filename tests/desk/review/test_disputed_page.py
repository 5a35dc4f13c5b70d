"""Disputed and flagged tasks in a real browser, by keyboard."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from streams.settings import Settings
from tests.desk.conftest import served
from tests.desk.review.disputes import TEXT, House, accepts, house, task_of


@pytest.fixture
def desk_settings(desk_settings: Settings) -> Settings:
    return desk_settings.changed(reviewers=2)


async def test_a_version_is_taken_undone_and_taken_again_by_keyboard(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    async with house(desk_settings) as made:
        await made.dispute("d1")
        await page.goto(f"{desk}/review/disputed")
        await expect(page.get_by_role("heading", name="2 people, 4 differences")).to_be_visible()
        versions = page.locator(".versions > li")
        await expect(versions).to_have_count(2)
        content = await page.content()
        assert "ana" not in content.replace("analyst", "").replace("manage", "")
        assert "bob" not in content
        await press(page, "v")
        await expect(page.get_by_text("by ana")).to_be_visible()
        await press(page, "v")
        await expect(page.get_by_text("by ana")).to_have_count(0)
        wanted = await versions.nth(1).locator(".mention > bdi").all_inner_texts()
        await press(page, "2")
        await expect(page.get_by_text("You settled post d1")).to_be_visible()
        assert await made.disputed() == []
        await press(page, "u")
        await expect(versions).to_have_count(2)
        assert await made.disputed() == ["d1"]
        await press(page, "2")
        await expect(page.get_by_text("You settled post d1")).to_be_visible()
        last, *_ = await made.queue.history.of(await owner(page))
        assert [mention.text for mention in last.decision.mentions] == wanted
        assert [vote.reviewer for vote in last.decision.votes] == ["ana", "bob"]


async def press(page: Page, key: str) -> None:
    """Presses a key that leads to another page, and waits for it."""
    async with page.expect_navigation():
        await page.keyboard.press(key)


async def owner(page: Page) -> str:
    name = await page.locator("details.menu summary").get_attribute("aria-label")
    assert name is not None
    return name.removeprefix("Signed in as ")


async def test_a_flagged_task_is_put_back_and_up_again(desk: str, desk_settings: Settings, page: Page) -> None:
    async with house(desk_settings) as made:
        await made.flag("f1", "<script>alert(1)</script> which Ada?")
        await page.goto(f"{desk}/review/disputed")
        await expect(page.get_by_text("Flagged by ana")).to_be_visible()
        await expect(page.get_by_text("<script>alert(1)</script> which Ada?")).to_be_visible()
        await expect(page.get_by_role("link", name="Open in the review")).to_have_attribute("href", "/review?post=f1")
        assert await made.queue.claim("eve", 60) is None
        await press(page, "b")
        await expect(page.get_by_text("You put post f1 back")).to_be_visible()
        assert await made.queue.flags.list() == []
        await press(page, "u")
        await expect(page.get_by_text("Flagged by ana")).to_be_visible()
        await press(page, "b")
        await expect(page.get_by_text("You put post f1 back")).to_be_visible()
        claim = await made.queue.claim("eve", 60)
        assert claim is not None
        assert claim.task.tweet.text == TEXT
        await page.keyboard.press("u")
        await expect(page.get_by_text("somebody works on it now")).to_be_visible()


async def test_the_next_case_comes_after_each_and_none_is_left(desk: str, desk_settings: Settings, page: Page) -> None:
    async with house(desk_settings) as made:
        await made.dispute("d1")
        await made.dispute("d2")
        await page.goto(f"{desk}/review/disputed?post=d1")
        await press(page, "1")
        await expect(page).to_have_url(f"{desk}/review/disputed?post=d2")
        await press(page, "1")
        await expect(page.get_by_role("heading", name="Nothing waits here")).to_be_visible()
        assert await made.disputed() == []


async def test_the_agreement_is_read_from_the_votes(desk_settings: Settings, page: Page) -> None:
    async with house(desk_settings) as made:
        for number in range(3):
            await made.dispute(f"d{number}")
        await agreeing(made)
    with served(desk_settings) as desk:
        await page.goto(f"{desk}/review/agreement")
        title = page.get_by_role("heading", name="Each two people")
        for _ in range(20):
            if await title.count():
                break
            await page.reload()
        await expect(page.get_by_text("ana and bob")).to_be_visible()
        await expect(page.get_by_text("16 questions, 5 posts").first).to_be_visible()
        await page.goto(desk)
        await expect(page.get_by_text("Fleiss’ kappa over 16 questions.")).to_be_visible()
        await expect(page.get_by_role("link", name="disputed or flagged")).to_be_visible()
        await expect(page.get_by_text("the oldest waits")).to_be_visible()


async def agreeing(made: House) -> None:
    for post in ("a1", "a2"):
        await made.queue.add([task_of(post)])
        for reviewer in ("ana", "bob"):
            await made.vote(reviewer, post, accepts)
