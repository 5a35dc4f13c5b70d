"""A worker: starts the agents, watches over them, drains them on a signal and returns an exit code.

A stop takes no longer than `limit_s`, whatever hangs. `work` leaves behind what hangs, so the process must end right
after it. docs/delivery.md lists the exit codes. Kafka delivers again whatever was not acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faust

from core.errors import Retry, UserError
from streams import topics
from streams.agents import decide, deliver, erase, extract
from streams.agents.names import AgentName
from streams.agents.reads import READS
from streams.agents.resources import Resources
from streams.app import faust_app
from streams.pipeline.intake import Intake
from streams.pipeline.pipeline import Pipeline
from streams.retention import Sweeper
from streams.retry import retry_forever
from streams.servers import Addresses
from streams.settings import Settings
from streams.stopping import Stopping, within
from streams.watchdog import Watchdog

log = logging.getLogger(__name__)

AGENTS: dict[AgentName, Callable[[Resources], Awaitable[Pipeline[Any]]]] = {
    AgentName.EXTRACT: extract.pipeline,
    AgentName.DELIVER: deliver.pipeline,
    AgentName.DECIDE: decide.pipeline,
    AgentName.ERASE: erase.pipeline,
}
"""Agent -> the function that builds its pipeline."""

WRITERS = {AgentName.DELIVER, AgentName.DECIDE, AgentName.ERASE}
"""Agents that write to the index."""

STOP_S = 15.0
"""Longest time, in seconds, that Faust may take to stop once nothing is in flight. The process ends in any case."""

CLOSE_S = 3.0
"""Longest time, in seconds, to end the stages, and then to close the clients and end the child processes."""

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
    closes. Raises `UserError` when topics are missing or a model cannot be loaded, and `Stop` when a server refuses.
    Waits while Kafka, Elasticsearch or Redis is unreachable.
    """
    stopping = Stopping(owned=owned, limit_s=limit_s(settings))
    resources = Resources(settings, addresses)
    try:
        starting = asyncio.create_task(_start(only, resources))
        if not await stopping.before(starting):
            log.warning("the worker was stopped before it was ready")
            starting.cancel()
            return 0
        return await _run(starting.result(), stopping, resources)
    finally:
        stopping.begin()
        await within(CLOSE_S, "closing the clients", resources.close())


def limit_s(settings: Settings) -> float:
    """Returns the longest time, in seconds, from the request to stop until the end of the process."""
    return settings.drain_s + STOP_S + 2 * CLOSE_S + 1.0


async def _reach_kafka(resources: Resources) -> None:
    """Waits until the brokers answer. Raises `UserError` when topics are missing."""
    kafka, planned = resources.addresses.kafka, topics.plan(resources.settings)

    async def look() -> list[str]:
        try:
            return await asyncio.to_thread(topics.missing, kafka, planned)
        except topics.Unreachable as error:
            raise Retry(str(error)) from None

    if missing := await retry_forever(look, what="waiting for Kafka", warn_at=1):
        raise UserError(f"topics are missing: {', '.join(missing)}; create them with `mner topics create`")
    await retry_forever(resources.open, what="waiting for Kafka", warn_at=1)


async def _start(names: Sequence[AgentName], resources: Resources) -> list[_Agent]:
    await _reach_kafka(resources)
    if WRITERS & set(names):
        index = await resources.index()
        await retry_forever(index.prepare, what="preparing the index")
        await retry_forever((await resources.subjects()).prepare, what="preparing the index of erased and hidden posts")
        await retry_forever((await resources.queue()).counts, what="reaching the review queue")
    agents = [await _prepare(name, resources) for name in names]
    await asyncio.gather(*(agent.app.start() for agent in agents))
    log.info("worker ready: %s", ", ".join(names))
    return agents


async def _run(agents: Sequence[_Agent], stopping: Stopping, resources: Resources) -> int:
    settings = resources.settings
    sweeping = await _sweeping(agents, resources)
    with Watchdog([agent.pipeline for agent in agents], settings.stall_s):
        code = await _watch(agents, stopping.requested)
    stopping.begin()
    sweeping.cancel()
    await _stop(agents, settings.drain_s)
    return code


async def _sweeping(agents: Sequence[_Agent], resources: Resources) -> asyncio.Future[None]:
    """Returns the task that sweeps index and queue, in a worker that erases."""
    if AgentName.ERASE not in {agent.name for agent in agents}:
        return asyncio.get_running_loop().create_future()
    sweeper = Sweeper(
        await resources.index(),
        await resources.queue(),
        await resources.producer(),
        resources.settings.name(topics.DECISIONS),
        resources.retention,
        resources.sources,
        (await resources.apply()).compare,
    )
    return asyncio.create_task(sweeper.keep_up())


async def _prepare(name: AgentName, resources: Resources) -> _Agent:
    pipeline = await AGENTS[name](resources)
    pipeline.start()
    intake = Intake()
    settings = resources.settings
    app = faust_app(
        name,
        topic=settings.name(READS[name]),
        group=settings.name(name.group),
        brokers=resources.addresses.kafka,
        session_timeout_s=settings.session_timeout_s,
        pipeline=pipeline,
        intake=intake,
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
    await asyncio.gather(*(agent.pipeline.drain(drain_s) for agent in agents))
    # before Faust stops: what is done after the last commit would be counted as done, and come again
    await within(CLOSE_S, "ending the stages", *(agent.pipeline.close() for agent in agents))
    for agent in agents:
        if left := agent.pipeline.open:
            log.warning("%s: %d events left in flight; Kafka delivers them again", agent.name, left)
    await within(STOP_S, "stopping Faust with the last commits", *(agent.app.stop() for agent in agents))
