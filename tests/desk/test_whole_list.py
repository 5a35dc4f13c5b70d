"""All that reviewers and analysts do, on a whole stack: each decision goes through Kafka and the worker to the index.

The tests of one thing, such as `tests/desk/review/test_page.py`, have a desk without a worker. Here a worker with a
stub model makes the tasks, and its agents apply the decisions. People sign in, and work by keyboard alone.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from playwright.async_api import Browser, Page, expect

from desk.access.access import users_of
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Counts
from streams import topics
from streams.settings import Settings
from tests.conftest import Given, settings_for
from tests.desk.access.conftest import PASSWORD
from tests.desk.conftest import served
from tests.desk.review.made import moved_on, sent, shown
from tests.streams.account import books, fed, until_caught_up
from tests.streams.conftest import started

PEOPLE = {"rita": "reviewer", "rob": "reviewer", "ana": "analyst", "ada": "admin"}


@dataclass(frozen=True)
class Stack:
    """A desk with users beside a worker."""

    desk: str
    settings: Settings

    async def feed(self, *posts: tuple[str, str]) -> None:
        """Feeds posts as (id, text), and waits until they are in the index and in the queue."""
        events = [json.dumps({"id": post, "text": text, "lang": "en"}).encode() for post, text in posts]
        await asyncio.to_thread(fed, self.settings, events)
        await until_caught_up(self.settings)

    async def found(self, posts: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Waits until the worker has applied all decisions. Returns what the index holds of the posts."""
        await until_caught_up(self.settings, "decide")
        documents = (await books(self.settings)).documents
        return {post: documents[post]["_source"] for post in posts}

    async def counts(self) -> Counts:
        queue = ReviewQueue(str(self.settings.redis), self.settings.name("review:"))
        try:
            return await queue.counts()
        finally:
            await queue.close()


@pytest.fixture(scope="module")
def stack(servers: Given, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("whole")
    settings = settings_for(servers.addresses, home).changed(
        model_factory="tests.desk.unsure_model:load", partitions=1, threshold=0.5, copies={"window_s": 0}
    )
    assert settings.kafka is not None
    planned = topics.plan(settings)
    topics.create(settings.kafka, planned)
    for name, role in PEOPLE.items():
        users_of(settings).add(name, PASSWORD, (role,))  # type: ignore[arg-type]
    with started(home) as start, served(settings) as desk:
        start(settings)
        yield Stack(desk, settings)
    with topics.administered(settings.kafka) as client:
        client.delete_topics([topic.name for topic in planned])
    with Elasticsearch(settings.elasticsearch) as client:
        client.indices.delete(index=list(client.indices.get_alias(index=f"{settings.prefix}*")))


async def signed_in(browser: Browser, stack: Stack, name: str, path: str) -> Page:
    """Signs somebody in by keyboard, in a browser of their own."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    await page.goto(stack.desk + path)
    await expect(page).to_have_title("Sign in · mner desk")
    await page.keyboard.type(name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label(f"Signed in as {name}")).to_be_visible()
    return page


def mentions(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(mention["text"], mention["type"]) for mention in document["mentions"]]


async def test_login_and_roles(stack: Stack, browser: Browser) -> None:
    pages = {
        "rita": ({"/review": "Review", "/review/words": "Review"}, ("/search", "/entities", "/audit")),
        "ana": ({"/search": "Search", "/entities": "Entities"}, ("/review", "/review/words", "/audit")),
    }
    for name, (allowed, refused) in pages.items():
        page = await signed_in(browser, stack, name, "/")
        for path, heading in allowed.items():
            await page.goto(stack.desk + path)
            await expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        for path in refused:
            await page.goto(stack.desk + path)
            await expect(page.get_by_role("heading", name="You may not do this")).to_be_visible()
        await page.context.close()
    page = await signed_in(browser, stack, "ada", "/audit?person=ana")
    await expect(page.get_by_role("row").filter(has_text="/review/words")).not_to_have_count(0)
    await page.context.close()


async def test_forty_tasks_by_keyboard_alone_in_two_browsers_at_once(stack: Stack, browser: Browser) -> None:
    texts = {f"p{number:02}": f"Person{number:02} came to town today" for number in range(40)}
    await stack.feed(*texts.items())
    keys = {"a": "PER", "r": None, "2": "LOC", "3": "ORG", "4": "MISC"}

    def key(text: str) -> str:
        return list(keys)[int(re.findall(r"\d+", text)[0]) % 5]

    async def review(name: str) -> int:
        page, decided = await signed_in(browser, stack, name, "/review"), 0
        await page.locator("#review[data-state=task]").wait_for()
        while await page.locator("#review").get_attribute("data-state") == "task":
            if text := await shown(page):
                await page.keyboard.press(key(text))
                await moved_on(page, text)
                decided += 1
        await sent(page)
        await page.context.close()
        return decided

    shares = await asyncio.gather(review("rita"), review("rob"))
    assert sum(shares) == 40
    assert min(shares) > 0
    for post, document in (await stack.found(texts)).items():
        kept = keys[key(texts[post])]
        assert mentions(document) == ([(texts[post].split()[0], kept)] if kept else []), post
        assert document["source"] == "human"
        assert document["reviewer"] in {"rita", "rob"}
    assert (await stack.counts()).open == 0


async def test_a_group_of_37_is_settled_and_undone(stack: Stack, browser: Browser) -> None:
    texts = {f"g{number:02}": f"NASA sent picture {number} home" for number in range(37)}
    await stack.feed(*texts.items())
    page = await signed_in(browser, stack, "rita", "/review/words")
    preview, told = page.locator(".words-preview"), page.locator(".words-told")
    await expect(page.locator("#group-title")).to_have_text("nasaPER")
    await expect(page.locator(".words-line")).to_have_count(37)
    for _ in range(36):
        await page.keyboard.press("j")
    await expect(preview).to_have_text("One key decides 37 posts.")
    await page.keyboard.press("3")
    await expect(told).to_contain_text("37 changed from PER to ORG")
    for document in (await stack.found(texts)).values():
        assert mentions(document) == [("NASA", "ORG")]
        assert document["reviewer"] == "rita"
    assert (await stack.counts()).open == 0

    await page.keyboard.press("u")
    await expect(told).to_contain_text("Undone: 37 posts are open again.")
    for document in (await stack.found(texts)).values():
        assert mentions(document) == [], "the model alone was not sure"
    assert (await stack.counts()).open == 37
    await expect(page.locator(".words-line")).to_have_count(37)
    for _ in range(36):
        await page.keyboard.press("j")
    await expect(preview).to_have_text("One key decides 37 posts.")
    await page.keyboard.press("r")
    await expect(told).to_contain_text("37 rejected as PER")
    await stack.found(texts)
    assert (await stack.counts()).open == 0
    await page.context.close()


SPANS = {
    # text: the keys, and the mention that they make of the first word
    "NASA🚀 flies on Monday": ("e Shift+ArrowRight Enter", "NASA🚀"),
    "🇫🇷🇩🇪 Paris and Berlin": ("e ArrowRight ArrowRight Enter", "🇫🇷🇩🇪 Paris"),
    "Zoe\u0301 Ba\u0308r runs again": ("e ArrowRight Enter", "Zoe\u0301 Ba\u0308r"),
    "محمد صلاح زار القاهرة": ("e ArrowRight Enter", "محمد صلاح"),
    "東京都に住む": ("e" + 4 * " Shift+ArrowLeft" + " Enter", "東京"),
}


async def test_span_edits_in_every_script_reach_the_index(stack: Stack, browser: Browser) -> None:
    posts = {f"s{place}": text for place, text in enumerate(SPANS)}
    await stack.feed(*posts.items())
    page = await signed_in(browser, stack, "rob", "/review")
    await page.locator("#review[data-state=task]").wait_for()
    for _ in SPANS:
        text = await shown(page)
        await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        keys, words = SPANS[text]
        for key in keys.split()[:-1]:  # the post is painted, as for a person
            await page.keyboard.press(key)
        await expect(page.locator("#preview bdi")).to_have_text(words)
        await page.keyboard.press("Enter")
        await moved_on(page, text)
    await sent(page)
    for post, document in (await stack.found(posts)).items():
        (mention,) = document["mentions"]
        text = posts[post]
        assert text[mention["start"] : mention["end"]] == mention["text"] == SPANS[text][1], "offsets count code points"
    await page.context.close()


async def test_search_facets_permalink_back_button_live_tail_and_export(
    stack: Stack, browser: Browser, tmp_path: Path
) -> None:
    reviewer = await signed_in(browser, stack, "rita", "/review")
    page = await signed_in(browser, stack, "ana", "/search")
    live = await page.context.new_page()
    await live.goto(f"{stack.desk}/live?q=kenya")
    await expect(live.locator("#live-says")).to_have_text("Live")
    texts = {f"k{number}": f"Nairobi{number} is in Kenya now" for number in range(3)}
    await stack.feed(*texts.items())
    await expect(live.locator("#live-hits > li")).to_have_count(3)

    await reviewer.locator("#review[data-state=task]").wait_for()
    for _ in texts:
        text = await shown(reviewer)
        await reviewer.keyboard.press("2" if "Nairobi0" in text else "r")
        await moved_on(reviewer, text)
    await sent(reviewer)
    await stack.found(texts)
    await expect(live.locator("#live-hits > li .mention")).to_have_text("Nairobi0 (LOC)")
    await expect(live.locator("#live-hits > li .decided", has_text="rita")).to_have_count(3)

    await page.keyboard.press("/")
    await page.keyboard.type("kenya")
    await page.keyboard.press("Enter")
    total = page.locator(".total")
    await expect(total).to_contain_text("3 posts for kenya")
    await page.get_by_role("navigation", name="Filters").get_by_role("link", name="nairobi0 1").press("Enter")
    await expect(total).to_contain_text("1 post")
    permalink, hits = page.url, await page.locator(".hit").all_inner_texts()
    again = await page.context.new_page()
    await again.goto(permalink)
    assert await again.locator(".hit").all_inner_texts() == hits
    await page.go_back()
    await expect(total).to_contain_text("3 posts for kenya")
    await page.locator("#export > summary").press("Enter")
    async with page.expect_download() as saving:
        await page.get_by_role("link", name="JSONL, for programs").press("Enter")
    saved = tmp_path / "export.jsonl"
    await (await saving.value).save_as(saved)
    rows = {row["id"]: row for row in map(json.loads, saved.read_text().splitlines())}
    assert rows.keys() == texts.keys()
    assert mentions(rows["k0"]) == [("Nairobi0", "LOC")]
    assert {row["reviewer"] for row in rows.values()} == {"rita"}
    for each in (reviewer, page):
        await each.context.close()
