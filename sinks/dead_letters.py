"""Reads the dead-letter topic: events that could not be processed, each with the reason and its origin."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka import TopicPartition
from pydantic import ValidationError

from core.errors import Retry
from core.events import DeadLetter, explain
from core.text import plain, shorten
from sinks.connect.kafka import Brokers
from sinks.connect.reading import reading

#: Seconds after which a silent broker counts as unreachable, while the topic holds unread letters.
IDLE_S = 10.0

MOST_REASONS = 500
"""Reasons that are counted apart. Letters with further ones count together."""

LONGEST_READ, LONGEST_REASON = 1000, 120
"""Longest part of a reason, in characters, that is looked at; and that is returned."""

VARIABLE = (
    (re.compile(r" ?\(got .*?\)(?=; |$)"), ""),  # the value that a field had
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s,;)]+", re.IGNORECASE), "…"),  # addresses
    (re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|`[^`]*`|\[[^\]]*\]"), "…"),  # quoted values, and ids in brackets
    (re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[^\W\d])[\w-]{8,}\b"), "…"),  # ids with letters and digits
    (re.compile(r"\d+(?:[.,:_-]?\d+)*"), "N"),
)
"""Parts of a reason that differ from letter to letter, and what stands for each."""


@dataclass(frozen=True)
class Letter:
    """A dead letter, the time it was written, and its place in the dead-letter topic."""

    at: datetime
    partition: int
    offset: int
    letter: DeadLetter


@dataclass(frozen=True, order=True)
class Fault:
    """What went wrong."""

    stage: str
    reason: str  # as `stable` gives it


@dataclass(frozen=True)
class Tally:
    """Dead letters by what went wrong, the most frequent first."""

    counts: dict[Fault, int]
    others: int = 0  # letters with further reasons
    is_whole: bool = True  # False if the time was over before all were counted


def read(brokers: Brokers, topic: str, newest: int | None = None) -> list[Letter]:
    """Returns the dead letters in the topic, oldest first, or only the last `newest` of them.

    Returns none if the topic does not exist. Raises `Retry` when the brokers do not answer for now. Raises `Stop` when
    they refuse us, or when a library for the topic's compression is missing.
    """
    letters = sorted(_letters(brokers, topic, newest), key=lambda letter: (letter.at, letter.partition, letter.offset))
    return letters if newest is None else letters[len(letters) - min(newest, len(letters)) :]


def count(brokers: Brokers, topic: str, newest: int, limit_s: float = 5.0) -> Tally:
    """Counts the last `newest` dead letters of each partition by what went wrong. Raises as `read` does.

    Keeps no event in memory, and no more than `MOST_REASONS` reasons. Ends after `limit_s` seconds, since one letter
    may be large.
    """
    until, is_whole, others = time.monotonic() + limit_s, True, 0
    counts: Counter[Fault] = Counter()
    with closing(_letters(brokers, topic, newest)) as letters:
        for each in letters:
            fault = Fault(each.letter.stage, stable(each.letter.reason))
            if fault in counts or len(counts) < MOST_REASONS:
                counts[fault] += 1
            else:
                others += 1
            if time.monotonic() >= until:
                is_whole = False
                break
    return Tally(dict(counts.most_common()), others, is_whole)


def stable(reason: str) -> str:
    """Returns the part of a reason that letters with the same fault share: without values, ids, numbers and addresses.

    `text: Field required`, and `media.3.url: ... (got 'x')` as `media.N.url: ...`.
    """
    text = plain(reason, LONGEST_READ)
    for pattern, place in VARIABLE:
        text = pattern.sub(place, text)
    return shorten(" ".join(text.split()), LONGEST_REASON) or "no reason"


def _letters(brokers: Brokers, topic: str, newest: int | None) -> Generator[Letter]:
    """Yields the last `newest` letters of each partition, or all, in order of arrival. Raises as `read` does."""
    with reading(brokers, topic, IDLE_S) as consumer:
        yield from _until(consumer, _seek(consumer, topic, newest))


def _seek(consumer: Any, topic: str, newest: int | None) -> dict[Any, int]:
    """Seeks each partition to the first record to read. Returns the end offsets of partitions with records to read."""
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    for partition in partitions:
        first = starts[partition] if newest is None else max(starts[partition], ends[partition] - newest)
        consumer.seek(partition, first)
    return {partition: end for partition, end in ends.items() if end > consumer.position(partition)}


def _until(consumer: Any, ends: dict[Any, int]) -> Iterator[Letter]:
    """Yields the letters before the offsets `ends`, in order of arrival."""
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        fetched = consumer.poll(timeout_ms=int(IDLE_S * 1000))
        if not fetched:
            raise Retry(f"Kafka sent no dead letter for {IDLE_S:g} s, but the topic holds more")
        for partition, records in fetched.items():
            for record in records:
                if record.offset < ends.get(partition, 0) and record.value is not None:
                    yield _letter(record)


def _letter(record: Any) -> Letter:
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    try:
        letter = DeadLetter.model_validate_json(record.value)
    except ValidationError as error:  # written by another program; show it anyway
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            stage="dead letters",
            error="ValidationError",
            reason=f"this is not a dead letter: {explain(error)}",
            value=record.value.decode(errors="replace"),
        )
    return Letter(at, record.partition, record.offset, letter)
