"""A table in a compacted topic, on a real Kafka."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from typing import Literal

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from pydantic import TypeAdapter

from core.errors import Retry, UserError
from core.events import Value
from sinks.table import Table
from streams import topics
from streams.settings import Settings


class Note(Value):
    kind: Literal["note"] = "note"
    text: str


Open = Callable[[], Awaitable[Table[Note]]]
NOTES = TypeAdapter(Note)


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Open]:
    """Opens tables on this test's topic, and closes them."""
    await asyncio.to_thread(topics.create, str(settings.kafka), topics.plan(settings))
    async with AsyncExitStack() as stack:

        async def open_one() -> Table[Note]:
            table = Table(str(settings.kafka), settings.name(topics.DESK), NOTES)
            stack.push_async_callback(table.close)
            await table.start()
            return table

        yield open_one


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def write(settings: Settings, *records: tuple[str, bytes | None]) -> None:
    with closing(KafkaProducer(bootstrap_servers=str(settings.kafka))) as producer:
        for key, value in records:
            producer.send(settings.name(topics.DESK), key=key.encode(), value=value).get(10)


def note(text: str) -> Note:
    return Note(text=text)


async def test_a_write_is_read_when_it_returns(opened: Open) -> None:
    table = await opened()
    for number in range(20):
        await table.put(f"key {number % 3}", note(str(number)))
        assert table.get(f"key {number % 3}") == note(str(number))
    await table.delete("key 0")
    assert dict(table.values) == {"key 1": note("19"), "key 2": note("17")}
    await table.delete("never there")


async def test_a_new_process_reads_the_whole_topic_and_another_follows_it(opened: Open) -> None:
    first, second = await opened(), await opened()
    for number in range(40):
        await first.put(f"key {number}", note(str(number)))
    await first.put("key 1", note("later"))
    await first.delete("key 2")
    wanted = {f"key {n}": note(str(n)) for n in range(40) if n != 2} | {"key 1": note("later")}
    assert dict((await opened()).values) == wanted
    await until(lambda: dict(second.values) == wanted)


async def test_the_version_changes_with_the_values_and_what_was_taken_stays(opened: Open) -> None:
    table = await opened()
    await table.put("a", note("1"))
    values, version = table.values, table.version
    assert table.version == version
    await table.put("a", note("2"))
    assert table.version > version
    assert values["a"] == note("1")


async def test_two_writers_of_one_key_end_with_the_same_value(opened: Open) -> None:
    tables = [await opened() for _ in range(3)]
    await asyncio.gather(*(table.put("a", note(f"{n} {i}")) for n, table in enumerate(tables) for i in range(10)))
    last = (await opened()).get("a")
    await until(lambda: {table.get("a") for table in tables} == {last})


async def test_a_record_that_cannot_be_read_is_left_out_with_its_reason(
    opened: Open,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    records = [("a", b'{"text": "1"}'), ("b", b"no json"), ("c", b'{"kind": "of later"}'), ("d", b'{"text": "4"}')]
    await asyncio.to_thread(write, settings, *records, ("a", b'{"text": "2", "more": 1}'))
    table = await opened()
    assert dict(table.values) == {"d": note("4")}, "the unreadable value of a replaced the former one"
    assert "a is left out: more: Extra inputs are not permitted" in caplog.text
    await table.put("b", note("now"))
    assert table.get("b") == note("now")


async def test_a_topic_that_is_made_anew_is_read_anew(opened: Open, settings: Settings) -> None:
    table, name = await opened(), settings.name(topics.DESK)
    for number in range(30):
        await table.put(f"key {number}", note("old"))

    def make_anew() -> None:
        with closing(topics.admin(str(settings.kafka))) as client:
            client.delete_topics([name])
            while name in client.list_topics():
                time.sleep(0.05)
        topics.create(str(settings.kafka), topics.plan(settings))
        write(settings, ("new", b'{"text": "new"}'))

    await asyncio.to_thread(make_anew)
    await until(lambda: dict(table.values) == {"new": note("new")})


async def test_the_table_is_the_same_after_compaction(opened: Open, settings: Settings) -> None:
    planned = next(topic for topic in topics.plan(settings) if topic.name == settings.name(topics.DESK))
    assert (planned.cleanup, planned.retention_ms) == ("compact", -1)
    table, place = await opened(), TopicPartition(planned.name, 0)

    def compact_soon() -> None:
        quick = {"max.compaction.lag.ms": "200", "delete.retention.ms": "1", "segment.ms": "200"}
        with closing(topics.admin(str(settings.kafka))) as client:
            client.alter_configs([ConfigResource("TOPIC", planned.name, quick)])

    def held() -> int:
        with closing(KafkaConsumer(bootstrap_servers=str(settings.kafka), group_id=None)) as consumer:
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            end, found = consumer.end_offsets([place])[place], 0
            while consumer.position(place) < end:
                found += sum(map(len, consumer.poll(200).values()))
        return found

    await asyncio.to_thread(compact_soon)
    for number in range(60):
        await table.put(f"key {number % 10}", note(str(number)))
    await table.delete("key 0")
    before = await asyncio.to_thread(held)
    deadline = time.monotonic() + 60
    while await asyncio.to_thread(held) >= before:
        assert time.monotonic() < deadline, "the broker has not compacted the topic"
        for number in range(8):
            await table.put(f"filler {number}", note("-"))
        await asyncio.sleep(0.5)
    assert dict((await opened()).values) == dict(table.values)
    assert "key 0" not in table.values


async def test_a_value_that_is_too_large_is_refused_with_its_key(opened: Open) -> None:
    table = await opened()
    with pytest.raises(UserError, match="search/1: the value is too large"):
        await table.put("search/1", note("x" * 2_000_000))


async def test_brokers_that_do_not_answer_raise_retry() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        table = Table(f"127.0.0.1:{taken.getsockname()[1]}", "desk", NOTES, timeout_s=1.0)
        with pytest.raises(Retry, match="is unreachable"):
            await table.start()
        await table.close()


async def test_a_missing_topic_raises_retry_and_is_not_made(settings: Settings) -> None:
    plan = [replace(topic) for topic in topics.plan(settings) if topic.name == settings.name(topics.DESK)]
    table = Table(str(settings.kafka), plan[0].name, NOTES)
    with pytest.raises(Retry, match=f"does not have the topic '{plan[0].name}'"):
        await table.start()
    assert await asyncio.to_thread(topics.missing, str(settings.kafka), plan) == [plan[0].name]
