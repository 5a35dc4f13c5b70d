"""After an erasure, a scan of the bytes in every store finds nothing of the post but the markers of its id.

The points are those of `test_points`, and posts that are hidden or edited, and those that are copies. All go through
real topics, and stand in the caches of this machine.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.events import Author, Decision, Extraction
from core.lifecycle import Lifecycle
from model.vision.cache import ContextCache
from model.vision.values import VisualContext
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.agents.copies import group_of
from streams.caches import MachineCaches
from streams.images import database
from streams.images.cache import ImageCache
from streams.images.conditional import Answer, Freshness, Validators
from streams.images.decode import LoadedImage
from streams.producer import Producer
from streams.settings import ImageLimits, Settings, VisionLimits
from streams.vision import context_database
from tests.cli.test_export import Mner, mner  # noqa: F401  # a fixture
from tests.streams.agents import traces
from tests.streams.agents.test_lifecycle import Event, Stores, decided, extraction, renamed, said
from tests.streams.agents.test_points import POINTS, WINDOW_S, Step, Whole, decide, deliver, name, own, url


@dataclass
class Everything(Whole):
    """The stores of `test_points` on real topics, which get every record that the agents read or write."""

    producer: Any = None
    settings: Any = None
    home: Path = Path()
    derived: list[Decision] = field(default_factory=list)  # decisions on copies that no agent has read yet

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        await self.producer.send(self.settings.name(topic), key, value)
        if value is not None:
            self.derived.append(Decision.model_validate_json(value))

    async def process(self, event: Event, stage: Any) -> None:
        if isinstance(event, Extraction):
            await self._publish(topics.EXTRACTIONS, event.tweet.id.encode(), event.model_dump_json().encode())
        elif isinstance(event, Decision):
            await self._publish(topics.DECISIONS, event.task.tweet.id.encode(), event.model_dump_json().encode())
        else:
            await self._publish(topics.TOMBSTONES, event.key, event.encoded())
        await super().process(event, stage)
        while self.derived:
            decision = self.derived.pop(0)
            await super().process(decision, self.stages()[Decision])

    async def _publish(self, topic: str, key: bytes, value: bytes) -> None:
        await self.producer.send(self.settings.name(topic), key, value)

    async def places(self) -> traces.Places:
        """Returns what every store holds."""
        found = await traces.in_redis(self.settings) | await traces.in_elasticsearch(self.settings)
        return found | traces.in_kafka(self.settings) | traces.in_files(self.home / "cache")


async def hide(stores: Stores, number: int) -> None:
    event = renamed(said("hide", "early", 0.5, "protected"), number)
    await stores.process(event, stores.stages()[type(event)])


async def edit(stores: Stores, number: int) -> None:
    await stores.process(own(extraction("early", 1), number), stores.stages()[Extraction])


def copied(event: Extraction, number: int, words: str) -> Extraction:
    """Returns the extraction with a wording that two posts share. `words`: what only this post has, at its end."""
    text = f"Paris {number} is what two posts tell in the same words {words}"
    return event.model_copy(update={"tweet": event.tweet.model_copy(update={"text": text, "media": ()})})


async def deliver_copy(stores: Stores, number: int) -> None:
    event = copied(own(extraction("early"), number), number, f"https://t.co/secret-{number}")
    await stores.process(event, stores.stages()[Extraction])


async def deliver_other(stores: Stores, number: int) -> None:
    event = copied(own(extraction("early"), number), number, "https://t.co/other")
    other = event.tweet.model_copy(update={"id": f"other-{number}", "author": Author(id="bo")})
    event = event.model_copy(update={"tweet": other})
    await stores.process(event, stores.stages()[Extraction])


async def decide_queued(stores: Stores, number: int) -> None:
    task = (await stores.queue.tasks([name(number)]))[name(number)]
    made = decided("early", 2).model_copy(update={"task": task})
    await stores.process(made, stores.stages()[Decision])


async def decide_other(stores: Stores, number: int) -> None:
    task = (await stores.queue.tasks([f"other-{number}"]))[f"other-{number}"]
    made = decided("early", 2).model_copy(update={"task": task})
    await stores.process(made, stores.stages()[Decision])


ALL_POINTS: dict[str, tuple[list[Step], list[Step]]] = POINTS | {
    "hidden": ([deliver, hide], []),
    "hidden, and the decision comes late": ([deliver, hide], [decide]),
    "edited": ([deliver, edit], []),
    "edited later": ([deliver], [edit]),
    "edited after a decision": ([deliver, decide, edit], []),
    "a copy waits behind it": ([deliver_copy, deliver_other], []),
    "it waits behind a copy": ([deliver_other, deliver_copy], []),
    "its decision settled a copy": ([deliver_copy, deliver_other, decide_queued], []),
    "the decision on a copy settled it": ([deliver_other, deliver_copy, decide_other], []),
    "it waits behind a copy, whose decision comes late": ([deliver_other, deliver_copy], [decide_other]),
}


MARKERS = re.compile(r"topic tombstones |index lifecycle-1 |index mentions-1 |redis \S+:(erased|rulings)$")
"""Places that hold the ids of erased posts and authors, so that they stay erased: the events and their standings, the
marker of the post, and the queue's marks. `rulings` says which post was decided first of a group of copies."""


async def live(stores: Stores, *, late: bool) -> None:
    for number, steps in enumerate(ALL_POINTS.values()):
        for step in steps[late]:
            await step(stores, number)


@pytest.fixture
async def everything(
    real: Stores, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Everything]:
    monkeypatch.setattr(database, "OPERATION_S", 60.0)  # a slow disk leaves entries to their age
    topics.create(str(settings.kafka), topics.plan(settings))
    async with AsyncExitStack() as stack:
        queue = ReviewQueue(str(settings.redis), settings.name("review:"), group_of=group_of, window_s=WINDOW_S)
        stack.push_async_callback(queue.close)
        images = ImageCache(ImageLimits(), tmp_path)
        stack.push_async_callback(images.close)
        file = context_database(tmp_path)
        stack.push_async_callback(file.close)
        contexts = ContextCache(file, "reader", 1000)
        for number in (number for number, point in enumerate(ALL_POINTS) if "copy" not in point):  # they have no image
            image = LoadedImage(url(number), f"{number:064}", "JPEG", 80, 40, "0" * 64, None)
            answer = Answer(f"secret-{number} pixels".encode(), Validators(url(number)), Freshness())
            assert await images.keep(image, answer)
            seen = VisualContext(caption=f"a secret-{number} tower")
            await contexts.put(image.sha256, None, None, seen)
        producer = await stack.enter_async_context(Producer(str(settings.kafka)))
        caches = await stack.enter_async_context(MachineCaches(ImageLimits(), VisionLimits(), tmp_path))
        yield Everything(
            real.index, queue, real.subjects, [], images, caches, producer=producer, settings=settings, home=tmp_path
        )


def holding(places: traces.Places, words: str) -> list[str]:
    """Returns the places that hold these words, and not only as the beginning of a longer number."""
    wanted = re.compile(re.escape(words.encode()) + rb"(?!\d)", re.IGNORECASE)
    return sorted(place for place, held in places.items() if wanted.search(held))


@pytest.mark.parametrize("subject", ["early", "ana"])
async def test_no_store_holds_a_byte_of_an_erased_post(everything: Everything, subject: str, mner: Mner) -> None:  # noqa: F811
    whole, points = everything, dict(enumerate(ALL_POINTS))
    await live(whole, late=False)
    known = await whole.places()
    for number, point in points.items():
        places = holding(known, f"secret-{number}")
        assert places, f"nothing to find at the point: {point}"
        in_a_cache = any(place.startswith("file ") for place in places)
        assert in_a_cache is ("copy" not in point), point
    shown = (await asyncio.to_thread(mner, "export")).out
    for number, point in points.items():
        was_shown = "hidden" not in point and bool(ALL_POINTS[point][0])
        assert (re.search(rf"secret-{number}\b".encode(), shown) is not None) is was_shown, point
    for number in points:
        await whole.process(renamed(said("erase", subject), number), whole.stages()[Lifecycle])
    await live(whole, late=True)
    known = await whole.places()
    exported = await asyncio.to_thread(mner, "export")
    assert exported.code == 0, exported.err
    known["export"] = exported.out
    for number, point in points.items():
        assert holding(known, f"secret-{number}") == [], point
        assert holding(known, f"image-{number}.jpg") == [], point
        for words in (name(number), f"ana-{number}"):
            unmarked = [place for place in holding(known, words) if not MARKERS.match(place)]
            assert unmarked == [], f"{words}: {point}"
    assert not [place for place in known if place.startswith("topic tweets.dead")]
    assert b'"other-' in exported.out, "the copies of erased posts stay"
