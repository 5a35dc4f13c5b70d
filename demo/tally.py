"""The demo's counts while it runs. The demo reads topics and sinks itself and does not rely on the worker's numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer

from core.events import DeadLetter, Extraction
from sinks.connect.kafka import Brokers, client_options


@dataclass
class Tally:
    """The numbers of one run."""

    fed: int = 0
    indexed: int = 0
    queued: int = 0
    extractions: dict[str, Extraction] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)  # from the broker's timestamp of a post to its extraction
    first_at: float | None = None  # monotonic time of the first extraction, in seconds
    last_at: float | None = None  # monotonic time of the last extraction, in seconds

    @property
    def extracted(self) -> int:
        return len(self.extractions)

    @property
    def dead(self) -> int:
        return len(self.letters)

    @property
    def tweets_per_s(self) -> float:
        """Extractions per second, from the first to the last."""
        if self.first_at is None or self.last_at is None or self.last_at <= self.first_at:
            return 0.0
        return (self.extracted - 1) / (self.last_at - self.first_at)

    def latency_ms(self, quantile: float) -> float:
        ranked = sorted(self.latencies_ms)
        return ranked[min(len(ranked) - 1, int(quantile * len(ranked)))] if ranked else 0.0


class TopicReader:
    """A context manager whose thread reads extractions and dead letters into a tally."""

    def __init__(self, brokers: Brokers, extractions: str, dead: str, tally: Tally) -> None:
        self._extractions = extractions
        self._tally = tally
        self._stop = threading.Event()
        self._consumer = KafkaConsumer(
            extractions, dead, **client_options(brokers), auto_offset_reset="earliest", group_id=None
        )
        self._thread = threading.Thread(target=self._read, name="demo-reader", daemon=True)

    def __enter__(self) -> TopicReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        self._consumer.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            for records in self._consumer.poll(timeout_ms=100).values():
                self._take(records)

    def _take(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.topic != self._extractions:
                self._tally.letters.append(DeadLetter.model_validate_json(record.value))
                continue
            extraction = Extraction.model_validate_json(record.value)
            now = time.monotonic()
            self._tally.first_at = self._tally.first_at or now
            self._tally.last_at = now
            self._tally.extractions[extraction.tweet.id] = extraction
            self._tally.latencies_ms.append(extraction.timings_ms["since_fed"])
