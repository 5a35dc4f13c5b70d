"""Brokers that create each topic that a client asks for: nothing of ours creates one again that was deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

import local.kafka
from core.errors import Reject, Retry, Stop, UserError
from local.stack import Stack
from review.decision_topic import DecisionTopic
from sinks.dead_letters import read
from sinks.no_creation import creates_none
from streams import feed, topics
from streams.consumer import logs
from streams.consumer.logs import Logs
from streams.feeds import sending
from streams.producer import Producer
from streams.settings import Settings
from tests.conftest import Given
from tests.families.kafka.side_by_side import bare_settings, with_topics
from tests.families.kafka.topics_of import admin, remove, send, until, until_all_committed
from tests.sinks.values import decision, task
from tests.streams.conftest import Start


@pytest.fixture(scope="module")
def creating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    """A Kafka that creates topics on request. The agent `extract` needs no other server."""
    with pytest.MonkeyPatch.context() as patch:
        wrong = local.kafka.CONFIGURATION.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true")
        assert wrong != local.kafka.CONFIGURATION
        patch.setattr(local.kafka, "CONFIGURATION", wrong)
        with Stack(tmp_path_factory.mktemp("creating"), ["kafka"]) as stack:
            nowhere = {"elasticsearch": "http://127.0.0.1:1", "redis": "redis://127.0.0.1:1"}
            yield Given(stack.addresses | nowhere)


@pytest.fixture
def posts(creating: Given, tmp_path: Path) -> Settings:
    return with_topics(bare_settings(creating, tmp_path))


def exists(settings: Settings, topic: str) -> bool:
    with admin(settings) as client:
        return settings.name(topic) in client.list_topics()


async def test_a_worker_does_not_create_what_it_reads(posts: Settings, start: Start) -> None:
    worker = start(posts, only=("extract",))
    await asyncio.to_thread(send, posts, range(8))
    await until_all_committed(posts)
    await asyncio.to_thread(remove, posts)
    await until(lambda: "does not exist" in worker.output(), 20, "the worker notices")
    await asyncio.sleep(4)  # the time for some more looks
    assert not exists(posts, topics.TWEETS)
    assert worker.code is None


async def test_these_brokers_create_what_a_client_asks_for(posts: Settings) -> None:
    """Otherwise the other tests would prove nothing. A plain client of kafka-python asks."""
    producer = KafkaProducer(bootstrap_servers=posts.kafka)
    try:
        await asyncio.to_thread(producer.partitions_for, posts.name("nowhere"))
        await until(lambda: exists(posts, "nowhere"), 10, "the broker creates the topic")
    finally:
        producer.close()


async def by_the_producer(settings: Settings) -> None:
    async with Producer(str(settings.kafka)) as producer:
        await asyncio.wait_for(producer.send(settings.name("nowhere"), b"1", b"{}"), 5)


async def by_the_feed(settings: Settings) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "PATIENCE_S", 3.0)
        await asyncio.to_thread(feed.feed, [b"{}"], str(settings.kafka), settings.name("nowhere"))


async def by_dead_letters(settings: Settings) -> None:
    assert await asyncio.to_thread(read, str(settings.kafka), settings.name("nowhere")) == []


async def by_decisions(settings: Settings) -> None:
    topic = await asyncio.to_thread(DecisionTopic, str(settings.kafka), settings.name("nowhere"), 4.0)
    try:
        await topic.publish(decision(task("1"), 1))
    finally:
        await topic.close()


async def by_the_look_at_a_log(settings: Settings) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "ANSWER_S", 3.0)
        topic = settings.name("nowhere")
        await asyncio.to_thread(Logs(str(settings.kafka))._no_proof, {TopicPartition(topic, 0): 7}, {topic: None})


async def by_a_consumer(settings: Settings) -> None:
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka)
    try:
        creates_none(consumer)
        consumer.assign([TopicPartition(settings.name("nowhere"), 0)])
        await asyncio.to_thread(consumer.poll, 2000)
    finally:
        consumer.close()


@pytest.mark.parametrize(
    "ask", [by_the_producer, by_the_feed, by_dead_letters, by_decisions, by_the_look_at_a_log, by_a_consumer]
)
async def test_no_client_creates_what_it_asks_for(
    posts: Settings, ask: Callable[[Settings], Coroutine[Any, Any, None]]
) -> None:
    with suppress(TimeoutError, UserError, Retry, Stop, Reject):  # that the topic is missing is told elsewhere
        await ask(posts)
    await asyncio.sleep(1)  # a broker creates in the background
    assert not exists(posts, "nowhere")
