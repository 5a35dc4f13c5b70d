"""`python -m benchmarks.press_to_paint`: how long a reviewer waits for the next task after the press that decides one.

Starts servers and a desk of its own, fills the queue, and presses keys in Chromium as fast as a practised person: after
a task is on the screen, 150 to 450 ms pass. The browser measures. A time begins when Chromium creates the key event
(`timeStamp`). It ends after the frame that shows another post: a `MutationObserver` sees the new text, and a message
that is sent in the animation frame arrives once the frame is drawn. Each press must bring another post.

Beside it stands Chromium's own measurement of the same key events (Event Timing), to the moment at which the frame is
on the screen. It is rounded to 8 ms, and begins at 16 ms.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from datetime import UTC, datetime
from typing import Annotated

import typer
from playwright.async_api import Page, async_playwright

from benchmarks.command import main
from benchmarks.report import machine, percentile
from benchmarks.run import Wrong
from benchmarks.served import desk, servers
from benchmarks.synthetic import tasks
from core.errors import UserError
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings

KEYS, WEIGHTS = "ar1234", (10, 4, 1, 1, 1, 1)
PAUSES_S = (0.15, 0.45)
WARM = 10
"""Presses that are not measured, while the browser compiles the scripts of the page."""

SPARE = 30
"""Tasks beyond those that are decided, so that there is always a next one."""

WATCH = """
(() => {
  const channel = new MessageChannel();
  let pressed = 0, before = "", awaited = false;
  const shown = () => document.getElementById("post-text")?.closest("[data-part]").textContent ?? "";
  channel.port1.onmessage = () => {
    awaited = false;
    if (pressed && before) performance.measure("decided to painted", { start: pressed, end: performance.now() });
    pressed = 0;
    before = shown();
  };
  addEventListener("keydown", (event) => (pressed = event.timeStamp), { capture: true });
  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(() => {
      if (awaited || !shown() || shown() === before) return;
      awaited = true;
      requestAnimationFrame(() => channel.port2.postMessage(null));
    }).observe(document.getElementById("review"), { subtree: true, childList: true, characterData: true });
  });
  window.eventTimes = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === "keydown") window.eventTimes.push(entry.duration);
  }).observe({ type: "event", durationThreshold: 16 });
})();
"""
TIMES = "performance.getEntriesByName('decided to painted').map(entry => entry.duration)"


async def press(page: Page, count: int, seed: int = 0) -> tuple[list[float], list[float]]:
    """Decides `WARM` and then `count` tasks. Returns the times of the last `count`, and Chromium's own."""
    dice = random.Random(seed)
    for number in range(WARM + count):
        await asyncio.sleep(dice.uniform(*PAUSES_S))  # a person looks at the post
        await page.keyboard.press(dice.choices(KEYS, WEIGHTS)[0])
        await page.wait_for_function(f"before => {TIMES}.length > before", arg=number, timeout=30_000)
        if number == WARM - 1:
            await page.evaluate("window.eventTimes.length = 0")
    await page.wait_for_function("() => !Object.keys(localStorage).some(key => key.startsWith('mner.review.outbox'))")
    times: list[float] = await page.evaluate(TIMES)
    own: list[float] = await page.evaluate("window.eventTimes")
    return times[WARM:], own[-count:]


async def measure(settings: Settings, address: str, count: int, chromium: str) -> None:
    """Fills the queue, decides `count` tasks in Chromium, and prints the times."""
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    try:
        total = WARM + count + SPARE
        await queue.add(tasks(total))
        this = machine()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": 1440, "height": 900})
            await page.add_init_script(WATCH)
            await page.goto(f"{address}/review")
            await page.locator("#review[data-state=task]").wait_for()
            times, own = await press(page, count)
            version = browser.version
            await browser.close()
        counts = await queue.counts()
    finally:
        await queue.close()
    if counts.decided != WARM + count:
        raise Wrong(f"{WARM + count} presses decided {counts.decided} tasks")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}: {this.cores} cores of {this.cpu}, {this.memory_gib:.0f} GiB, "
        f"load before {this.load_before:.1f}; Chromium {version}"
    )
    print(f"{len(times)} decisions; from the press to the next task painted: {_figures(times)}")
    print(f"{len(own)} of these took Chromium 16 ms or more, to the screen: {_figures(own) if own else ''}")


def _figures(times: list[float]) -> str:
    return f"p50 {percentile(times, 0.5):.0f} ms, p95 {percentile(times, 0.95):.0f} ms, longest {max(times):.0f} ms"


def command(
    count: Annotated[int, typer.Option("--decisions", min=1, max=2_000, help="Decisions to measure.")] = 100,
) -> None:
    """Measure the time from a press to the next task."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise UserError("no Chromium on the PATH: apt-get install chromium")
    with servers() as settings, desk(settings) as address:
        asyncio.run(measure(settings, address, count, chromium))


if __name__ == "__main__":
    main(command)
