"""`python -m benchmarks.search`: how long a search of the desk takes, and how long its overview takes.

Starts servers and a desk of its own, fills the index with synthetic posts, and asks what people ask. All searches
differ. Each is asked for the first time, when nothing can know its answer, and then again. Half of them are asked as
pages of the desk, over HTTP, as a browser asks them; the other half as the request to the index alone. Others come
before these and are not measured, since Java compiles what runs often. One search runs at a time.

Beside the time stands the CPU time of Elasticsearch, which other work on the machine changes little.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Annotated

import httpx
import typer

from benchmarks.command import main
from benchmarks.report import machine, percentile
from benchmarks.run import Wrong
from benchmarks.served import desk, servers
from benchmarks.synthetic import DAYS, KINDS, LANGUAGES, SCRIPTS, SOURCES, fill, last_day, posts, tasks, write
from sinks import overview
from sinks.index.index import Index
from sinks.overview import Period
from sinks.queue.queue import ReviewQueue
from sinks.searching.access import Access
from sinks.searching.search import search
from sinks.searching.state import SearchState
from streams.retention import Retention
from streams.settings import Settings
from streams.terms import load_sources

SHARES = {
    "a name": 18,
    "a word": 14,
    "two words": 14,
    "a phrase": 8,
    "a hashtag": 8,
    "another script": 8,
    "without a word": 6,
    "a beginning": 4,
    "filters alone": 6,
    "words and filters": 6,
    "days": 4,
    "by time": 4,
}
"""Kinds of searches, and how many of a hundred each makes up."""

OVERVIEWS = 30
ARRIVING = 20
"""Posts that arrive before each search of those that are asked while the index changes."""


@dataclass
class Times:
    """Milliseconds, by kind."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    cpu_ms: float = 0.0

    def add(self, kind: str, ms: float) -> None:
        self.taken.setdefault(kind, []).append(ms)

    @property
    def all(self) -> list[float]:
        return [ms for each in self.taken.values() for ms in each]

    def cell(self, kind: str = "") -> str:
        """Returns p50 and p95."""
        values = self.taken.get(kind, []) if kind else self.all
        return f"{percentile(values, 0.5):7.0f} {percentile(values, 0.95):6.0f}" if values else " " * 14


def searches(count: int, seed: int = 3) -> list[tuple[str, SearchState]]:
    """Returns searches of all kinds, none twice. Frequent words and names are asked for more often, as posts have them.

    The first searches are as mixed as all.
    """
    chance = random.Random(seed)
    drawn = [document.body for document in posts(5_000)]
    names = [mention["text"] for body in drawn for mention in body["mentions"]]
    words = [word for body in drawn if body["lang"] not in SCRIPTS for word in body["text"].lower().split()]
    plain = [word for word in words if word.isalnum() and len(word) > 1]
    phrases = [name for name in names if " " in name]
    tags = [word for word in words if word.startswith("#")]
    authors = [body["author"]["name"] for body in drawn]
    scripts = [word for each in SCRIPTS.values() for word in each]
    today = last_day().date()

    def days() -> SearchState:
        first = today - timedelta(days=chance.randrange(DAYS))
        return SearchState(since=first, until=min(today, first + timedelta(days=chance.choice((0, 6, 30)))))

    def made(kind: str) -> SearchState:
        one, other, name = chance.choice(plain), chance.choice(plain), chance.choice(names)
        types, languages = (chance.choice(KINDS),), (chance.choice(LANGUAGES),)
        alone = (
            SearchState(types=types, names=(name,)),
            SearchState(languages=languages, sources=(chance.choice(SOURCES),), types=types),
            SearchState(authors=(chance.choice(authors),)),
        )
        return {
            "a name": SearchState(name),
            "a word": SearchState(one),
            "two words": SearchState(f"{one} {other}"),
            "a phrase": SearchState(f'"{chance.choice(phrases)}"'),
            "a hashtag": SearchState(f"{chance.choice(tags)} {one}" if chance.random() < 0.5 else chance.choice(tags)),
            "another script": SearchState(chance.choice(scripts) + chance.choice(("", f" {name}"))),
            "without a word": SearchState(f"{name} -{one}"),
            "a beginning": SearchState(f"{name[: chance.randint(2, 5)].strip()}*"),
            "filters alone": chance.choice(alone),
            "words and filters": replace(alone[1], words=one, sources=()),
            "days": replace(days(), words=chance.choice(("", name))),
            "by time": SearchState(one, order=chance.choice(("newest", "oldest"))),
        }[kind]

    found: dict[SearchState, str] = {}
    for kind, share in SHARES.items():
        least = len(found) + max(1, round(count * share / 100))
        for _ in range(100 * count):
            if len(found) == least:
                break
            found.setdefault(made(kind), kind)
    mixed = [(kind, state) for state, kind in found.items()]
    chance.shuffle(mixed)
    return mixed


class Bench:
    """The index of one deployment, and the desk before it."""

    def __init__(self, index: Index, settings: Settings, client: httpx.AsyncClient) -> None:
        self._index, self._settings, self._client = index, settings, client
        self._sources = load_sources(settings)

    async def page(self, state: SearchState) -> None:
        await self.get(f"/search?{state.to_query()}")

    async def get(self, path: str) -> None:
        answer = await self._client.get(path)
        if answer.status_code != 200:
            raise Wrong(f"{path} answered {answer.status_code}")

    async def request(self, state: SearchState) -> None:
        cutoff = Retention(self._settings.index_retention_days).cutoff
        await search(self._index, state, Access(self._sources, cutoff), 20)

    async def read_overview(self) -> None:
        end = last_day() + timedelta(hours=1)
        await overview.read(self._index, Period(end - timedelta(hours=24), end), 1)

    async def forget(self) -> None:
        """Empties the caches of Elasticsearch."""
        await self._index.ask(lambda client: client.indices.clear_cache(index=self._index.name))

    async def cpu_ms(self) -> float:
        """Returns the CPU time that Elasticsearch has taken so far."""
        answer = await self._index.ask(lambda client: client.nodes.stats(metric="process"))
        return sum(float(node["process"]["cpu"]["total_in_millis"]) for node in answer["nodes"].values())


async def ask(
    bench: Bench,
    asked: list[tuple[str, SearchState]],
    way: Callable[[SearchState], Awaitable[None]],
    before: Callable[[], Awaitable[None]] | None = None,
) -> tuple[Times, Times]:
    """Asks each search for the first time, and again. `before`: what happens before each search."""
    first, again = Times(), Times()
    for times, is_again in ((first, False), (again, True)):
        begun = await bench.cpu_ms()
        for kind, state in asked:
            if before and not is_again:
                await before()
            times.add(kind, await timed(way(state)))
        times.cpu_ms = (await bench.cpu_ms() - begun) / len(asked)
    return first, again


async def timed(what: Awaitable[None]) -> float:
    begun = perf_counter()
    await what
    return (perf_counter() - begun) * 1000


async def measure(settings: Settings, address: str, count: int, asked: int) -> None:
    """Fills the index and the queue, asks, and prints the times."""
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    try:
        begun = perf_counter()
        await fill(index, count)
        filled_s = perf_counter() - begun
        await queue.add(tasks(500))
        stats = await index.ask(lambda client: client.indices.stats(index=index.name, metric=["store"]))
        size = stats["_all"]["primaries"]["store"]["size_in_bytes"] / 2**20
        this = machine()
        print(
            f"{datetime.now(UTC):%Y-%m-%d}: {this.cores} cores of {this.cpu}, {this.memory_gib:.0f} GiB, "
            f"load before {this.load_before:.1f}; {count} posts, {size:.0f} MiB, written in {filled_s:.0f} s",
            flush=True,
        )
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            await _measure(Bench(index, settings, client), index, count, asked)
    finally:
        await index.close()
        await queue.close()


async def _measure(bench: Bench, index: Index, count: int, asked: int) -> None:
    number = iter(range(count, 10**9, ARRIVING))

    async def arrive() -> None:
        first = next(number)
        await write(index, list(posts(ARRIVING, seed=first, first=first)))
        await index.refresh()

    parts = dict(zip(("warm", "page", "request", "live"), _parts(searches(2 * asked + 150), 100, asked), strict=True))
    await ask(bench, parts["warm"], bench.page)
    await bench.forget()
    pages = await ask(bench, parts["page"], bench.page)
    requests = await ask(bench, parts["request"], bench.request)
    live, _ = await ask(bench, parts["live"], bench.page, arrive)
    columns = (*pages, *requests)
    print(f"\n{'':18} {'':>5} {'page, first':>14} {'page, again':>14} {'request, first':>14} {'request, again':>14}")
    print(f"{'milliseconds':18} {'asked':>5}" + f" {'p50':>7} {'p95':>6}" * 4)
    kinds = Counter(kind for kind, _ in parts["page"])
    for kind in SHARES:
        print(f"{kind:18} {kinds[kind]:>5} " + " ".join(times.cell(kind) for times in columns))
    print(f"{'all':18} {len(parts['page']):>5} " + " ".join(times.cell() for times in columns))
    print(f"{'CPU time, each':18} {'':>5} " + " ".join(f"{times.cpu_ms:7.0f}       " for times in columns))
    print(f"\npage, first, {ARRIVING} posts before each, {len(parts['live'])} asked: {live.cell().strip()} (p50, p95)")
    print(await _overview("page", bench, lambda: bench.get("/")))
    print(await _overview("request", bench, bench.read_overview))


async def _overview(name: str, bench: Bench, what: Callable[[], Awaitable[None]]) -> str:
    times = Times()
    await what()
    for _ in range(OVERVIEWS):
        await bench.forget()
        times.add("first", await timed(what()))
        times.add("again", await timed(what()))
    return f"overview, {name}, {OVERVIEWS} times: first {times.cell('first')}, again {times.cell('again')} (p50, p95)"


def _parts(mixed: list[tuple[str, SearchState]], warm: int, asked: int) -> Iterator[list[tuple[str, SearchState]]]:
    """Cuts the searches into those that warm up, two parts of the same number, and the rest, for a changing index."""
    yield mixed[:warm]
    yield mixed[warm : warm + asked]
    yield mixed[warm + asked : warm + 2 * asked]
    yield mixed[warm + 2 * asked :]


def command(
    count: Annotated[int, typer.Option("--posts", min=1_000, help="Number of posts in the index.")] = 100_000,
    asked: Annotated[int, typer.Option("--searches", min=20, help="Searches of each way.")] = 200,
) -> None:
    """Measure searches and the overview of the desk."""
    with servers() as made:
        settings = made.changed(index_retention_days=DAYS + 1)
        with desk(settings) as address:
            asyncio.run(measure(settings, address, count, asked))


if __name__ == "__main__":
    main(command)
