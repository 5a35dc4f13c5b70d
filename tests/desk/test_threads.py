"""A slow Kafka keeps no thread from anything else."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from core.threads import Threads
from desk.agreement.watch import AgreementWatch
from desk.overview.kafka_watch import KafkaWatch
from desk.services import LazyDecisionTopic
from sinks.table import Table
from streams.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def silent() -> Iterator[Any]:
    """A call that blocks until the test ends."""
    over = threading.Event()
    yield lambda *_: over.wait(60)
    over.set()


async def test_while_kafka_is_silent_other_calls_have_threads(
    settings: Settings, silent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    for place in ("overview.kafka_watch.KafkaWatch._read_flow", "overview.kafka_watch.KafkaWatch._count_dead"):
        monkeypatch.setattr(f"desk.{place}", silent)
    monkeypatch.setattr(AgreementWatch, "_read", silent)
    monkeypatch.setattr("desk.services.DecisionTopic", silent)
    monkeypatch.setattr(Table, "_start", silent)
    table = Table("127.0.0.1:9", "desk", TypeAdapter(int))
    topic: Any = LazyDecisionTopic("127.0.0.1:9", "decisions")
    waiting = [asyncio.create_task(table.start()), asyncio.create_task(topic.publish(None))]
    async with KafkaWatch("127.0.0.1:9", settings) as watch, AgreementWatch("127.0.0.1:9", "decisions") as votes:
        await asyncio.gather(watch.figures(), votes.state())
        async with asyncio.timeout(30):
            assert await asyncio.to_thread(lambda: "here") == "here"
        for task in waiting:
            task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_full_pool_blocks_no_other(silent: Any) -> None:
    full, free = Threads("full", 1), Threads("free", 1)
    waiting = [asyncio.create_task(full.run(silent)) for _ in range(3)]
    assert await free.run(lambda number: number + 1, number=1) == 2
    with pytest.raises(ZeroDivisionError):
        await free.run(lambda: 1 / 0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def test_no_part_of_the_desk_uses_the_threads_that_everything_shares() -> None:
    files = [*(ROOT / "desk").rglob("*.py"), *(ROOT / "review").rglob("*.py"), ROOT / "sinks" / "table.py"]
    found = [str(file) for file in files if re.search(r"asyncio\.to_thread|run_in_executor\(None", file.read_text())]
    assert found == []
