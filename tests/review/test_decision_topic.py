"""The producer of decisions, on a real Kafka."""

from __future__ import annotations

import pytest
from kafka import KafkaConsumer, TopicPartition

from core.errors import Retry
from core.events import MAX_DERIVED_BYTES, Decision, Question, Reason
from review.decision_topic import DecisionTopic
from streams import topics
from streams.settings import Settings
from tests.review.tasks import ZIMMERMAN, task
from tests.sinks.values import decision

#: Bytes of the key, the headers and Kafka's record batch around a decision.
OVERHEAD = 128


def sized(size: int) -> Decision:
    """Returns a decision whose message has `size` bytes."""

    def padded(number: int) -> Decision:
        reason = Reason(kind="little_evidence", sentence="x" * number)
        question = Question(mention=ZIMMERMAN, reasons=(reason,))
        return decision(task().model_copy(update={"questions": (question,)}), stamp_ms=1)

    return padded(size - len(padded(0).model_dump_json().encode()))


async def test_a_decision_may_be_as_large_as_its_topic_takes(settings: Settings) -> None:
    brokers, name = str(settings.kafka), settings.name(topics.DECISIONS)
    topics.create(brokers, topics.plan(settings))
    largest = sized(MAX_DERIVED_BYTES - OVERHEAD)
    topic = DecisionTopic(brokers, name)
    try:
        await topic.publish(largest)
        with pytest.raises(Retry, match="refuses the decision"):
            await topic.publish(sized(MAX_DERIVED_BYTES))
    finally:
        await topic.close()
    consumer = KafkaConsumer(
        bootstrap_servers=brokers.split(","), auto_offset_reset="earliest", max_partition_fetch_bytes=MAX_DERIVED_BYTES
    )
    consumer.assign([TopicPartition(name, number) for number in sorted(consumer.partitions_for_topic(name))])
    try:
        records = [record for batch in consumer.poll(timeout_ms=20_000).values() for record in batch]
    finally:
        consumer.close()
    assert [Decision.model_validate_json(record.value) for record in records] == [largest]
