"""A worker: starts the agents, watches over them, drains them on a signal and ends with a code that tells the truth.

Exit codes: 0 stopped on request, 1 stopped by `Stop` or a fault, 3 ended by the
watchdog. Whatever was not acknowledged is delivered again by Kafka.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust

from core.errors import UserError
from streams import topics
from streams.agents import DECIDE, DELIVER, ERASE, EXTRACT, decide, deliver, erase, extract
from streams.agents.resources import Resources
from streams.app import faust_app
from streams.pipeline.intake import Intake
from streams.pipeline.pipeline import Pipeline
from streams.retry import patiently
from streams.servers import Addresses
from streams.settings import Settings

log = logging.getLogger(__name__)

AGENTS: dict[str, tuple[str, Callable[[Resources], Awaitable[Pipeline[Any]]]]] = {
    EXTRACT: (topics.TWEETS, extract.pipeline),
    DELIVER: (topics.EXTRACTIONS, deliver.pipeline),
    DECIDE: (topics.DECISIONS, decide.pipeline),
    ERASE: (topics.TOMBSTONES, erase.pipeline),
}
STUCK = 3
STOP_S = 15.0
"""Seconds that Faust gets to stop once nothing is in flight; it can hang, and then the process ends all the same."""


@dataclass
class _Agent:
    name: str
    pipeline: Pipeline[Any]
    intake: Intake
    app: faust.App


async def work(
    settings: Settings, addresses: Addresses, only: Sequence[str] = tuple(AGENTS), *, owned: bool = False
) -> int:
    """Run the agents named in `only` until a signal or a fault. Returns the exit code.

    `owned`: standard input is a pipe from the process that this worker belongs to; it stops when the pipe closes.
    """
    absent = await asyncio.to_thread(topics.missing, addresses.kafka, settings)
    if absent:
        raise UserError(f"topics missing: {', '.join(absent)}; make them with `mner topics create`")
    stopping = _stop_requests(owned=owned)
    with tempfile.TemporaryDirectory(prefix="mner-worker-") as folder:
        async with Resources(settings, addresses) as resources:
            starting = asyncio.create_task(_start(only, resources, Path(folder)))
            await _first(starting, stopping)
            if not starting.done():
                log.warning("stopped before it was ready")
                starting.cancel()
                return 0
            return await _run(starting.result(), stopping, settings)


def _stop_requests(*, owned: bool) -> asyncio.Event:
    """Set by SIGTERM, by Ctrl-C and, when `owned`, by the end of standard input."""
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
    """Wait until the task is done or the event is set."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _start(names: Sequence[str], resources: Resources, folder: Path) -> list[_Agent]:
    if {DELIVER, DECIDE, ERASE} & set(names):
        index = await resources.index()
        await patiently(index.prepare, what="preparing the index", max_s=resources.settings.retry_max_s)
    agents = [await _prepare(name, resources, folder / name) for name in names]
    await asyncio.gather(*(agent.app.start() for agent in agents))
    log.info("worker ready: %s", ", ".join(names))
    return agents


async def _run(agents: Sequence[_Agent], stopping: asyncio.Event, settings: Settings) -> int:
    try:
        code = await _watch(agents, stopping, settings.stall_s)
        await _stop(agents, settings.drain_s)
        return code
    finally:
        for agent in agents:
            await agent.pipeline.close()


async def _prepare(name: str, resources: Resources, folder: Path) -> _Agent:
    topic, build = AGENTS[name]
    pipeline = await build(resources)
    pipeline.start()
    intake = Intake()
    settings = resources.settings
    app = faust_app(name, settings.name(topic), settings, resources.addresses.kafka, pipeline, intake, folder)
    app.finalize()
    return _Agent(name, pipeline, intake, app)


async def _watch(agents: Sequence[_Agent], stopping: asyncio.Event, stall_s: float) -> int:
    """Wait for a reason to end. A pipeline that holds events and does not move is stuck: the process ends."""
    while not stopping.is_set():
        for agent in agents:
            if agent.pipeline.halted.done():
                log.error("%s stopped: %s", agent.name, agent.pipeline.halted.exception())
                return 1
            if agent.app.should_stop or agent.app.crashed:
                log.error("%s: Faust stopped by itself: %r", agent.name, agent.app.crash_reason)
                return 1
            still_s = time.monotonic() - agent.pipeline.moved_at
            if agent.pipeline.open and still_s > stall_s:
                log.error("%s: %d events in flight and none done for %.0f s", agent.name, agent.pipeline.open, still_s)
                faulthandler.dump_traceback(file=sys.stderr)
                os._exit(STUCK)
        try:
            await asyncio.wait_for(stopping.wait(), timeout=0.2)
        except TimeoutError:
            continue
    return 0


async def _stop(agents: Sequence[_Agent], drain_s: float) -> None:
    """Take no more, finish what is in flight, commit, leave the group."""
    for agent in agents:
        agent.intake.shut()
    drained = await asyncio.gather(*(agent.pipeline.drain(drain_s) for agent in agents))
    for agent, empty in zip(agents, drained, strict=True):
        if not empty:
            log.warning("%s: %d events left in flight; Kafka delivers them again", agent.name, agent.pipeline.open)
    stops = [asyncio.create_task(agent.app.stop()) for agent in agents]
    _, hanging = await asyncio.wait(stops, timeout=STOP_S)
    if hanging:
        log.warning("Faust did not stop within %.0f s; ending without it", STOP_S)
