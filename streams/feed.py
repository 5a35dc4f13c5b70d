"""Feeds events that a program has in memory, each a JSON object, into a topic: for the demo and the benchmarks.

The events are sent as they come. A broken one becomes a dead letter of the extract agent, with its reason. `mner feed`
uses `streams.feeds.runner`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from core.errors import UserError
from sinks.connect.kafka import Brokers
from streams.feeds.orders import LATE_S, FeedEnded, key_of
from streams.feeds.sending import Sender, TooLarge
from streams.topics import EVENT_BYTES


def feed(
    lines: Iterable[bytes],
    brokers: Brokers,
    topic: str,
    *,
    rate: float | None = None,
    on_fed: Callable[[int], None] = lambda _: None,
) -> int:
    """Sends every line that is not blank. Returns their number when the brokers have them all.

    `rate`: largest number of events per second. `on_fed` is called with the number of lines sent so far. Raises
    `UserError` when no broker answers, or when a line is too long. Raises `FeedEnded` when the brokers fail on the way.
    Both errors name the line to go on with.
    """
    sender = Sender(brokers, {topic: EVENT_BYTES})
    due = 0.0
    sent = number = 0
    sender.done = 0
    try:
        for number, line in enumerate(lines, start=1):
            value = line.rstrip(b"\r\n")
            if not value.strip():
                sender.mark(number)
                continue
            if rate is not None:
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - LATE_S) + 1 / rate
            sender.send(topic, key_of(value), value, number)
            sender.settle()
            sent += 1
            on_fed(sent)
        sender.settle(0, 0)
    except TooLarge as error:
        sender.settle(0, 0)
        raise _too_long(number, error.size, topic) from None
    except (MessageSizeTooLargeError, RecordListTooLargeError):
        raise _too_long(sender.done + 1, sender.open[0].size, topic) from None
    except KafkaError as error:
        sender.close()
        sender.reap()
        told = f"{sender.acknowledged} events are in topic {topic}; go on with line {sender.done + 1}"
        raise FeedEnded(f"{sender.sentence(error, topic)}; {told}") from None
    finally:
        sender.close()
    return sent


def _too_long(number: int, size: int, topic: str) -> UserError:
    """Returns the error for line `number`. The lines before it are acknowledged."""
    return UserError(
        f"line {number} has {size} bytes, more than topic {topic} allows. The lines before it are fed: continue with "
        f"line {number + 1}"
    )
