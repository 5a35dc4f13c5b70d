"""What each error of Kafka makes a worker's producer do, and what the reason says.

The first table has a local server refuse records with an error code. The second puts a real broker into the state.
"""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from core.errors import Refused, Reject, Stop
from sinks import dead_letters
from streams import topics
from streams.producer import Producer
from streams.settings import Settings
from tests.families.servers.broker import brokering
from tests.families.servers.reaction import reaction


async def sent(brokers: str, topic: str, key: bytes | None = b"1", value: bytes | None = b"x") -> str:
    """Sends one record. Returns what became of it, and why."""
    async with Producer(brokers) as producer:
        return await became(producer, topic, key, value)


async def became(producer: Producer, topic: str, key: bytes | None, value: bytes | None) -> str:
    return await reaction(asyncio.wait_for(producer.send(topic, key, value), 10))


CODES = [
    pytest.param([-1, 0], "retry", "did not say why", id="UNKNOWN_SERVER_ERROR"),
    pytest.param([2, 0], "retry", "damaged", id="CORRUPT_MESSAGE"),
    pytest.param([3, 0], "done", "", id="UNKNOWN_TOPIC_OR_PARTITION"),
    pytest.param([5, 0], "done", "", id="LEADER_NOT_AVAILABLE"),
    pytest.param([6, 0], "done", "", id="NOT_LEADER_OR_FOLLOWER"),
    pytest.param([7, 0], "done", "", id="REQUEST_TIMED_OUT"),
    pytest.param([8, 0], "retry", "unreachable", id="BROKER_NOT_AVAILABLE"),
    pytest.param([10, 10], "reject", "more than the topic posts allows", id="MESSAGE_TOO_LARGE"),
    pytest.param([10, 0], "done", "", id="MESSAGE_TOO_LARGE for its batch"),
    pytest.param([18, 18], "reject", "more than the topic posts allows", id="RECORD_LIST_TOO_LARGE"),
    pytest.param([18, 0], "done", "", id="RECORD_LIST_TOO_LARGE for its batch"),
    pytest.param([17], "stop", "cannot be the name of a topic", id="INVALID_TOPIC"),
    pytest.param([19, 0], "done", "", id="NOT_ENOUGH_REPLICAS"),
    pytest.param([20, 0], "done", "", id="NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    pytest.param([21], "stop", "does not understand", id="INVALID_REQUIRED_ACKS"),
    pytest.param([29], "stop", "does not let our user use topic posts", id="TOPIC_AUTHORIZATION_FAILED"),
    pytest.param([31], "stop", "the rights", id="CLUSTER_AUTHORIZATION_FAILED"),
    pytest.param([32], "reject", "with this time", id="INVALID_TIMESTAMP"),
    pytest.param([32, 0], "done", "", id="INVALID_TIMESTAMP for its batch"),
    pytest.param([32, 7, 32], "reject", "with this time", id="INVALID_TIMESTAMP twice, with a time-out between"),
    pytest.param([32, 10], "reject", "more than the topic posts allows", id="INVALID_TIMESTAMP, then too large"),
    pytest.param([32, 45, 0], "retry", "lost the session", id="INVALID_TIMESTAMP, then a lost session"),
    pytest.param([32, 29], "stop", "does not let our user use", id="INVALID_TIMESTAMP, then no rights"),
    pytest.param([87], "reject", "compacted topic needs a key", id="INVALID_RECORD"),
    pytest.param([87, 0], "done", "", id="INVALID_RECORD for its batch"),
    pytest.param([10, 87], "reject", "compacted topic needs a key", id="MESSAGE_TOO_LARGE, then INVALID_RECORD"),
    pytest.param([33], "stop", "another way to log in", id="UNSUPPORTED_SASL_MECHANISM"),
    pytest.param([35], "stop", "another version", id="UNSUPPORTED_VERSION"),
    pytest.param([42], "stop", "does not understand", id="INVALID_REQUEST"),
    pytest.param([43], "stop", "another version", id="UNSUPPORTED_FOR_MESSAGE_FORMAT"),
    pytest.param([44], "stop", "policy", id="POLICY_VIOLATION"),
    pytest.param([45, 0], "retry", "lost the session", id="OUT_OF_ORDER_SEQUENCE_NUMBER"),
    pytest.param([46], "done", "", id="DUPLICATE_SEQUENCE_NUMBER"),
    pytest.param([47, 0], "retry", "lost the session", id="INVALID_PRODUCER_EPOCH"),
    pytest.param([53], "stop", "the rights", id="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    pytest.param([56, 0], "done", "", id="KAFKA_STORAGE_ERROR"),
    pytest.param([58], "stop", "refuses our credentials", id="SASL_AUTHENTICATION_FAILED"),
    pytest.param([59, 0], "retry", "lost the session", id="UNKNOWN_PRODUCER_ID"),
    pytest.param([999, 0], "retry", "did not say why", id="a code of the future"),
]


@pytest.mark.parametrize(("codes", "becomes", "says"), CODES)
async def test_an_error_of_the_broker(codes: list[int], becomes: str, says: str) -> None:
    async with brokering("posts", *codes) as broker, Producer(f"127.0.0.1:{broker.port}") as producer:
        kind, _, told = (await became(producer, "posts", b"1", b"x")).partition("|")
        assert kind == becomes, told
        assert says in told
        if kind == "retry":
            assert await became(producer, "posts", b"1", b"x") == "done|", "the next try must be able to succeed"


@pytest.mark.parametrize(("code", "is_general"), [(10, False), (18, False), (32, True), (87, True)])
async def test_what_a_topic_may_refuse_of_every_record_counts_as_a_failure(code: int, is_general: bool) -> None:
    async with brokering("posts", code, code) as broker, Producer(f"127.0.0.1:{broker.port}") as producer:
        with pytest.raises(Reject) as refused:
            await producer.send("posts", b"1", b"x")
    assert isinstance(refused.value, Refused) == is_general


@pytest.mark.parametrize("code", [10, 18, 32, 87])
@pytest.mark.parametrize(("count", "place"), [(2, 0), (2, 1), (40, 17)])
async def test_one_harmful_record_is_rejected_and_the_others_of_its_batch_are_kept(
    code: int, count: int, place: int
) -> None:
    values = [b"harmful" if number == place else b"good %d" % number for number in range(count)]
    async with (
        brokering("posts", code, harmful=b"harmful") as broker,
        Producer(f"127.0.0.1:{broker.port}") as producer,
    ):
        results = await asyncio.gather(*(became(producer, "posts", b"1", value) for value in values))
        for number, result in enumerate(results):
            if result.startswith("retry"):
                results[number] = await became(producer, "posts", b"1", values[number])
        assert results[place].startswith("reject|"), results[place]
        assert {result for number, result in enumerate(results) if number != place} == {"done|"}
        assert await became(producer, "posts", b"1", b"after") == "done|"


# A real broker


@pytest.fixture
def brokers(settings: Settings) -> str:
    assert settings.kafka is not None
    return settings.kafka


def made(brokers: str, name: str, **config: str) -> str:
    with closing(topics.admin(brokers)) as client:
        given = {key.replace("_", "."): value for key, value in config.items()}
        client.create_topics([NewTopic(name, 1, 1, topic_configs=given)])
        client.wait_for_topics([name])
    return name


def count(brokers: str, topic: str) -> int:
    with closing(KafkaConsumer(bootstrap_servers=brokers)) as consumer:
        place = TopicPartition(topic, 0)
        return int(consumer.end_offsets([place])[place])


async def test_small_records_are_not_blamed_for_a_batch_that_is_too_large(brokers: str, settings: Settings) -> None:
    topic = made(brokers, settings.name("narrow"), max_message_bytes="5000")
    async with Producer(brokers) as producer:
        values = [b"x" * (6000 if number == 17 else 500) for number in range(40)]
        results = await asyncio.gather(
            *(became(producer, topic, b"1", value) for value in values),
        )
        for number, result in enumerate(results):
            if result.startswith("retry"):
                results[number] = await became(producer, topic, b"1", values[number])
        assert results[17].startswith("reject|the record has 6000 bytes")
        assert set(results[:17] + results[18:]) == {"done|"}
        assert await became(producer, topic, b"1", b"after") == "done|"
    assert count(brokers, topic) >= 40


async def test_a_record_without_a_key_is_rejected_alone_by_a_compacted_topic(brokers: str, settings: Settings) -> None:
    topic = made(brokers, settings.name("compacted"), cleanup_policy="compact")
    async with Producer(brokers) as producer:
        keys = [None if number == 17 else b"1" for number in range(40)]
        results = await asyncio.gather(*(became(producer, topic, key, b"x") for key in keys))
        for number, result in enumerate(results):
            if result.startswith("retry"):
                results[number] = await became(producer, topic, keys[number], b"x")
        assert "a compacted topic needs a key" in results[17]
        assert set(results[:17] + results[18:]) == {"done|"}
    assert count(brokers, topic) >= 39


async def test_a_record_larger_than_any_request_is_rejected(brokers: str, settings: Settings) -> None:
    topic = made(brokers, settings.name("wide"))
    assert (await sent(brokers, topic, value=b"x" * (topics.MAX_MESSAGE_BYTES + 1))).startswith("reject|the record has")


async def test_a_record_of_a_time_that_the_topic_does_not_take_is_rejected(brokers: str, settings: Settings) -> None:
    topic = made(
        brokers, settings.name("timed"), message_timestamp_before_max_ms="0", message_timestamp_after_max_ms="0"
    )
    kind, _, told = (await sent(brokers, topic)).partition("|")
    assert (kind, "with this time" in told) in {("reject", True), ("done", False)}


def test_a_missing_codec_is_told_as_such(brokers: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dead letters of a topic that the broker compresses, read where the library is missing."""
    topic = made(brokers, settings.name("packed"), compression_type="gzip")
    asyncio.run(sent_async(brokers, topic))
    monkeypatch.setattr("kafka.codec.has_gzip", lambda: False)
    with pytest.raises(Stop, match="library for the compression") as caught:
        dead_letters.read(brokers, topic)
    assert "unreachable" not in str(caught.value)


async def sent_async(brokers: str, topic: str) -> None:
    assert await sent(brokers, topic) == "done|"
