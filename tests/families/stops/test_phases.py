"""A stop in each phase of a worker's life ends in bounded time, whatever hangs, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from local.stack import Stack
from streams import topics
from streams.agents.names import AgentName
from streams.settings import Settings
from streams.worker_process import WorkerProcess
from tests.families.stops.conftest import address, descendants, process, runs
from tests.streams.account import counted, fed, tweets
from tests.waiting import until

DRAIN_S = 2.0
LIMIT_S = DRAIN_S + 25.0
"""The documented limit, and a little for a busy machine."""


@dataclass
class Scene:
    """What a phase needs to bring a worker into it."""

    servers: Stack
    settings: Settings
    workers: list[WorkerProcess]
    silent: socket.socket
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def worker(self, settings: Settings | None = None, **options: object) -> WorkerProcess:
        log = self.folder / f"worker-{len(self.workers)}.log"
        self.workers.append(process(settings or self.settings, log, **options))
        self.workers[-1].start()
        return self.workers[-1]

    async def said(self, worker: WorkerProcess, words: str) -> None:
        await until(lambda: words in worker.output() or worker.code is not None, 120)
        assert worker.code is None, worker.tail()

    async def connected(self, worker: WorkerProcess) -> None:
        """Waits until somebody has connected to the silent socket."""

        def accepted() -> bool:
            with contextlib.suppress(BlockingIOError):
                self.silent.accept()[0].detach()  # stays open
                return True
            return False

        await until(accepted, 60)

    @asynccontextmanager
    async def frozen(self, name: str) -> AsyncIterator[None]:
        pid = getattr(self.servers, name).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


Phase = Callable[[Scene], contextlib.AbstractAsyncContextManager[WorkerProcess]]


@asynccontextmanager
async def kafka_is_silent(scene: Scene) -> AsyncIterator[WorkerProcess]:
    worker = scene.worker(scene.settings.changed(kafka=address(scene.silent)))
    await scene.connected(worker)
    yield worker


@asynccontextmanager
async def kafka_is_absent(scene: Scene) -> AsyncIterator[WorkerProcess]:
    worker = scene.worker(scene.settings.changed(kafka="127.0.0.1:1"))
    await scene.said(worker, "no Kafka broker answers")
    yield worker


@asynccontextmanager
async def elasticsearch_is_silent(scene: Scene) -> AsyncIterator[WorkerProcess]:
    worker = scene.worker(scene.settings.changed(elasticsearch=f"http://{address(scene.silent)}"))
    await scene.connected(worker)
    yield worker


@asynccontextmanager
async def elasticsearch_is_absent(scene: Scene) -> AsyncIterator[WorkerProcess]:
    worker = scene.worker(scene.settings.changed(elasticsearch="http://127.0.0.1:1"))
    await scene.said(worker, "preparing the index")
    yield worker


@asynccontextmanager
async def the_model_loads(scene: Scene) -> AsyncIterator[WorkerProcess]:
    begun = scene.folder / "begun"
    scene.monkeypatch.setenv("SLOW_FILE", str(begun))
    worker = scene.worker(scene.settings.changed(model_factory="tests.families.stops.slow_model:load_slowly"))
    await until(begun.exists, 60)
    yield worker


@asynccontextmanager
async def kafka_hangs_at(scene: Scene, place: str, posts: int = 0) -> AsyncIterator[WorkerProcess]:
    """The broker freezes before this call. With `posts`, the call comes only with the stop."""
    pid = scene.servers.kafka.pid
    assert pid is not None
    scene.monkeypatch.setenv("FREEZE_AT", place)
    scene.monkeypatch.setenv("FREEZE_PID", str(pid))
    worker = scene.worker(module="tests.families.stops.hanging_worker")
    try:
        await scene.said(worker, "worker ready" if posts else f"frozen at {place}")
        if posts:
            await asyncio.to_thread(fed, scene.settings, tweets(range(posts)))
        while posts and await counted(scene.settings) < posts:
            await asyncio.sleep(0.1)
        yield worker
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def kafka_waits_for_a_frozen_member(scene: Scene) -> AsyncIterator[WorkerProcess]:
    settings = scene.settings.changed(session_timeout_s=60.0)
    first = scene.worker(settings)
    await scene.said(first, "worker ready")
    await asyncio.to_thread(fed, settings, tweets(range(5)))
    while await counted(settings) < 5:
        await asyncio.sleep(0.1)
    os.kill(first.pid, signal.SIGSTOP)
    worker = scene.worker(settings)
    await until(lambda: state(settings) == "PreparingRebalance", 60)
    yield worker


@asynccontextmanager
async def a_batch_hangs(scene: Scene) -> AsyncIterator[WorkerProcess]:
    begun = scene.folder / "begun"
    scene.monkeypatch.setenv("SLOW_FILE", str(begun))
    settings = scene.settings.changed(model_factory="tests.families.stops.slow_model:load", model_timeout_s=3600.0)
    worker = scene.worker(settings)
    await asyncio.to_thread(fed, settings, tweets(range(50)))
    await until(begun.exists, 60)
    yield worker


@asynccontextmanager
async def kafka_hangs_under_load(scene: Scene) -> AsyncIterator[WorkerProcess]:
    worker = scene.worker()
    await scene.said(worker, "worker ready")
    await asyncio.to_thread(fed, scene.settings, tweets(range(3000)))
    while await counted(scene.settings) < 100:
        await asyncio.sleep(0.1)
    async with scene.frozen("kafka"):
        yield worker


@asynccontextmanager
async def a_sink_hangs(scene: Scene, name: str) -> AsyncIterator[WorkerProcess]:
    worker = scene.worker()
    await scene.said(worker, "worker ready")
    async with scene.frozen(name):
        await asyncio.to_thread(fed, scene.settings, tweets(range(50)))
        await scene.said(worker, "deliver: deliver")
        yield worker


@asynccontextmanager
async def idle(scene: Scene) -> AsyncIterator[WorkerProcess]:
    worker = scene.worker()
    await scene.said(worker, "worker ready")
    yield worker


def state(settings: Settings) -> str:
    client: KafkaAdminClient = topics.admin(str(settings.kafka))
    try:
        group = settings.name(AgentName.EXTRACT.group)
        return str(client.describe_groups([group])[group]["group_state"])
    finally:
        client.close()


PHASES: dict[str, Phase] = {
    "Kafka is silent": kafka_is_silent,
    "Kafka is absent": kafka_is_absent,
    "Elasticsearch is silent": elasticsearch_is_silent,
    "Elasticsearch is absent": elasticsearch_is_absent,
    "the model loads": the_model_loads,
    "Kafka hangs when Faust starts": lambda scene: kafka_hangs_at(scene, "faust:App.start"),
    "Kafka hangs when the consumer starts": lambda scene: kafka_hangs_at(scene, "aiokafka:AIOKafkaConsumer.start"),
    "Kafka hangs at the first offsets": lambda scene: kafka_hangs_at(scene, "streams.consumer.thread:Thread.place"),
    "Kafka waits for a frozen member": kafka_waits_for_a_frozen_member,
    "idle": idle,
    "a batch hangs": a_batch_hangs,
    "Kafka hangs under load": kafka_hangs_under_load,
    "Redis hangs": lambda scene: a_sink_hangs(scene, "redis"),
    "Elasticsearch hangs": lambda scene: a_sink_hangs(scene, "elasticsearch"),
    "Kafka hangs when Faust stops": lambda scene: kafka_hangs_at(scene, "faust:App.stop", 50),
    "Kafka hangs when the consumer stops": lambda scene: kafka_hangs_at(scene, "aiokafka:AIOKafkaConsumer.stop", 50),
}
Stop = Callable[[WorkerProcess], Awaitable[int]]


@pytest.fixture
def scene(
    own_servers: Stack,
    stubbed: Settings,
    workers: list[WorkerProcess],
    silent: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    return Scene(own_servers, stubbed.changed(drain_s=DRAIN_S), workers, silent, tmp_path, monkeypatch)


async def ended(worker: WorkerProcess, within_s: float = LIMIT_S) -> int | None:
    with contextlib.suppress(AssertionError):
        await until(lambda: worker.code is not None, within_s)
    return worker.code


def assert_nothing_is_left(children: set[int], temporary: Path) -> None:
    left = [subprocess.getoutput(f"ps -o args= -p {pid}") for pid in children if runs(pid)]
    assert not left, f"child processes outlived their worker: {left}"
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("phase", [pytest.param(phase, id=name) for name, phase in PHASES.items()])
async def test_a_stop_ends_in_bounded_time(scene: Scene, temporary: Path, phase: Phase) -> None:
    async with phase(scene) as worker:
        children = descendants(worker.pid)
        os.kill(worker.pid, signal.SIGTERM)
        assert await ended(worker) == 0, worker.tail()
    await until(lambda: not any(map(runs, children)), 5)
    assert "Traceback" not in worker.output()
    assert " 0 events left" not in worker.output()
    for other in scene.workers:
        if other is not worker:
            other.kill()
    assert_nothing_is_left(children, temporary)


@pytest.mark.parametrize("phase", [pytest.param(PHASES[name], id=name) for name in ("a batch hangs", "Redis hangs")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_a_drain_at_once(
    scene: Scene, temporary: Path, phase: Phase, number: signal.Signals
) -> None:
    scene.settings = scene.settings.changed(drain_s=3600.0)
    async with phase(scene) as worker:
        children = descendants(worker.pid)
        os.kill(worker.pid, number)
        await asyncio.sleep(1)  # a signal that comes sooner counts as the same
        assert worker.code is None
        os.kill(worker.pid, number)
        assert await ended(worker, 10) == 128 + number, worker.tail()
    assert "stopped at once, by a second signal" in worker.output()
    await until(lambda: not any(map(runs, children)), 5)
    assert_nothing_is_left(children, temporary)


async def test_two_signals_of_one_stop_count_as_one(scene: Scene) -> None:
    async with idle(scene) as worker:
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
        assert await ended(worker) == 0


@pytest.mark.parametrize("name", ["Kafka hangs when the consumer starts", "a batch hangs"])
async def test_the_end_of_the_owner_is_a_stop_too(scene: Scene, temporary: Path, name: str) -> None:
    async with PHASES[name](scene) as worker:
        children = descendants(worker.pid)
        worker.disown()
        assert await ended(worker) == 0
    await until(lambda: not any(map(runs, children)), 5)
    assert_nothing_is_left(children, temporary)


async def test_a_worker_whose_event_loop_is_blocked_ends_too(scene: Scene, temporary: Path) -> None:
    scene.monkeypatch.setenv("FAULTY_STAGE", "tokenise")
    scene.monkeypatch.setenv("FAULTY_HOW", "blocks")
    worker = scene.worker(module="tests.streams.faulty_worker")
    await scene.said(worker, "worker ready")
    await asyncio.to_thread(fed, scene.settings, tweets(range(100)))
    await scene.said(worker, "the planted fault")
    children = descendants(worker.pid)
    os.kill(worker.pid, signal.SIGTERM)
    assert await ended(worker) == 3, worker.tail()
    assert "the worker did not stop within" in worker.output()
    await until(lambda: not any(map(runs, children)), 5)
    assert_nothing_is_left(children, temporary)


async def test_a_killed_worker_leaves_no_folder_and_no_process(scene: Scene, temporary: Path) -> None:
    async with idle(scene) as worker:
        children = descendants(worker.pid)
        worker.kill()
    await until(lambda: not any(map(runs, children)), 10)
    assert_nothing_is_left(children, temporary)
