"""A feed without Kafka: the runner, with topics in memory and a clock that only its waits move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streams.feeds import runner
from streams.feeds.orders import Target

TARGET = Target("", "tweets", "tombstones", "tweets.dead", "feeds.gaps")


class Topics:
    """Takes the place of the runner's `Sender`. Keeps the records, and acknowledges each at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: dict[str, list[tuple[bytes | None, bytes]]] = {}
        self.on_send: Callable[[str], None] = lambda _: None  # gets the topic of each record
        self.limits: Mapping[str, int] = {}
        self.done: Any = None
        self.acknowledged = 0
        monkeypatch.setattr(runner, "Sender", self._opened)

    def _opened(self, _: object, limits: Mapping[str, int]) -> Topics:
        self.limits = limits
        return self

    def values(self, topic: str) -> list[bytes]:
        return [value for _, value in self.records.get(topic, ())]

    def send(self, topic: str, key: bytes | None, value: bytes, mark: Any = None) -> None:
        self.records.setdefault(topic, []).append((key, value))
        self.acknowledged += 1
        self.done = mark or self.done
        self.on_send(topic)

    def mark(self, mark: Any) -> None:
        self.done = mark

    def prepare(self) -> None: ...

    def settle(self, *_: object, **__: object) -> None: ...

    def reap(self) -> None: ...

    def close(self) -> None: ...


class Clock:
    """Takes the place of the module `time`. `sleep` moves it, and takes no time."""

    def __init__(self) -> None:
        self.now = 1e9

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
