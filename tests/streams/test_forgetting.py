"""A post and an author are forgotten, hidden and shown while a worker runs, and stay so in a replay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from typer.testing import CliRunner

from cli.main import build
from core.errors import Retry, UserError
from core.events import Author, Tweet
from core.lifecycle import Lifecycle
from sinks.index.document import from_extraction
from sinks.index.index import Index
from sinks.index.subjects import ALIAS, Subjects
from streams import topics
from streams.forgetting import erasing, forget
from streams.settings import Settings
from tests.sinks.values import extraction, task
from tests.streams import stub_model
from tests.streams.account import books, fed, replayed, sinks, until_caught_up
from tests.streams.conftest import Start

NOW = datetime.now(UTC)
FUTURE = NOW + timedelta(days=1)


def post(number: int, author: str) -> bytes:
    published = (NOW - timedelta(hours=1)).isoformat()
    event = {"id": f"t{number}", "text": stub_model.text(number), "author": {"id": author}, "created_at": published}
    return json.dumps(event).encode()


def send(settings: Settings, *events: Lifecycle) -> None:
    with closing(KafkaProducer(bootstrap_servers=str(settings.kafka))) as producer:
        for event in events:
            producer.send(settings.name(topics.TOMBSTONES), event.encoded(), key=event.key).get(10)


async def tell(settings: Settings, *events: Lifecycle) -> None:
    await asyncio.to_thread(send, settings, *events)
    await until_caught_up(settings, "erase")


async def command(settings: Settings, *options: str) -> tuple[int, str]:
    """Runs `mner forget` and returns its exit code and what it printed."""
    names = ("kafka", "elasticsearch", "redis", "prefix", "home")
    environment = {f"MNER_{name.upper()}": str(getattr(settings, name)) for name in names}
    done = await asyncio.to_thread(CliRunner().invoke, build(), ["forget", *options], env=environment)
    return done.exit_code, done.output


def newest(settings: Settings, topic: str) -> dict[str, bytes | None]:
    """Returns the newest value of each key: what compaction leaves."""
    with closing(KafkaConsumer(bootstrap_servers=str(settings.kafka), group_id=None)) as consumer:
        partitions = [TopicPartition(settings.name(topic), number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: dict[str, bytes | None] = {}
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(1000).values():
                found |= {record.key.decode(): record.value for record in records}
    return found


async def test_forgotten_posts_leave_no_trace_and_hidden_ones_come_back(stubbed: Settings, start: Start) -> None:
    """Even numbers are uncertain: they have a task. t0 to t9 are of ana, t10 to t19 of bob, t20 to t29 of eve."""
    gone_before = Lifecycle(post="t29", reason="deleted before it was fed")
    worker = start(stubbed)
    await tell(stubbed, gone_before, Lifecycle(kind="hide", author="bob", cause="protected", at=NOW, source="x"))
    everyone = [post(n, "ana" if n < 10 else "bob" if n < 20 else "eve") for n in range(30)]
    await asyncio.to_thread(fed, stubbed, everyone)
    await until_caught_up(stubbed)

    found = await books(stubbed)
    assert found.documents["t29"]["_source"] == {"id": "t29", "erased": True}
    assert not any(f"t{number}" in found.tasks for number in range(10, 20))
    async with sinks(stubbed) as (index, _):
        assert await index.count() == 19

    code, out = await command(stubbed, "--post", "t20", "--json")
    receipt = json.loads(out)
    assert (code, receipt["subject"], receipt["done_at"] is None) == (0, "post:t20", False)
    assert receipt["found"] == {"documents": 1, "tasks": int(stub_model.uncertain(20)), "decisions": 0}
    assert receipt["left"] == {"documents": 0, "tasks": 0, "decisions": 0}
    author = await forget(stubbed, erasing(None, "ana"), 30)
    assert author.done
    assert author.found.documents == 10
    assert author.left.nothing
    await tell(stubbed, Lifecycle(kind="show", author="bob", at=NOW + timedelta(hours=1), source="x"))

    async def check() -> None:
        found = await books(stubbed)
        shown = {f"t{n}" for n in range(10, 29) if n != 20}
        erased = {name for name, document in found.documents.items() if document["_source"].get("erased")}
        assert erased == {*(f"t{number}" for number in range(10)), "t20", "t29"}
        assert set(found.tasks) == {name for name in shown if stub_model.uncertain(int(name[1:]))}
        async with sinks(stubbed) as (index, queue):
            assert await index.count() == len(shown)
            assert {hit.id for hit in (await index.search("", limit=100)).hits} == shown
            assert not any([(await queue.holds(name)).content for name in erased])
        left: dict[str, Any] = await asyncio.to_thread(newest, stubbed, topics.EXTRACTIONS)
        assert {name for name, value in left.items() if value is None} == erased
        assert found.dead == []

    await check()
    await asyncio.to_thread(worker.stop)
    code, out = await command(stubbed, "--post", "t20", "--wait", "0")
    assert (code, "index        documents: 0 found, 0 left" in out) == (0, True), "it was erased before"
    code, out = await command(stubbed, "--author", "nobody", "--wait", "0")
    assert (code, "done         not yet: does a worker run" in out) == (1, True)
    await replayed(stubbed, start, "extract", "deliver", "erase")
    await until_caught_up(stubbed)
    await check()


COUNT = 1200
"""Three pages of posts."""


async def stored(index: Index, count: int) -> None:
    """Writes posts of ana into the index."""
    await index.prepare()
    published, ana = NOW - timedelta(hours=1), Author(id="ana")
    posts = [Tweet(id=f"t{number}", text="a", author=ana, created_at=published) for number in range(count)]
    await index.write([from_extraction(extraction(post), ()) for post in posts])
    await index.refresh()


async def test_the_event_does_not_wait_until_all_posts_of_an_author_are_looked_at(
    stubbed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> AsyncIterator[list[str]]:
        yield ["t0"]
        raise Retry("the second page does not come")

    monkeypatch.setattr(Index, "posts_of", failing)
    with pytest.raises(Retry, match="second page"):
        await forget(stubbed, erasing(None, "ana"), 0)
    sent = await asyncio.to_thread(newest, stubbed, topics.TOMBSTONES)
    assert [json.loads(value or b"")["author"] for value in sent.values()] == ["ana"]


async def test_a_receipt_counts_all_pages(stubbed: Settings) -> None:
    async with sinks(stubbed) as (index, queue):
        await stored(index, COUNT)
        await queue.add([task("t0"), task("t1199")])
    receipt = await forget(stubbed, erasing(None, "ana"), 0)
    assert not receipt.done
    assert (receipt.found.documents, receipt.found.tasks) == (COUNT, 2)
    assert receipt.left == receipt.found


async def test_what_only_the_queue_holds_is_hidden_by_a_sweep_and_erased_with_a_receipt(
    stubbed: Settings, start: Start
) -> None:
    """The index was made anew, and the topics no longer hold the extraction of an old task. Bob was hidden before."""
    ana, bob = Author(id="ana"), Author(id="bob")
    published = {"author": ana, "created_at": NOW - timedelta(hours=1)}
    changes = {"old": published, "other": published | {"author": bob}, "late": published | {"created_at": FUTURE}}
    tasks = [task(name) for name in changes]
    queued = [each.model_copy(update={"tweet": each.tweet.model_copy(update=changes[each.tweet.id])}) for each in tasks]
    subjects = Subjects(str(stubbed.elasticsearch), stubbed.name(ALIAS))
    await subjects.prepare()
    await subjects.record(Lifecycle(kind="hide", author="bob", cause="protected", at=NOW))
    await subjects.close()
    async with sinks(stubbed) as (_, queue), asyncio.timeout(60):
        await queue.add(queued)
        start(stubbed, only=("erase",))
        while not (await queue.holds("other")).hidden:
            await asyncio.sleep(0.05)
    receipt = await forget(stubbed, erasing(None, "ana"), 30)
    assert receipt.done
    assert (receipt.found.documents, receipt.found.tasks, receipt.left.nothing) == (0, 1, True)
    assert set((await books(stubbed)).tasks) == {"late"}


async def test_a_worker_that_is_killed_while_it_erases_an_author_leaves_the_rest_to_the_next(
    stubbed: Settings, start: Start
) -> None:
    worker = start(stubbed, only=("erase",))
    async with sinks(stubbed) as (index, queue):
        await stored(index, COUNT)
        await queue.add([task(f"t{number}") for number in range(COUNT)])
        await asyncio.to_thread(send, stubbed, Lifecycle(kind="erase", author="ana", at=NOW, source="x"))
        while await index.count() == COUNT:
            await index.refresh()
        worker.kill()
        start(stubbed, only=("erase",))
        await until_caught_up(stubbed, "erase")
        await index.refresh()
        assert await index.count() == 0
    assert not (await books(stubbed)).tasks


@pytest.mark.parametrize(
    ("post", "author", "message"),
    [
        (None, None, "--post ID or --author ID"),
        ("1", "ana", "--post ID or --author ID"),
        ("a b", None, "--post 'a b' is no id"),
        (None, "", "--author '' is no id"),
    ],
)
def test_a_wrong_id_is_refused_in_one_line(post: str | None, author: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        erasing(post, author)
    assert "\n" not in str(refused.value)
