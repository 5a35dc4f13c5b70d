"""Words that are selected on the review page become a span."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from streams.settings import Settings
from tests.desk.review.made import decisions, moved_on, named, opened, outcome, put, sent, task_of

TEXT = "When 🗽 Grace Hopper met the Navy"

POINTS = """([from, to]) => {
  const node = document.getElementById("post-text").firstChild;
  const at = (words, side) => {
    const range = document.createRange();
    const start = node.data.indexOf(words);
    range.setStart(node, start);
    range.setEnd(node, start + words.length);
    const box = range.getBoundingClientRect();
    return [box[side], box.top + box.height / 2];
  };
  return [at(from, "left"), at(to, "right")];
}"""
"""Returns where on the screen some words begin, and where others end."""


async def drag(page: Page, start: str, end: str) -> None:
    """Drags with the mouse from the beginning of some words to the end of others."""
    (left, above), (right, below) = await page.evaluate(POINTS, [start, end])
    await page.mouse.move(left, above)
    await page.mouse.down()
    await page.mouse.move(right, below, steps=8)
    await expect(page.locator("#preview")).to_have_count(0)  # nothing moves under the mouse
    await page.mouse.up()


async def drag_handles(page: Page, start: str, end: str) -> None:
    """Selects as the handles of a touch screen do: no pointer is down when the selection changes."""
    await page.evaluate(
        """([start, end]) => {
             const node = document.getElementById("post-text").firstChild;
             getSelection().setBaseAndExtent(node, node.data.indexOf(start), node, node.data.indexOf(end) + end.length);
           }""",
        [start, end],
    )


@pytest.mark.parametrize("select", [drag, drag_handles])
async def test_a_selection_takes_whole_words_and_n_adds_a_mention(
    desk: str, desk_settings: Settings, page: Page, select: Callable[[Page, str, str], Awaitable[None]]
) -> None:
    other = f"{TEXT} again"
    await put(
        desk_settings, [task_of("1", TEXT, named(TEXT, "Navy", "ORG")), task_of("2", other, named(other, "Navy"))]
    )
    await opened(page, desk)
    await select(page, "ace", "Hop")
    await expect(page.locator("#preview")).to_have_text("Grace Hopper")
    await page.keyboard.press("1")
    await page.keyboard.press("n")
    for _ in range(2):
        await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Escape")
    await page.keyboard.press("a")
    await moved_on(page, TEXT)
    await sent(page)
    (decision,) = decisions(desk_settings)
    assert outcome(decision) == [("Grace Hopper", "PER"), ("Navy", "ORG")]
