"""What the consumer remembers when it is interrupted. Faust's part is a fake: a real group is interrupted by chance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from prometheus_client import REGISTRY

from streams.consumer.consumer import Consumer
from streams.consumer.placement import Log
from streams.consumer.watch import HELD_S, Watch

HELD, FREE = TP("tweets", 0), TP("tweets", 1)


class StubConsumer(Consumer):
    """Our part of the consumer alone. `should_stop`: whether the worker stops."""

    def __init__(self, *partitions: TP, should_stop: bool = True) -> None:
        self.progress: dict[TP, Any] = dict.fromkeys(partitions)
        self._watch = Watch("test")
        self._handing_on = False
        self._stopped = asyncio.Event()  # type: ignore[assignment]
        self.transport = SimpleNamespace(app=SimpleNamespace(should_stop=should_stop))  # type: ignore[assignment]

    async def _fetch(self) -> Any:
        return object()


@pytest.fixture(autouse=True)
def faust_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None: ...

    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", nothing)


def held_back() -> float | None:
    return REGISTRY.get_sample_value("mner_partitions_held_back", {"agent": "test"})


@pytest.mark.parametrize(
    ("revoked", "told"),
    [
        pytest.param([HELD, FREE], 0, id="all"),
        pytest.param([HELD, FREE, TP("tweets", 2)], 0, id="more than were read"),
        pytest.param([FREE], 1, id="another one"),
        pytest.param([], 1, id="none"),
    ],
)
async def test_a_worker_without_partitions_tells_of_no_transaction(revoked: list[TP], told: int) -> None:
    consumer = StubConsumer(HELD, FREE)
    for now in (0.0, HELD_S):
        consumer._watch.tell_held({HELD: Log(0, 9, stable=4), FREE: Log(0, 9, stable=9)}, now)
    assert held_back() == 1
    await consumer.on_partitions_revoked(set(revoked))
    assert held_back() == told


async def fails() -> None:
    raise RuntimeError("a fault")


async def is_cancelled() -> None:
    raise asyncio.CancelledError


async def is_stopped() -> None:
    raise StopAsyncIteration


@pytest.mark.parametrize("ends", [fails, is_cancelled, is_stopped])
async def test_what_is_interrupted_hands_nothing_on_any_more(
    monkeypatch: pytest.MonkeyPatch, ends: Callable[[], Awaitable[None]]
) -> None:
    """Otherwise the next look would take the pipeline for full, and a deaf partition for a busy one."""
    consumer = StubConsumer(HELD)
    seen: list[bool] = []

    async def hand_on(_: Any) -> None:
        seen.append(consumer._handing_on)
        await ends()

    monkeypatch.setattr(consumer, "_hand_on", hand_on)
    await asyncio.gather(consumer._drain_messages(SimpleNamespace(_stopped=asyncio.Event())), return_exceptions=True)
    assert seen == [True]
    assert not consumer._handing_on
