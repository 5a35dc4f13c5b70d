"""Draws docs/review.svg: `mner review` on the example posts, after three of them were reviewed.

Runs the demo on real servers, claims tasks from its queue, decides some, and records the screen of the next one:

    python -m examples.review_screenshot
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console, Group
from rich.terminal_theme import TerminalTheme

from demo import kept
from demo.run import demo
from local import stack
from review.decision_topic import DecisionTopic
from review.drawing import draw
from review.session import Session
from review.view import View
from review.work import Work
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.servers import addresses
from streams.settings import Settings

TARGET = Path(__file__).resolve().parent.parent / "docs" / "review.svg"
WIDTH, HEIGHT = 92, 22
REVIEWED = 3
"""How many posts are reviewed before the screenshot."""

BACKGROUND, FOREGROUND = (22, 27, 34), (230, 237, 243)
COLOURS = [
    (72, 79, 88),
    (255, 123, 114),
    (63, 185, 80),
    (210, 153, 34),
    (88, 166, 255),
    (188, 140, 255),
    (57, 197, 207),
    (177, 186, 196),
]
"""The eight colours of the terminal: black, red, green, yellow, blue, magenta, cyan, white."""

SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>mner review</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: 600; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""Rich's own template without its web font, which would be loaded from another host."""


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        try:
            await demo(settings, Console(file=sys.stderr), keep=True)
            await screenshot(settings)
        finally:
            for name in kept.NAMES:
                kept.stop(settings.home, name)
            stack.down(settings.home)


async def screenshot(settings: Settings) -> None:
    """Reviews some tasks and writes the screen of the next one."""
    servers = addresses(settings)
    queue = ReviewQueue(servers.redis, settings.name("review:"))
    decisions = DecisionTopic(servers.kafka, settings.name(topics.DECISIONS))
    session = Session(queue, decisions, "ada")
    try:
        message = ""
        while (work := await session.next()) is not None and session.settled < REVIEWED:
            while not work.done:
                work = work.accept()
            named = ", ".join(f"{mention.text} {mention.type}" for mention in (await session.settle(work)).mentions)
            message = f"settled: {named} (u takes it back)"
        while work is not None and not worth_showing(work):
            await session.skip()
            work = await session.next()
        view = View("ada", "task", work, counts=await session.counts(), message=message, tone="good")
        console = Console(record=True, width=WIDTH, height=HEIGHT, force_terminal=True, color_system="truecolor")
        console.print(Group(*draw(view, WIDTH, HEIGHT)))
        theme = TerminalTheme(BACKGROUND, FOREGROUND, COLOURS)
        TARGET.write_text(console.export_svg(title="mner review", theme=theme, code_format=SVG, unique_id="review"))
    finally:
        await session.release()
        await decisions.close()
        await queue.close()


def worth_showing(work: Work) -> bool:
    """Returns whether the post has an image that was read, and several mentions."""
    return work.task.context is not None and len(work.items) > 1


if __name__ == "__main__":
    asyncio.run(main())
