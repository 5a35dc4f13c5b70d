"""The page says why the model is unsure: in numbers and bars, view by view, and what else the words may be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest
from playwright.async_api import Page, Request, expect

from core.events import Opinion, Question, ReviewTask
from desk.review import ranks
from desk.review.ranks import Ranks, Scale, Variances
from streams.settings import Settings
from tests.desk.review.made import moved_on, named, opened, put, shows, task_of

TEXT = "Ada Lovelace wrote it"
PROBABILITY, NOISE, LACK = "Probability", "Noise in the wording", "Lack of knowledge"
OPINIONS = {
    "text": Opinion(probability=0.9, aleatoric=0.1, epistemic=0.3, share=0.7),
    "text+image": Opinion(probability=0.2, aleatoric=0.6, epistemic=0.2, share=0.3),
}
SCALE: Scale = {
    "aleatoric": Variances([(0.2, 80.0), (0.5, 20.0)]),
    "epistemic": Variances([(0.05, 10.0), (0.15, 90.0)]),
}
"""Less noise than 0.3: 80 of 100 mentions. Less lack than 0.12: 10 of 100."""

BARS = """root => [...root.querySelectorAll(".meter")].map((meter) => {
  const [track, fill] = [".bar-track", ".bar-fill"].map((part) => meter.querySelector(part).getBoundingClientRect());
  const seen = track.width > 20 && track.height > 2 && getComputedStyle(meter.querySelector(".bar-fill")).fill;
  return [seen && seen !== "none" ? fill.width / track.width : null, Boolean(meter.querySelector(".meter-mark"))];
})"""
"""Returns of each bar how full it is, as it is painted, and whether it has a mark."""


def asked(post: str, text: str = TEXT, uncertainty: float = 0.5) -> ReviewTask:
    """Returns a task on "Ada Lovelace", with two views and another reading."""
    task = task_of(
        post, text, named(text, "Ada Lovelace").model_copy(update={"views": OPINIONS}), uncertainty=uncertainty
    )
    other = Question(mention=named(text, "Lovelace", "LOC", 0.31), reasons=task.questions[0].reasons, is_candidate=True)
    return task.model_copy(update={"questions": (*task.questions, other)})


Scaled = Callable[[Scale | None], threading.Event]
Bar = tuple[float | None, bool]


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> Scaled:
    """Sets what variances are compared with, and returns an event: until it is set, the reading lasts."""
    is_read = threading.Event()

    def scaled(scale: Scale | None) -> threading.Event:
        async def read(self: Ranks, version: int) -> Scale | None:
            while not is_read.is_set():
                await asyncio.sleep(0.01)
            return scale

        monkeypatch.setattr(Ranks, "_scale", read)
        return is_read

    return scaled


async def bars(page: Page, part: str) -> list[Bar]:
    found: list[Bar] = await page.locator(f".review-why {part}").evaluate(BARS)
    return [(None if share is None else round(share, 2), has_mark) for share, has_mark in found]


async def figures(page: Page) -> dict[str, tuple[str, str]]:
    """Returns of each figure its value and what is said about it."""
    rows = await page.locator(".review-why .figures > div").all()
    told = [await row.locator("dt, dd:not(.chart-cell)").all_inner_texts() for row in rows]
    return {name: (value, meaning) for name, value, meaning in told}


class Shown(NamedTuple):
    """What the page shows with a scale, or without one: bars with their marks, and the words beside them."""

    scale: Scale | None
    figures: list[Bar]
    noise: str
    lack: str
    views: list[Bar]


RANKS = Shown(
    SCALE,
    figures=[(0.5, True), (0.8, True), (0.1, True)],
    noise="aleatoric: high, above 8 of 10 mentions",
    lack="epistemic: low, below 9 of 10 mentions",
    views=[(0.9, False), (0.0, True), (1.0, True), (0.7, False), (0.2, False), (1.0, True), (1.0, True), (0.3, False)],
)
PARTS = Shown(
    None,
    figures=[(0.5, True), (0.71, False), (0.29, False)],
    noise="aleatoric: 71% of its uncertainty",
    lack="epistemic: 29% of its uncertainty",
    views=[*zip((0.9, 0.25, 0.75, 0.7, 0.2, 0.75, 0.25, 0.3), [False] * 8, strict=True)],
)


@pytest.mark.parametrize("wanted", [RANKS, PARTS])
async def test_the_page_says_why_the_model_is_unsure(
    desk: str, desk_settings: Settings, page: Page, scaled: Scaled, wanted: Shown
) -> None:
    scaled(wanted.scale).set()
    await put(desk_settings, [asked("1")])
    await opened(page, desk)
    assert await bars(page, ".figures") == wanted.figures
    assert await figures(page) == {
        PROBABILITY: ("50%", "at 80% or more, only spot checks ask"),
        NOISE: ("0.30", wanted.noise),
        LACK: ("0.12", wanted.lack),
    }
    rows: list[list[str]] = await page.locator(".views tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.innerText.trim()))"
    )
    assert rows == [
        ["view", "sure", "noise", "lack", "share"],
        ["text", "90%", "0.10", "0.30", "70%"],
        ["text+image", "20%", "0.60", "0.20", "30%"],
    ]
    assert await bars(page, ".views") == wanted.views

    others = page.locator(".review-why").get_by_role("listitem").filter(has=page.get_by_role("button"))
    await expect(others).to_have_text(["LovelaceLOC31%"])
    await others.get_by_role("button").click()
    await expect(page.locator(".why-head h2")).to_have_text("Lovelace LOC?")
    await expect(others).to_have_text(["Ada LovelacePER50%"])


async def test_ranks_that_come_late_reach_the_next_task(
    desk: str, desk_settings: Settings, page: Page, scaled: Scaled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "FIRST_S", 0.05)
    is_read = scaled(SCALE)
    texts = [f"{TEXT}, {place}" for place in range(3)]
    await put(desk_settings, [asked(f"{place}", text, 0.9 - place / 10) for place, text in enumerate(texts)])
    requests: list[str] = []

    def count(request: Request) -> None:
        if request.url.endswith("/hand"):
            requests.append(request.url)

    page.on("request", count)
    await opened(page, desk)
    assert "of its uncertainty" in (await figures(page))[NOISE][1]
    await page.wait_for_load_state("networkidle")
    before = len(requests)
    assert before <= 2, "what is late is not asked for again at once"
    is_read.set()
    await page.keyboard.press("a")
    await moved_on(page, texts[0])
    await expect(page.get_by_text("aleatoric: high, above 8 of 10 mentions")).to_be_visible()
    assert len(requests) == before + 1, "the ranks come with the next tasks"
    await page.keyboard.press("a")
    await shows(page, texts[2])
    assert await bars(page, ".figures") == RANKS.figures
