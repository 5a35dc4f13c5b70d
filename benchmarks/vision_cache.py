"""What does the cache of contexts cost, full? Each look-up by itself, as pictures come.

    taskset -c 0 python -m benchmarks.vision_cache [ENTRIES]

Random hashes, three tags and eight lines a context, 1.2 kB of JSON.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from model.vision.cache import SCHEMA, SCHEMA_VERSION, ContextCache
from model.vision.values import Tag, TextLine, VisualContext
from streams.images.database import Database

ENTRIES, LOOKS = 100_000, 1000
CHANCE = random.Random(20261121)

LINE = TextLine(text="a line of text as posts have", score=0.9876, box=((0.1234, 0.1234),) * 4)
CONTEXT = VisualContext(tags=(Tag(label="golden retriever", score=0.5432),) * 3, lines=(LINE,) * 8)


async def measure(folder: Path, entries: int) -> None:
    path = folder / "vision.sqlite3"
    database = Database(path, SCHEMA, SCHEMA_VERSION)
    hashes = [CHANCE.randbytes(32).hex() for _ in range(entries)]
    cache = ContextCache(database, "reader", entries)
    before = memory_mb()
    kept = await each(entries, lambda number: cache.put(f"{number:064x}", hashes[number], bytes(48), CONTEXT))
    print(f"{entries} contexts: {path.stat().st_size / 1e6:.0f} MB on disk, {memory_mb() - before:.0f} MB of memory")
    cache = ContextCache(database, "reader", entries)
    first = await each(1, lambda number: cache.near(hashes[0], 16))
    got = await each(LOOKS, lambda number: cache.get(f"{CHANCE.randrange(entries):064x}"))
    near = await each(LOOKS, lambda number: cache.near(CHANCE.choice(hashes), 16))
    print(f"ms: kept {kept:.2f}, by content {got:.2f}, by likeness {near:.2f}, the first one after a start {first:.0f}")
    await database.close()


async def each(times: int, work: Callable[[int], Awaitable[object]]) -> float:
    """Milliseconds, the mean."""
    started = time.perf_counter()
    for number in range(times):
        await work(number)
    return (time.perf_counter() - started) * 1000 / times


def memory_mb() -> float:
    """Resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(measure(Path(place), int(sys.argv[1]) if len(sys.argv) > 1 else ENTRIES))
