"""Feeding a file of tweet events, one JSON a line, into the tweets topic, as it stands: what is broken in it is for
the extract agent to refuse, with its reason, not for the feed to swallow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from streams.errors import UserError
from streams.producer import HEADERS
from streams.topics import MAX_MESSAGE_BYTES

ACK_S = 60.0


def key_of(line: bytes) -> bytes | None:
    """The tweet's id, so that all events of one tweet share a partition; none for what cannot be read."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    name = event.get("id") if isinstance(event, dict) else None
    return str(name).encode() if isinstance(name, str | int) else None


def feed(
    lines: Iterable[bytes],
    brokers: str,
    topic: str,
    *,
    rate: float | None = None,
    on_fed: Callable[[int], None] = lambda _: None,
) -> int:
    """Send every non-blank line; returns how many. `rate`: events a second at most. Returns when the broker has all.

    Raises `UserError` when the broker is away or refuses a record.
    """
    try:
        producer = KafkaProducer(
            bootstrap_servers=brokers.split(","), acks="all", linger_ms=5, max_request_size=MAX_MESSAGE_BYTES
        )
    except KafkaError as error:
        raise UserError(f"no Kafka broker answers at {brokers} ({error}): is it up, is MNER_KAFKA right?") from None
    started = time.monotonic()
    sent: list[Any] = []
    try:
        for line in lines:
            if not line.strip():
                continue
            if rate is not None:
                time.sleep(max(0.0, started + len(sent) / rate - time.monotonic()))
            sent.append(producer.send(topic, value=line.rstrip(b"\r\n"), key=key_of(line), headers=HEADERS))
            on_fed(len(sent))
        for future in sent:
            future.get(timeout=ACK_S)
    except KafkaError as error:
        raise UserError(f"Kafka did not take event {len(sent) + 1} for topic {topic}: {error!r}") from None
    finally:
        producer.close(timeout=5)
    return len(sent)
