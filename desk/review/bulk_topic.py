"""Finds the decisions of a bulk in the topic `decisions`, by the name of the bulk alone.

So a bulk can be undone after a reload of the page and after a restart of the desk, and no process keeps its posts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kafka import TopicPartition
from pydantic import ValidationError

from core.errors import Retry
from core.events import Decision
from sinks.connect.kafka import Brokers
from sinks.connect.reading import reading
from sinks.queue.values import is_vote_of

REPEAT_S = 600
"""Time, in seconds, for which a call that decides a bulk can be repeated. Its decisions were stored within it."""
MARGIN_S = 60
"""How much, in seconds, the clocks of the desk and of the brokers may differ."""
IDLE_S = 5.0
"""Longest time, in seconds, without an answer of the brokers."""


def made_ms(bulk_id: str) -> int:
    """Returns when the bulk was made, in Unix milliseconds."""
    return int(bulk_id.partition("-")[0], 16)


def decisions_of(brokers: Brokers, topic: str, bulk_id: str, reviewer: str) -> list[Decision]:
    """Returns what this reviewer decided with this bulk, without what was retracted. Blocks.

    Reads what the topic got in the time in which the bulk may have been decided. Raises `Retry` or `Stop` when the
    brokers do not answer, or refuse.
    """
    found: dict[str, Decision] = {}
    for value in _values(brokers, topic, made_ms(bulk_id)):
        if bulk_id.encode() not in value:
            continue
        try:
            decision = Decision.model_validate_json(value)
        except ValidationError:
            continue  # another version wrote it
        if decision.bulk_id == bulk_id and decision.copy_of is None and decision.reviewer == reviewer:
            found[decision.task.tweet.id] = decision
    return [decision for decision in found.values() if decision.kind in {"settle", "answer"} or _gives_vote(decision)]


def _gives_vote(decision: Decision) -> bool:
    """Whether it gives a vote. A `vote` may also take one back, and on a task that was settled once, a vote is a
    retraction."""
    return any(is_vote_of(vote, decision) for vote in decision.votes)


def _values(brokers: Brokers, topic: str, since_ms: int) -> Iterator[bytes]:
    with reading(brokers, topic, IDLE_S) as consumer:
        ends = _seek(consumer, topic, since_ms - MARGIN_S * 1000, since_ms + (REPEAT_S + 2 * MARGIN_S) * 1000)
        quiet_since = time.monotonic()
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for partition, records in consumer.poll(timeout_ms=500).items():
                quiet_since = time.monotonic()
                yield from (record.value for record in records if record.value and record.offset < ends[partition])
            if time.monotonic() - quiet_since > IDLE_S:
                raise Retry(f"Kafka at {brokers} sent no decision for {IDLE_S:g} s, but topic {topic} holds more")


def _seek(consumer: Any, topic: str, since_ms: int, until_ms: int) -> dict[Any, int]:
    """Seeks to the first record of that time. Returns the end of each partition that has any."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise Retry(f"topic {topic} is missing; create it with `mner topics create`")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    starts = consumer.offsets_for_times(dict.fromkeys(partitions, max(0, since_ms)))
    later = consumer.offsets_for_times(dict.fromkeys(partitions, until_ms))
    for partition in partitions:
        consumer.seek(partition, starts[partition].offset if starts[partition] else ends[partition])
        if later[partition]:
            ends[partition] = min(ends[partition], later[partition].offset)
    return {partition: end for partition, end in ends.items() if consumer.position(partition) < end}
