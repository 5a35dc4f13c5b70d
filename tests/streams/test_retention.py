"""Posts that are too old leave the index, the queue and the topic of decisions, and nothing brings them back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from prometheus_client import REGISTRY

from core.events import Decision, Extraction, ReviewTask, Tweet
from core.terms import Sources, Terms
from sinks.index.document import from_decision, from_extraction, marker
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Counts
from streams import topics
from streams.agents.copies import CopySettler, group_of
from streams.agents.decide import Decide
from streams.agents.deliver import Deliver
from streams.pipeline.item import Item, Origin
from streams.producer import Producer
from streams.retention import Retention, Sweeper, Swept
from streams.settings import Settings
from tests.sinks.values import decision, extraction, mention, task, tweet
from tests.streams.said import applying

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=31), NOW - timedelta(days=29)
MONTH = Retention(30, lambda: NOW)
UNLISTED = Sources()
SILENT = Sources({"x": Terms(may_train=False, may_show_text=False, delete_within_hours=24)})


@dataclass
class Stores:
    index: Index
    queue: ReviewQueue
    producer: Producer
    settings: Settings

    def sweeper(self, sources: Sources = UNLISTED) -> Sweeper:
        return Sweeper(self.index, self.queue, self.producer, self.topic, MONTH, sources)

    def deliver(self, retention: Retention = MONTH, sources: Sources = UNLISTED) -> Deliver:
        return Deliver(self.index, self.queue, applying(self.index, self.queue), None, None, sources, retention)

    def decide(self, copies: CopySettler | None = None, sources: Sources = UNLISTED) -> Decide:
        apply = applying(self.index, self.queue)
        return Decide(self.index, self.queue, apply, self.producer, self.topic, MONTH, copies, sources)

    @property
    def topic(self) -> str:
        return self.settings.name(topics.DECISIONS)


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    await asyncio.to_thread(topics.create, str(settings.kafka), topics.plan(settings))
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    await index.prepare()
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    async with Producer(str(settings.kafka)) as producer:
        yield Stores(index, queue, producer, settings)
    await queue.close()
    await index.close()


def read(post: Tweet, probability: float = 0.9) -> Extraction:
    return extraction(post, mention("Ana", "PER", probability=probability))


def received(post_id: str, moment: datetime | None, **fields: Any) -> Tweet:
    return tweet(post_id).model_copy(update={"received_at": moment, "created_at": None} | fields)


def item(event: Any, timestamp: float = 0.0) -> Item[Any]:
    return Item(Origin("t", 0, 0, b"1", b"{}", timestamp), parsed=event)


def decided(post: Tweet) -> Decision:
    return decision(task(post.id).model_copy(update={"tweet": post}), 1_000, mention("Ana", "PER", source="human"))


def asked(post: Tweet) -> ReviewTask:
    return task(post.id, text=post.text).model_copy(update={"tweet": post})


def records(settings: Settings, topic: str) -> list[tuple[bytes, bytes | None]]:
    consumer = KafkaConsumer(bootstrap_servers=str(settings.kafka), enable_auto_commit=False)
    places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(places)
    consumer.seek_to_beginning()
    ends, held = consumer.end_offsets(places), []
    while any(consumer.position(place) < end for place, end in ends.items()):
        for batch in consumer.poll(timeout_ms=1000).values():
            held += [(record.key, record.value) for record in batch]
    consumer.close()
    return held


async def test_a_sweep_deletes_what_was_received_too_long_ago(stores: Stores) -> None:
    index, queue = stores.index, stores.queue
    asked, person = read(received("old-asked", OLD), 0.5), decided(received("old-decided", OLD))
    kept = [
        read(received("young", YOUNG)),
        read(received("late", YOUNG, created_at=OLD)),  # published long ago, received lately
        read(received("undated", None)),
        read(received("young-asked", YOUNG), 0.5),
    ]
    by_date = read(received("old-by-date", None, created_at=OLD))
    await stores.deliver(Retention(None)).process([item(each) for each in (asked, by_date, *kept)])
    await index.write([from_decision(person), marker("gone")])
    await queue.settle(person.task, 1_000)
    await stores.producer.send(stores.topic, b"old-decided", person.model_dump_json().encode())
    await index.refresh()

    assert await stores.sweeper().sweep(dry_run=True) == Swept(posts=3, tasks=1, undated=1)
    assert await queue.counts() == Counts(open=2, leased=0, decided=1)
    assert await stores.sweeper().sweep() == Swept(posts=3, tasks=0, undated=1)
    names = ["old-asked", "old-decided", "old-by-date", "gone", "young", "late", "undated", "young-asked"]
    assert set(await index.held(names)) == {"gone", "young", "late", "undated", "young-asked"}
    assert await queue.counts() == Counts(open=1, leased=0, decided=0)
    written = await asyncio.to_thread(records, stores.settings, stores.topic)
    assert [value for key, value in written if key == b"old-decided"][-1] is None
    await index.refresh()
    assert await stores.sweeper().sweep() == Swept(posts=0, tasks=0, undated=1)


async def test_nothing_that_comes_later_brings_an_old_post_back(stores: Stores) -> None:
    old, late = read(received("1", OLD), 0.5), decided(received("1", OLD))
    young = read(received("2", YOUNG), 0.5)
    before = {what: counted(what) for what in ("extraction", "decision")}
    await stores.deliver().process([item(old), item(young)])
    await stores.decide().process(item(late, timestamp=OLD.timestamp()))
    assert set(await stores.index.held(["1", "2"])) == {"2"}
    assert [entry.task.tweet.id for entry in await stores.queue.list()] == ["2"]
    assert {what: counted(what) - count for what, count in before.items()} == {"extraction": 1, "decision": 1}
    assert await asyncio.to_thread(records, stores.settings, stores.topic) == [], "it was made in time"
    await stores.decide().process(item(late, timestamp=NOW.timestamp()))
    assert await asyncio.to_thread(records, stores.settings, stores.topic) == [(b"1", None)], "it was made too late"


async def test_a_post_that_changes_while_a_sweep_runs_stays(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(received("1", OLD))
    await stores.index.write([from_extraction(first, first.mentions)])
    await stores.index.refresh()
    forget = stores.queue.forget

    async def edited(edits: dict[str, int]) -> set[str]:
        forgotten = await forget(edits)
        newer = read(received("1", YOUNG, edit=1))
        await stores.index.write([from_extraction(newer, newer.mentions)])
        return forgotten

    monkeypatch.setattr(stores.queue, "forget", edited)
    assert (await stores.sweeper().sweep()).posts == 0
    held = await stores.index.get("1")
    assert held is not None
    assert held.body["edit"] == 1


async def test_a_newer_edit_that_comes_during_a_sweep_keeps_task_and_decision(stores: Stores) -> None:
    first, newer = read(received("1", OLD)), received("1", YOUNG, edit=1)
    await stores.index.write([from_extraction(first, first.mentions)])
    await stores.index.refresh()
    await stores.queue.settle(decided(newer).task, 1_000)  # the index shows it a moment later
    assert (await stores.sweeper().sweep()).posts == 0
    assert (await stores.queue.counts()).decided == 1
    assert await asyncio.to_thread(records, stores.settings, stores.topic) == []


async def test_a_sweep_reaches_hidden_and_waiting_tasks_and_decided_copies(stores: Stores) -> None:
    text = "Paris Hilton was seen at the Louvre today"
    grouped = ReviewQueue(str(stores.settings.redis), stores.settings.name("review:"), group_of=group_of, window_s=1e8)
    old = {name: asked(received(name, OLD, text=text)) for name in "123"}
    other = asked(received("4", OLD, text=f"{text}, and then she left"))
    await grouped.add([*old.values(), other])
    await grouped.hide("2", "4")
    await grouped.settle(old["3"], 1_000)
    await grouped.close()
    assert await stores.sweeper().sweep(dry_run=True) == Swept(posts=0, tasks=4, undated=0)
    assert await stores.sweeper().sweep() == Swept(posts=0, tasks=4, undated=0)
    assert [page async for page in stores.queue.kept() if page] == []


async def test_nobody_is_asked_about_a_text_that_may_not_be_shown(stores: Stores) -> None:
    hidden, shown = (read(received(source, YOUNG, source=source), 0.5) for source in ("x", "rss"))
    before = counted("terms", "mner_unasked_total", "reason")
    await stores.deliver(sources=SILENT).process([item(hidden), item(shown)])
    assert [entry.task.tweet.source for entry in await stores.queue.list()] == ["rss"]
    assert set(await stores.index.held(["x", "rss"])) == {"x", "rss"}
    assert counted("terms", "mner_unasked_total", "reason") == before + 1
    # terms that become stricter reach the tasks that wait
    again = Sources({"rss": SILENT.listed["x"]})
    assert await stores.sweeper(again).sweep() == Swept(posts=0, tasks=1, undated=0)
    assert await stores.queue.counts() == Counts(open=0, leased=0, decided=0)


async def test_the_queue_keeps_no_decided_text_that_may_not_be_shown(stores: Stores) -> None:
    name, century = stores.settings.name("review:"), 3e9
    grouped = ReviewQueue(str(stores.settings.redis), name, group_of=group_of, window_s=century)
    copies = CopySettler(grouped.copies, stores.producer, stores.topic, century)
    decide = Stores(stores.index, grouped, stores.producer, stores.settings).decide(copies, SILENT)
    for source, kept in (("x", 0), ("rss", 1)):
        post = received(source, YOUNG, source=source, text=f"Ana Paz was seen at the Louvre today by {source}")
        seen = mention("Ana", "PER", within=post.text, source="human")
        await decide.process(item(decision(asked(post), round(NOW.timestamp() * 1000), seen)))
        assert len([task async for page in grouped.kept() for task in page]) == kept, source
        assert await grouped._script.redis.hlen(f"{name}rulings") == kept, source
    assert (await grouped.counts()).decided == 2
    await grouped.close()


async def test_a_post_fed_twice_is_the_same_post(stores: Stores) -> None:
    """The second record has another time. The index keeps the first one, and the queue gets the task."""
    first, second = (read(received("1", moment), 0.5) for moment in (YOUNG, YOUNG + timedelta(hours=1)))
    await stores.deliver().process([item(first)])
    await stores.queue.forget({"1": 0})
    await stores.deliver().process([item(second)])
    held = await stores.index.get("1")
    assert held is not None
    assert held.body["received_at"] == YOUNG.isoformat()
    assert (await stores.queue.counts()).open == 1


def test_a_post_that_comes_with_a_time_of_receipt_loses_it() -> None:
    for claimed in ('"2001-01-01T00:00:00Z"', '"nonsense"'):
        post = Tweet.model_validate_json(f'{{"id": "1", "text": "a", "received_at": {claimed}}}')
        assert post.received_at is None
    assert b"received_at" not in Tweet(id="1", text="a").model_dump_json().encode()
    kept = Extraction.model_validate_json(read(received("1", OLD)).model_dump_json())
    assert kept.tweet.received_at == OLD


def counted(value: str, name: str = "mner_expired_total", label: str = "what") -> float:
    return REGISTRY.get_sample_value(name, {label: value}) or 0.0
