"""Reads the topic of decisions in the background while somebody looks at the agreement.

Only the topic has all votes: the queue forgets those of settled tasks, and the index has none. The topic is compacted,
so the last record of a post says what counts. Of each post, only who voted and what they chose stays in memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Self

from kafka import TopicPartition
from pydantic import ValidationError

from core.ending import end
from core.errors import Retry, Stop, UserError, first_line
from core.events import Decision
from core.threads import Threads
from review.agreement import Agreement, Judged, judge, of_all, of_pairs
from sinks.connect.kafka import Brokers
from sinks.connect.reading import reading

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""Seconds between two readings."""
UNWATCHED_S = 120.0
"""Seconds without a look, after which the readings pause."""
FIRST_S = 0.5
"""Longest time, in seconds, that a page waits for the first reading."""
IDLE_S = 10.0
"""Seconds after which a silent broker counts as unreachable."""
MOST_POSTS = 10_000
"""Posts with votes that are kept, those that were read last."""
WEEKS = 8
MOST_PAIRS = 45
"""Pairs of people that are computed and shown, those with most posts: as many as ten people have."""
VOTES = b'"votes":'


@dataclass(frozen=True)
class Figures:
    """What the votes say."""

    everybody: Agreement
    pairs: tuple[Agreement, ...]  # those with the most posts first
    weeks: tuple[tuple[date, Agreement], ...]  # Monday of each week in which somebody voted, the earliest first


@dataclass(frozen=True)
class State:
    """The last figures, or why there are none. `read` and `total` are numbers of records, of a reading that goes on."""

    figures: Figures | None = None
    problem: str = ""
    read: int = 0
    total: int = 0


@dataclass
class _Votes:
    """What is known of the topic. Only one thread at a time reads."""

    places: dict[int, int] = field(default_factory=dict)  # partition -> next offset
    judged: dict[bytes, Judged] = field(default_factory=dict)  # by the record's key
    figures: Figures | None = None
    is_changed: bool = True


class AgreementWatch:
    """An async context manager. A server that is away costs no figures that were read before."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers, self._topic = brokers, topic
        self._votes, self._state = _Votes(), State()
        self._threads = Threads("agreement", 1)
        self._looked_at = time.monotonic()
        self._wanted, self._first = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        await end([self._task])

    async def state(self) -> State:
        """Returns the latest figures. Waits a moment for the first ones. Readings go on for a while after each look."""
        self._looked_at = time.monotonic()
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._first.wait()
        return self._state

    async def _read_on(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                self._state = State(await self._threads.run(self._read))
            except (Retry, Stop, UserError) as error:
                self._state = State(self._state.figures, first_line(error))
            except Exception:  # a fault of ours must not end the readings, whose last figures would stay on the page
                log.exception("the votes cannot be read")
                self._state = State(self._state.figures, "a fault of the desk; its log has the details")
            self._first.set()
            await asyncio.sleep(EVERY_S)
            if time.monotonic() - self._looked_at > UNWATCHED_S:
                self._wanted.clear()

    def _read(self) -> Figures:
        """Reads what came since the last reading. Returns figures over all. Raises `Retry` or `Stop`."""
        with reading(self._brokers, self._topic, IDLE_S) as consumer:
            self._read_to_the_end(consumer)
        votes = self._votes
        if votes.is_changed or votes.figures is None:
            votes.figures, votes.is_changed = figures(list(votes.judged.values())), False
        return votes.figures

    def _read_to_the_end(self, consumer: Any) -> None:
        partitions = [
            TopicPartition(self._topic, number) for number in consumer.partitions_for_topic(self._topic) or ()
        ]
        consumer.assign(partitions)
        starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        if any(self._votes.places.get(one.partition, 0) > ends[one] for one in partitions):
            self._votes = _Votes()  # the topic was made anew
        for one in partitions:
            consumer.seek(one, max(starts[one], self._votes.places.get(one.partition, 0)))
        first, total = sum(map(consumer.position, partitions)), sum(ends.values())
        while any(consumer.position(one) < ends[one] for one in partitions):
            fetched = consumer.poll(timeout_ms=int(IDLE_S * 1000))
            if not fetched:
                raise Retry(
                    f"Kafka at {self._brokers} sent no decision for {IDLE_S:g} s, but topic {self._topic} has more"
                )
            for one, records in fetched.items():
                for record in records:
                    self._take(record.key, record.value)
                self._votes.places[one.partition] = consumer.position(one)
            done = sum(map(consumer.position, partitions))
            self._state = State(self._state.figures, "", done - first, total - first)

    def _take(self, key: bytes, value: bytes | None) -> None:
        was_known = self._votes.judged.pop(key, None) is not None
        found = None
        if value is not None and VOTES in value:
            with suppress(ValidationError):  # another version wrote it
                found = judge(Decision.model_validate_json(value))
        if found is not None:
            self._votes.judged[key] = found
            if len(self._votes.judged) > MOST_POSTS:
                del self._votes.judged[next(iter(self._votes.judged))]
        self._votes.is_changed |= was_known or found is not None


def figures(judged: Sequence[Judged]) -> Figures:
    """Returns the agreement of all, of pairs of people, and of the last `WEEKS` weeks with votes."""
    weeks: dict[date, list[Judged]] = {}
    for post in judged:
        day = post.decided_at.date()
        weeks.setdefault(day - timedelta(days=day.weekday()), []).append(post)
    return Figures(
        of_all(judged),
        tuple(of_pairs(judged, MOST_PAIRS)),
        tuple((monday, of_all(weeks[monday])) for monday in sorted(weeks)[-WEEKS:]),
    )
