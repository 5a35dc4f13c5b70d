"""A worker: starts the agents, watches over them, drains them on a signal and returns an exit code.

Exit codes: 0 after a requested stop, 1 after `Stop` or a fault, 3 when the watchdog ended it. Kafka delivers again
whatever was not acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust

from core.errors import UserError
from streams import topics
from streams.agents import decide, deliver, erase, extract
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.app import faust_app
from streams.pipeline.intake import Intake
from streams.pipeline.pipeline import Pipeline
from streams.retry import retry_forever
from streams.servers import Addresses
from streams.settings import Settings
from streams.watchdog import Watchdog

log = logging.getLogger(__name__)

AGENTS: dict[AgentName, tuple[str, Callable[[Resources], Awaitable[Pipeline[Any]]]]] = {
    AgentName.EXTRACT: (topics.TWEETS, extract.pipeline),
    AgentName.DELIVER: (topics.EXTRACTIONS, deliver.pipeline),
    AgentName.DECIDE: (topics.DECISIONS, decide.pipeline),
    AgentName.ERASE: (topics.TOMBSTONES, erase.pipeline),
}
"""Each agent's topic, and the function that builds its pipeline."""

WRITERS = {AgentName.DELIVER, AgentName.DECIDE, AgentName.ERASE}
"""Agents that write to the index."""

STOP_S = 15.0
"""Longest time, in seconds, that Faust may take to stop once nothing is in flight. The process ends in any case."""

LOOK_S = 0.2
"""Seconds between two checks for an agent that has stopped by itself."""


@dataclass
class _Agent:
    name: AgentName
    pipeline: Pipeline[Any]
    intake: Intake
    app: faust.App


async def work(
    settings: Settings, addresses: Addresses, only: Sequence[AgentName] = tuple(AgentName), *, owned: bool = False
) -> int:
    """Runs the agents named in `only` until a signal or a fault. Returns the exit code.

    With `owned`, standard input is a pipe from the process that owns this worker. The worker stops when the pipe
    closes. Raises `UserError` when no broker answers, topics are missing or a
    model cannot be loaded, and `Stop` when Elasticsearch or Redis refuses. Waits while one of them is unreachable.
    """
    missing = await asyncio.to_thread(topics.missing, addresses.kafka, topics.plan(settings))
    if missing:
        raise UserError(f"topics missing: {', '.join(missing)}; make them with `mner topics create`")
    stopping = _stop_requests(owned=owned)
    with tempfile.TemporaryDirectory(prefix="mner-worker-") as folder:
        async with Resources(settings, addresses) as resources:
            starting = asyncio.create_task(_start(only, resources, Path(folder)))
            await _first(starting, stopping)
            if not starting.done():
                log.warning("the worker was stopped before it was ready")
                starting.cancel()
                return 0
            return await _run(starting.result(), stopping, settings)


def _stop_requests(*, owned: bool) -> asyncio.Event:
    """Returns an event that SIGTERM and Ctrl-C set and, when `owned`, the end of standard input."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def closed() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stopping.set()

    if owned:
        loop.add_reader(sys.stdin.fileno(), closed)
    return stopping


async def _first(task: asyncio.Task[Any], event: asyncio.Event) -> None:
    """Waits until the task is done or the event is set."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _start(names: Sequence[AgentName], resources: Resources, folder: Path) -> list[_Agent]:
    if WRITERS & set(names):
        index = await resources.index()
        await retry_forever(index.prepare, what="preparing the index")
        await retry_forever((await resources.queue()).counts, what="reaching the review queue")
    agents = [await _prepare(name, resources, folder / name) for name in names]
    await asyncio.gather(*(agent.app.start() for agent in agents))
    log.info("worker ready: %s", ", ".join(names))
    return agents


async def _run(agents: Sequence[_Agent], stopping: asyncio.Event, settings: Settings) -> int:
    try:
        with Watchdog([agent.pipeline for agent in agents], settings.stall_s):
            code = await _watch(agents, stopping)
        await _stop(agents, settings.drain_s)
        return code
    finally:
        for agent in agents:
            await agent.pipeline.close()


async def _prepare(name: AgentName, resources: Resources, folder: Path) -> _Agent:
    topic, build = AGENTS[name]
    pipeline = await build(resources)
    pipeline.start()
    intake = Intake()
    settings = resources.settings
    app = faust_app(
        name,
        topic=settings.name(topic),
        group=settings.name(name.group),
        brokers=resources.addresses.kafka,
        session_timeout_s=settings.session_timeout_s,
        pipeline=pipeline,
        intake=intake,
        folder=folder,
        logs=resources.logs,
    )
    app.finalize()
    return _Agent(name, pipeline, intake, app)


async def _watch(agents: Sequence[_Agent], stopping: asyncio.Event) -> int:
    """Waits for a reason to stop. Returns the exit code."""
    while not stopping.is_set():
        for agent in agents:
            if agent.pipeline.halted.done():
                log.error("%s stopped: %s", agent.name, agent.pipeline.halted.exception())
                return 1
            if agent.app.should_stop or agent.app.crashed:
                log.error("%s: Faust stopped by itself: %r", agent.name, agent.app.crash_reason)
                return 1
        try:
            await asyncio.wait_for(stopping.wait(), timeout=LOOK_S)
        except TimeoutError:
            continue
    return 0


async def _stop(agents: Sequence[_Agent], drain_s: float) -> None:
    """Takes no more events, finishes what is in flight, commits and leaves the consumer groups."""
    for agent in agents:
        agent.intake.shut()
    drained = await asyncio.gather(*(agent.pipeline.drain(drain_s) for agent in agents))
    for agent, empty in zip(agents, drained, strict=True):
        if not empty:
            log.warning("%s: %d events left in flight; Kafka delivers them again", agent.name, agent.pipeline.open)
    stops = [asyncio.create_task(agent.app.stop()) for agent in agents]
    _, hanging = await asyncio.wait(stops, timeout=STOP_S)
    if hanging:
        log.warning("Faust did not stop within %.0f s; the worker ends without it", STOP_S)
