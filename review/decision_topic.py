"""Publishes decisions to their Kafka topic. A worker applies them to index and queue from there."""

from __future__ import annotations

import contextlib

from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError, UnknownTopicOrPartitionError

from core.errors import Reject, Retry
from core.events import HEADERS, MAX_DERIVED_BYTES, Decision
from core.threads import Threads
from sinks.answers.kafka import answer
from sinks.connect.confirming import confirming
from sinks.connect.kafka import Brokers
from sinks.connect.probe import cause

AT_ONCE = 16
"""Decisions that wait for their confirmation at the same time. Each takes a thread."""


class DecisionTopic:
    """A producer for the topic `decisions`."""

    def __init__(self, brokers: Brokers, topic: str, timeout_s: float = 10.0) -> None:
        """Connects. Raises `Retry` when the brokers do not answer, or refuse."""
        self._brokers, self._topic, self._timeout_s = brokers, topic, timeout_s
        self._threads = Threads("decisions", AT_ONCE)
        try:
            self._producer = confirming(brokers, timeout_s, max_request_size=MAX_DERIVED_BYTES)
        except KafkaError as error:
            raise Retry(answer(cause(error, brokers), f"Kafka at {brokers}").sentence) from None

    async def publish(self, decision: Decision) -> None:
        """Returns when the brokers have stored the decision.

        Raises `Retry` when they do not confirm it in time, and `Reject` when it is too large for the topic.
        """
        await self._threads.run(self._send, decision)

    async def close(self) -> None:
        """Sends what waits, for as long as a decision may take. Raises nothing: who sent a decision knows its fate."""
        with contextlib.suppress(KafkaError):
            await self._threads.run(self._producer.close, timeout=self._timeout_s)

    def _send(self, decision: Decision) -> None:
        key, value = decision.task.tweet.id.encode(), decision.model_dump_json().encode()
        try:
            sent = self._producer.send(self._topic, key=key, value=value, headers=HEADERS)
            sent.get(timeout=self._timeout_s)
        except (MessageSizeTooLargeError, RecordListTooLargeError):
            post, size = decision.task.tweet.id, f"{len(value):,}"
            raise Reject(
                f"the decision on post {post} has {size} bytes, more than topic {self._topic!r} takes: ask an "
                f"administrator for `max.message.bytes` up to {MAX_DERIVED_BYTES:,}, or leave the post to somebody else"
            ) from None
        except UnknownTopicOrPartitionError as error:
            raise Retry(f"topic {self._topic!r} refuses the decision ({error}): see `mner topics`") from None
        except KafkaError as error:
            told = answer(error, f"Kafka at {self._brokers}", self._topic).sentence
            raise Retry(f"the decision is not confirmed: {told}") from None
