"""One event at each point of a post's life: an erased post leaves no trace, and a hidden one comes back.

Each point has a post of its own, an author, a wording, an image, and so a group of copies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from core.events import Decision, Extraction, Media, Tweet
from core.lifecycle import Lifecycle
from sinks.index.document import Document
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Holding
from streams.agents.apply import Apply
from streams.agents.copies import CopySettler, group_of
from streams.agents.decide import Decide
from streams.agents.deliver import Deliver
from streams.agents.erase import Erase
from streams.caches import MachineCaches
from streams.images.cache import ImageCache
from streams.images.conditional import Answer, Freshness, Validators
from streams.images.decode import LoadedImage
from streams.retention import Retention
from streams.settings import ImageLimits, Settings, VisionLimits
from tests.streams.agents.test_lifecycle import Event, Stores, decided, extraction, renamed, said

WINDOW_S = 3600.0
TOPICS = ("extractions", "decisions")


@dataclass
class Whole(Stores):
    """The stores as a worker has them: with groups of copies, caches, and both compacted topics."""

    images: ImageCache
    caches: MachineCaches
    sent: set[tuple[str, str]] = field(default_factory=set)

    async def send_nulls(self, post: str) -> None:
        for topic in TOPICS:
            await self.send(topic, post.encode(), None)

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        await super().send(topic, key, value)
        self.sent.add((topic, key.decode()))

    def stages(self) -> dict[type[Any], Any]:
        producer, index, queue = cast(Any, self), self.index, self.queue
        apply = Apply(index, queue, self.subjects, self.send_nulls, self.caches)
        copies = CopySettler(queue.copies, producer, "decisions", WINDOW_S)
        return {
            Lifecycle: Erase(index, self.subjects, apply),
            Extraction: Deliver(index, queue, apply, None, None, copies=copies),
            Decision: Decide(index, queue, apply, producer, "decisions", Retention(None), copies),
        }

    async def in_redis(self) -> bytes:
        """Returns every key and all that it holds."""
        redis, found = self.queue._script.redis, []
        read = {b"hash": redis.hgetall, b"set": redis.smembers, b"string": redis.get}
        async for key in redis.scan_iter(self.queue._script.keys[0].removesuffix("open") + "*", count=1000):
            kind = await redis.type(key)
            held = await (redis.zrange(key, 0, -1) if kind == b"zset" else read[kind](key))
            found.append(key + repr(held).encode())
        return b"\n".join(found)


@pytest.fixture
async def whole(real: Stores, settings: Settings, tmp_path: Path) -> AsyncIterator[Whole]:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"), group_of=group_of, window_s=WINDOW_S)
    images = ImageCache(ImageLimits(), tmp_path)
    for number in NUMBERS:
        image = LoadedImage(url(number), f"{number:064}", "JPEG", 80, 40, "0" * 64, None)
        assert await images.keep(image, Answer(b"pixels", Validators(url(number)), Freshness()))
    async with MachineCaches(ImageLimits(), VisionLimits(), tmp_path) as caches:
        yield Whole(real.index, queue, real.subjects, [], images, caches)
    await images.close()
    await queue.close()


Step = Callable[[Stores, int], Awaitable[object]]
"""Takes the stores and the number of the post."""


def name(number: int) -> str:
    return f"early-{number}"


def url(number: int) -> str:
    return f"http://h/image-{number}.jpg"


def own(event: Event, number: int) -> Any:
    """Returns the event about the post of a point, with a wording and an image of its own."""

    def changed(post: Tweet) -> Tweet:
        text = f"{post.text} has a secret-{number} that nobody in the whole old town may ever know"
        return post.model_copy(update={"text": text, "media": (Media(url=url(number)),)})

    event = renamed(event, number)
    if isinstance(event, Extraction):
        return event.model_copy(update={"tweet": changed(event.tweet)})
    assert isinstance(event, Decision)
    return event.model_copy(update={"task": event.task.model_copy(update={"tweet": changed(event.task.tweet)})})


async def deliver(stores: Stores, number: int) -> None:
    await stores.process(own(extraction("early"), number), stores.stages()[Extraction])


async def index_only(stores: Stores, number: int) -> None:
    """The worker was killed between its two writes."""
    stage = stores.stages()[Extraction]

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    stage._ask = killed
    with pytest.raises(KeyboardInterrupt):
        await stores.process(own(extraction("early"), number), stage)


async def lease(stores: Stores, number: int) -> None:
    assert await stores.queue.take(name(number), "ana", 60)


async def decide(stores: Stores, number: int) -> None:
    await stores.process(own(decided("early", 2), number), stores.stages()[Decision])


#: Point -> the steps before the event, and those after it. Until the extraction arrives, the stores know nothing, so
#: "before the feed", "in the topic tweets", "in extract" and "in extractions" are one case for them.
POINTS: dict[str, tuple[list[Step], list[Step]]] = {
    "before it is delivered": ([], [deliver]),
    "between index and queue": ([index_only], [deliver]),
    "between index and queue, and the worker never comes back": ([index_only], []),
    "queued": ([deliver], []),
    "queued, then delivered again": ([deliver], [deliver]),
    "leased": ([deliver, lease], []),
    "decided": ([deliver, decide], []),
    "decided, and the decision comes late": ([deliver], [decide]),
    "decided, then delivered again": ([deliver, decide], [deliver]),
}
NUMBERS = dict(enumerate(POINTS))
"""Each point has a post of its own, and an author of its own."""


async def live(stores: Stores, *, late: bool) -> None:
    """Takes the steps before the event, or those after it, for the post of each point."""
    for number, steps in enumerate(POINTS.values()):
        for step in steps[late]:
            await step(stores, number)


async def tell(stores: Stores, event: Lifecycle) -> None:
    """Sends the event for the post of each point, or for its author."""
    for number in NUMBERS:
        await stores.process(renamed(event, number), stores.stages()[Lifecycle])
    await stores.index.refresh()


@pytest.mark.parametrize("subject", ["early", "ana"])
async def test_an_erased_post_leaves_no_trace(whole: Whole, subject: str) -> None:
    real = whole
    await live(real, late=False)
    known = await whole.in_redis()
    for number, (before, _) in enumerate(POINTS.values()):
        assert (f"secret-{number} ".encode() in known) is (deliver in before)
    await tell(real, said("erase", subject))
    await live(real, late=True)
    await real.index.refresh()
    known = await whole.in_redis()
    held: dict[str, Document] = await real.index.held([name(number) for number in NUMBERS])
    for number, point in NUMBERS.items():
        assert held[name(number)].body == {"id": name(number), "erased": True}, point
        holding = await real.queue.holds(name(number))
        assert holding == Holding(False, False, False, hidden=False, erased=True), point
        assert {(topic, name(number)) for topic in TOPICS} <= whole.sent, point
        for content in (f"secret-{number} ", f"ana-{number}", url(number)):
            assert content.encode() not in known, point
        assert await whole.images.forget([url(number)]) == [], point
    assert await real.queue.list() == []
    assert await real.index.count() == 0
    assert (await real.index.search("paris")).total == 0


@pytest.mark.parametrize("subject", ["early", "ana"])
async def test_a_hidden_post_is_found_nowhere_and_all_of_it_comes_back(whole: Whole, subject: str) -> None:
    real = whole
    await live(real, late=False)
    await tell(real, said("hide", subject, 1, "suspended"))
    await live(real, late=True)
    await real.index.refresh()
    assert await real.index.count() == 0
    assert (await real.index.search("paris")).total == 0
    assert await real.index.entities() == []
    assert await real.queue.list() == []
    assert await real.queue.claim("bob", 60) is None
    await tell(real, said("show", subject, 2, "suspended"))
    assert await real.index.count() == len(POINTS)
    queued = {entry.task.tweet.id for entry in await real.queue.list()}
    held = await real.index.held([name(number) for number in NUMBERS])
    for number, (point, (before, later)) in enumerate(POINTS.items()):
        settled = decide in (*before, *later)
        assert held[name(number)].body["source"] == ("human" if settled else "model"), point
        assert (name(number) in queued) is (deliver in (*before, *later) and not settled), point
    assert real.nulls == []
    assert all([await whole.images.forget([url(number)]) for number in NUMBERS])
