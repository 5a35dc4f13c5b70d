"""Decisions as events: made from work that is done, and sent to the topic from which index and queue follow."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError

from core.errors import Retry
from core.events import HEADERS, Decision
from review.work import Work
from sinks.document import stamp_ms as stamp_of

MAX_BYTES = 4_000_000
"""The largest decision that the topic takes; it holds a tweet and its mentions three times."""


def settle(work: Work, reviewer: str, stamp_ms: int) -> Decision:
    """The final list of a task whose every question is answered."""
    return Decision(
        id=uuid4().hex,
        kind="settle",
        task=work.task,
        mentions=work.mentions,
        verdicts=work.verdicts,
        reviewer=reviewer,
        decided_at=_moment(stamp_ms),
    )


def retract(settled: Decision, reviewer: str, stamp_ms: int) -> Decision:
    """Takes a settled decision back: the index shows the model's confident mentions again."""
    return Decision(
        id=uuid4().hex,
        kind="retract",
        task=settled.task,
        mentions=settled.task.confident,
        reviewer=reviewer,
        decided_at=_moment(stamp_ms),
    )


def stamp(decision: Decision) -> int:
    """The decision's place among others on the same tweet: unix milliseconds."""
    return stamp_of(decision.decided_at)


class DecisionTopic:
    """The topic `decisions`. Making one raises `Retry` when the brokers are away."""

    def __init__(self, brokers: str, topic: str, timeout_s: float = 10.0) -> None:
        self._brokers, self._topic, self._timeout_s = brokers, topic, timeout_s
        millis = int(timeout_s * 1000)
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=brokers.split(","),
                acks="all",
                allow_auto_create_topics=False,
                max_request_size=MAX_BYTES,
                bootstrap_timeout_ms=millis,
                max_block_ms=millis,
                request_timeout_ms=millis // 2,
                delivery_timeout_ms=millis,
            )
        except KafkaError as error:
            raise Retry(f"Kafka at {brokers} is away: {error}") from None

    async def publish(self, decision: Decision) -> None:
        """Returns when the brokers have it for good. Raises `Retry` when they do not say so in time."""
        await asyncio.to_thread(self._send, decision)

    async def close(self) -> None:
        await asyncio.to_thread(self._producer.close, timeout=self._timeout_s)

    def _send(self, decision: Decision) -> None:
        key, value = decision.task.tweet.id.encode(), decision.model_dump_json().encode()
        try:
            sent = self._producer.send(self._topic, key=key, value=value, headers=HEADERS)
            sent.get(timeout=self._timeout_s)
        except (UnknownTopicOrPartitionError, MessageSizeTooLargeError) as error:
            raise Retry(f"topic {self._topic!r} does not take it ({error}): see `mner topics`") from None
        except KafkaError as error:
            raise Retry(f"Kafka at {self._brokers} did not confirm it: {error}") from None


def _moment(stamp_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=stamp_ms)
