"""The producer of decisions, on a real Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from core.errors import Reject, Retry
from core.events import MAX_DERIVED_BYTES, Decision, Question, Reason
from local.stack import Stack
from review.decision_topic import DecisionTopic
from sinks.table import Table
from streams import topics
from streams.settings import Settings
from tests.altered import alter
from tests.review.tasks import ZIMMERMAN, task
from tests.sinks.test_table import NOTES, Note
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
        with pytest.raises(Reject, match="has 4,000,000 bytes, more than topic"):
            await topic.publish(sized(MAX_DERIVED_BYTES))
        await asyncio.to_thread(alter, brokers, name, {"max.message.bytes": "5000"})
        with pytest.raises(Reject, match="has 6,000 bytes, more than topic"):  # the brokers say so, not our client
            await topic.publish(sized(6000))
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


async def attempt(storing: Awaitable[None]) -> bool:
    """Returns whether Kafka has confirmed it."""
    try:
        await storing
    except Retry:
        return False
    return True


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_what_people_decide_and_save_is_stored_again_once_a_silent_broker_answers(tmp_path: Path) -> None:
    with Stack(tmp_path, ["kafka"]) as servers:
        brokers, pid = servers.kafka.address, servers.kafka.pid
        assert pid is not None
        topics.create(brokers, topics.plan(Settings(kafka=brokers)))
        decided, saved = DecisionTopic(brokers, topics.DECISIONS, 4.0), Table(brokers, topics.DESK, NOTES, 4.0)
        await saved.start()

        async def stored() -> list[bool]:
            return [await attempt(decided.publish(sized(2000))), await attempt(saved.put("a", Note(text="A")))]

        while await stored() != [True, True]:
            pass  # a slow start
        os.kill(pid, signal.SIGSTOP)
        while not is_stopped(pid):
            await asyncio.sleep(0.01)  # on a busy machine its threads go on for a moment
        try:
            assert await stored() == [False, False]  # these are in the broker's hands when their time ends
            assert await stored() == [False, False]
        finally:
            os.kill(pid, signal.SIGCONT)
        for _ in range(6):
            if await stored() == [True, True]:
                break
        else:
            pytest.fail("nothing is stored")
        os.kill(pid, signal.SIGSTOP)
        try:
            assert await stored() == [False, False]
            await decided.close()  # a record that was given up is no reason to fail
            await saved.close()
        finally:
            os.kill(pid, signal.SIGCONT)
