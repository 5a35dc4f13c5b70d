"""The review in a real browser, by keyboard."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from sinks.queue.queue import ReviewQueue
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
    queue_of,
    sent,
    shown,
    shows,
    take_away,
    task_of,
    texts,
)

REVIEW = "**/api/v1/review/**"


HELD = """least => Object.entries(sessionStorage).some(
    ([key, value]) => key.startsWith("mner.review.hand:") && JSON.parse(value).held.length >= least)"""
"""Whether the tab holds at least so many tasks."""


def meant(text: str) -> str:
    """Returns the key that a reviewer means for a post, by its text."""
    number = int(re.findall(r"\d+", text)[0])
    return "ar234"[number % 5]


def expected(text: str) -> list[tuple[str, str]]:
    person = re.findall(r"Person\d+", text)[0]
    kept = {"a": "PER", "r": None, "2": "LOC", "3": "ORG", "4": "MISC"}[meant(text)]
    return [(person, kept)] if kept else []


async def test_forty_tasks_by_keyboard_in_two_browsers(desk: str, desk_settings: Settings, browser: Browser) -> None:
    made = await fill(desk_settings, 40)

    async def review() -> None:
        context = await browser.new_context()
        page = await opened(await context.new_page(), desk)
        while await page.locator("#review").get_attribute("data-state") == "task":
            text = await shown(page)
            if not text:
                continue
            await page.keyboard.press(meant(text))
            await moved_on(page, text)
        await sent(page)
        await context.close()

    await asyncio.gather(review(), review())
    made_decisions = decisions(desk_settings)
    assert sorted(texts(made_decisions)) == made, "each once"
    for decision in made_decisions:
        assert outcome(decision) == expected(decision.task.tweet.text)


IN_QUESTION = """() => {
  const edges = (selector) => document.querySelector(selector).getBoundingClientRect();
  const { top, bottom } = edges("#post-text .current");
  return top >= edges(".bar").bottom && bottom <= edges(".review-bar").top;
}"""
"""Whether the mention in question is on the screen, between the bars."""


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
async def test_of_a_long_post_the_mention_in_question_is_on_the_screen(
    desk: str, desk_settings: Settings, page: Page, size: tuple[int, int]
) -> None:
    text = f"Ada is here. {'Words and words. ' * 400}Ben was there. {'Words and words. ' * 400}"
    await put(desk_settings, [task_of("1", text, named(text, "Ada"), named(text, "Ben"))])
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await opened(page, desk)
    await expect(page.locator("#post-text .current")).to_contain_text("Ada")
    assert await page.evaluate(IN_QUESTION)
    await page.keyboard.press("a")
    await expect(page.locator("#post-text .current")).to_contain_text("Ben")
    assert await page.evaluate(IN_QUESTION)


async def test_twenty_presses_at_once_are_twenty_answers_in_order(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 20)

    async def slowly(route: Route) -> None:
        await asyncio.sleep(0.4)
        await route.continue_()

    await page.route(REVIEW, slowly)
    await opened(page, desk)
    await page.evaluate(
        """async keys => {
             for (const key of keys) {
               document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
               await new Promise((resolve) => setTimeout(resolve, 45));
             }
           }""",
        [meant(text) for text in made],
    )
    await expect(page.locator("#review")).to_have_attribute("data-state", "empty", timeout=30_000)
    await sent(page)
    made_decisions = decisions(desk_settings)
    assert sorted(texts(made_decisions)) == made
    for decision in made_decisions:
        assert outcome(decision) == expected(decision.task.tweet.text)


async def test_offline_decisions_wait_and_a_reload_loses_none(
    desk: str, desk_settings: Settings, page: Page, context: BrowserContext
) -> None:
    made = await fill(desk_settings, 5)
    await opened(page, desk)
    await context.set_offline(True)
    await page.keyboard.press("a")
    await page.keyboard.press("r")
    await expect(page.get_by_text(re.compile("^Offline: 2 decisions wait since"))).to_be_visible()
    await shows(page, made[2])
    assert decisions(desk_settings) == []
    await context.set_offline(False)
    await page.route("**/api/v1/review/decisions", lambda route: route.abort())
    await page.keyboard.press("a")
    await moved_on(page, made[2])
    await page.unroute("**/api/v1/review/decisions")
    await page.reload()
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, made[3])  # a reload brings the same task
    await sent(page)
    # a decision whose answer got lost with the connection is published again, as the same record
    stored = {decision.id: decision for decision in decisions(desk_settings)}
    assert sorted(texts(stored.values())) == made[:3]


async def test_a_refused_decision_says_so_and_its_task_comes_back(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 4)
    await opened(page, desk)

    async def refuse(route: Route) -> None:
        await route.fulfill(status=409, json={"error": "the post changed while you looked at it"})

    await page.route("**/api/v1/review/decisions", refuse)
    await page.keyboard.press("a")
    await expect(page.get_by_text("A decision did not count: the post changed")).to_be_visible()
    assert await shown(page) == made[1], "the post on the screen stays"
    await page.unroute("**/api/v1/review/decisions")
    await page.wait_for_function(HELD, arg=4)  # it came back, behind the one on the screen
    await page.keyboard.press("r")
    await expect(page.get_by_text("Your decision did not count: the post changed")).to_be_visible()
    await shows(page, made[0])
    await page.keyboard.press("3")
    await sent(page)
    found = {decision.task.tweet.text: outcome(decision) for decision in decisions(desk_settings)}
    assert found == {made[0]: [("Person00", "ORG")], made[1]: []}


async def test_a_flag_takes_the_post_away_with_a_note(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 6)
    await opened(page, desk)
    dialog = page.get_by_role("dialog", name="Leave the post to somebody else")
    await page.keyboard.press("f")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    assert await shown(page) == made[0], "Escape cancels"

    await page.keyboard.press("a")
    await moved_on(page, made[0])
    await page.keyboard.press("f")
    await expect(dialog).to_be_visible()
    await page.keyboard.type("are a person and a town meant?")
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await shows(page, made[2])
    await page.get_by_role("button", name="Flag").click()
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Enter")
    await moved_on(page, made[2])
    await page.keyboard.press("r")
    await moved_on(page, made[3])
    await sent(page)
    async with queue_of(desk_settings) as queue:
        flags = {one.task.tweet.id: one.flag.note for one in await queue.flags.list() if one.flag}
    assert flags == {"01": "are a person and a town meant?", "02": ""}
    assert texts(decisions(desk_settings)) == [made[0], made[3]]
    await page.reload()
    await page.locator("#review[data-state=task]").wait_for()
    await expect(page.get_by_role("link", name="Disputed 2")).to_be_visible()

    await page.route("**/flag", lambda route: route.fulfill(status=409, json={"error": "the post changed"}))
    await page.keyboard.press("f")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("A flag did not count: the post changed")).to_be_visible()
    await shows(page, made[5])
    await page.unroute("**/flag")
    await page.keyboard.press("a")
    await expect(page.get_by_text("Your flag did not count: the post changed")).to_be_visible()
    await shows(page, made[4])


async def test_an_address_opens_one_post_before_the_others(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 6)
    await page.goto(f"{desk}/review?post=05")
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, made[5])
    await page.wait_for_function(HELD, arg=2)  # leases whose answer is lost by the reload would end only later
    await page.reload()
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, made[5])
    await page.keyboard.press("a")
    await moved_on(page, made[5])
    await shows(page, made[0])
    await sent(page)
    await page.goto(f"{desk}/review?post=05")
    await expect(page.get_by_text("The post was not opened: post 05 is not free")).to_be_visible()
    await page.locator("#review[data-state=task]").wait_for()
    await shows(page, made[0])


async def test_a_decision_on_a_post_that_another_has_is_told_and_listed(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 3)
    await opened(page, desk)
    await take_away(desk_settings, "00")
    await page.keyboard.press("a")
    await expect(page.locator(".toast.bad")).to_contain_text("no longer yours")
    await expect(page.locator(".past .refused")).to_contain_text("no longer yours")
    await shows(page, made[1])
    assert decisions(desk_settings) == []


async def test_undo_goes_back_through_answers_and_decisions(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 3, questions=2)
    await opened(page, desk)
    await page.keyboard.press("a")
    await expect(page.get_by_text("Question 2 of 2")).to_be_visible()
    await page.keyboard.press("u")
    await expect(page.get_by_text("Question 1 of 2")).to_be_visible()
    await page.keyboard.press("a")
    await page.keyboard.press("r")
    await expect(page.locator("#post-text")).to_contain_text("Person01")
    await sent(page)
    await page.keyboard.press("u")  # the decision is stored, so it is taken back
    await expect(page.locator("#post-text")).to_contain_text("Person00")
    await expect(page.get_by_text("Question 2 of 2")).to_be_visible()
    await page.keyboard.press("3")
    await sent(page)
    first, retraction, last = decisions(desk_settings)
    assert [first.kind, retraction.kind, last.kind] == ["settle", "retract", "settle"]
    assert outcome(first) == [("Person00", "PER")]
    assert outcome(last) == [("Person00", "PER"), ("Town00", "ORG")]
    await shows(page, made[1])


async def test_a_decision_of_the_list_opens_again(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 5)
    await opened(page, desk)
    for text in made[:3]:
        await page.keyboard.press("a")
        await moved_on(page, text)
    await sent(page)
    await page.get_by_role("button", name="Open again: Person01").click()
    await shows(page, made[1])
    await page.keyboard.press("r")
    await moved_on(page, made[1])
    await sent(page)
    await shows(page, made[3])
    found = [
        (decision.kind, outcome(decision)) for decision in decisions(desk_settings) if decision.task.tweet.id == "01"
    ]
    assert found == [("settle", [("Person01", "PER")]), ("retract", []), ("settle", [])]


async def test_a_decision_from_before_a_reload_opens_again(desk: str, desk_settings: Settings, page: Page) -> None:
    made = await fill(desk_settings, 3)
    await opened(page, desk)
    await page.keyboard.press("3")
    await moved_on(page, made[0])
    await sent(page)
    await page.reload()
    await page.get_by_role("button", name="Open again: Person00").click()
    await expect(page.locator("#post-text")).to_contain_text("Person00")
    await expect(page.locator("#post-text .current")).to_contain_text("ORG✓")
    await page.keyboard.press("r")
    await moved_on(page, made[0])
    await sent(page)
    found = [(decision.kind, outcome(decision)) for decision in decisions(desk_settings)]
    assert found == [("settle", [("Person00", "ORG")]), ("retract", []), ("settle", [])]


SPANS: list[tuple[str, str, str, str]] = [
    # text, the mention, the keys, what it becomes
    ("go 👩‍👩‍👧 NASA🚀 go", "NASA", "e Shift+ArrowRight Enter", "NASA🚀"),
    ("in 🇫🇷🇩🇪 Paris", "Paris", "e Tab ArrowLeft Enter", "🇫🇷🇩🇪 Paris"),
    ("to 🇫🇷🇩🇪 Paris", "🇫🇷🇩🇪", "e Shift+ArrowLeft Enter", "🇫🇷"),
    ("Zoe\u0301 Ba\u0308r runs", "Zoe\u0301", "e ArrowRight Enter", "Zoe\u0301 Ba\u0308r"),
    ("Zoe\u0301 runs", "Zoe\u0301", "e Shift+ArrowLeft Enter", "Zo"),
    ("زار محمد صلاح القاهرة", "محمد", "e ArrowRight Enter", "محمد صلاح"),
    ("東京都に住む", "東", "e Shift+ArrowRight Enter", "東京"),
    ("नई दिल्ली में", "नई", "e ArrowRight Enter", "नई दिल्ली"),
    ("with Jo Ann", "Jo", "e ArrowRight 2", "Jo Ann"),
    ("with Jo Bell", "Jo", "e ArrowRight Escape a", "Jo"),
]


async def test_spans_are_edited_in_every_script(desk: str, desk_settings: Settings, page: Page) -> None:
    tasks = [
        task_of(f"{place:02}", text, named(text, words), uncertainty=0.9 - place / 100)
        for place, (text, words, _, _) in enumerate(SPANS)
    ]
    await put(desk_settings, tasks)
    await opened(page, desk)
    keys_of = {text: keys.split() for text, _, keys, _ in SPANS}
    for _ in SPANS:
        text = await shown(page)
        await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        for key in keys_of[text]:  # the post is painted, as for a person
            await page.keyboard.press(key)
        await moved_on(page, text)
    await sent(page)
    found = {decision.task.tweet.text: outcome(decision) for decision in decisions(desk_settings)}
    assert found == {text: [(wanted, "LOC" if "2" in keys else "PER")] for text, _, keys, wanted in SPANS}


async def test_a_mention_with_the_focus_is_a_button(desk: str, desk_settings: Settings, page: Page) -> None:
    await fill(desk_settings, 1, questions=2)
    await opened(page, desk)
    for key, place in (("Enter", 2), (" ", 1)):
        await page.locator("#post-text [role=button]").nth(place - 1).focus()
        await page.keyboard.press(key)
        await expect(page.get_by_text(f"Question {place} of 2")).to_be_visible()
        await expect(page.locator("#post-text .current")).to_be_focused()
    assert decisions(desk_settings) == []


async def test_every_state_without_a_task_says_what_to_do(desk: str, desk_settings: Settings, page: Page) -> None:
    await page.goto(f"{desk}/review")
    await expect(page.get_by_role("heading", name="All done")).to_be_visible()
    for status, title in ((401, "You are signed out"), (403, "Not for your role"), (503, "The queue does not answer")):
        await page.route(REVIEW, answering(status))
        await page.reload()
        await expect(page.get_by_role("heading", name=title)).to_be_visible()
        await page.unroute(REVIEW)
    made = await fill(desk_settings, 1)
    queue = ReviewQueue(str(desk_settings.redis), desk_settings.name("review:"))
    claim = await queue.claim("bo", 600)
    assert claim is not None
    await page.reload()
    await expect(page.get_by_role("heading", name="Others have the rest")).to_be_visible()
    await queue.release(claim)
    await expect(page.locator("#post-text")).to_contain_text(made[0][:10], timeout=15_000)
    await queue.close()


ATTACK = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e\x1b[31m"


async def test_hostile_text_shows_as_text(desk: str, desk_settings: Settings, page: Page) -> None:
    text = f"{ATTACK} Paris"
    hostile: dict[str, Any] = {
        "author": {"name": ATTACK},
        "source": ATTACK,
        "lang": "<b>",
        "media": [{"url": "http://127.0.0.1:9/x.jpg", "alt": ATTACK}],
        "created_at": datetime(2026, 11, 30, tzinfo=UTC),
    }
    made = task_of("1", text, named(text, "Paris", "LOC"), **hostile)
    image = made.image.model_copy(update={"status": "failed", "reason": ATTACK})
    await put(desk_settings, [made.model_copy(update={"context": ATTACK, "image": image})])
    attacks: list[str] = []
    page.on("dialog", lambda dialog: attacks.append(dialog.message))
    await opened(page, desk)
    await expect(page.locator("#post-text")).to_contain_text("<script>alert(2)</script>\ufffd␛[31m")
    await expect(page.get_by_text("No photo")).to_be_visible()
    assert await page.locator("main script, main img[src=x]").count() == 0
    await page.keyboard.press("a")
    await expect(page.get_by_role("heading", name="All done")).to_be_visible()
    assert attacks == []
