"""Prints what Chromium shows and what the worker reads, in one table.

`python -m tests.families.images.table` prints it as Markdown.
"""

from __future__ import annotations

import asyncio

from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.families.images.answers import ANSWERS, answer
from tests.families.images.make_files import CORPUS
from tests.families.images.test_as_chromium import CHROMIUM, Shown, in_chromium, load
from tests.streams.images.hostile import hostile_server


def in_words(shown: Shown | str | None, other: Shown | None) -> str:
    """Returns the cell of a row. `other` is what Chromium shows."""
    if shown is None:
        return "nothing"
    if isinstance(shown, str):
        return f"refused: {shown.partition(':')[0]}"
    if shown.is_empty and max(shown.width, shown.height) > 1:
        return "an empty place"
    size = f"{shown.width} × {shown.height}"
    return size if other is None or shown.is_like(other) else f"{size}, other pixels"


async def rows() -> list[tuple[str, str, str]]:
    """Returns name, Chromium's outcome and the worker's outcome of each case."""
    cases = {name: (answer((CORPUS / name).read_bytes()), found) for name, found in CHROMIUM["files"].items()}
    cases |= {name: (ANSWERS[name], found) for name, found in CHROMIUM["answers"].items()}
    made = []
    async with hostile_server() as server:
        limits = ImageLimits(allow=(server.address,), decoders=1)
        async with ImageLoader(limits, failures=FailurePolicy(tries=1, break_after=1_000_000)) as loader:
            for name, (response, found) in cases.items():
                server.answers["/a"] = response
                theirs = in_chromium(found)
                ours = await load(loader, f"{server.url}/a")
                made.append((name, in_words(theirs, theirs), in_words(ours, theirs)))
    return made


if __name__ == "__main__":
    print("| case | Chromium | worker |\n|---|---|---|")
    for row in asyncio.run(rows()):
        print("|", " | ".join(row), "|")
