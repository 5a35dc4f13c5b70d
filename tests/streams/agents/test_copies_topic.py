"""Compaction keeps the last decision on each post, so the topic must end with the one that holds, whatever overlaps.

A person publishes a decision first and tells the queue then. The workers of several partitions read and send meanwhile.
A test chooses which of them makes its next call.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.events import Decision
from local.stack import Stack
from sinks.index.document import stamp_ms
from tests.conftest import settings_for
from tests.streams.agents.copying import House, decision, grouping, task
from tests.waiting import turns


class Deployment(House):
    """One partition a post, a worker for each, and people. `chance` chooses who goes on."""

    def __init__(self, queue: Any, chance: Any) -> None:
        super().__init__(queue)
        self.log: defaultdict[str, list[Decision]] = defaultdict(list)
        self._chance = chance
        self._waiting: list[asyncio.Future[asyncio.Event]] = []
        self._read: defaultdict[str, int] = defaultdict(int)
        self._works: dict[str, asyncio.Task[None]] = {}
        for owner, name in ((queue, "_call"), (queue.copies, "_call"), (queue._script, "_piped")):
            setattr(owner, name, self._in_turn(getattr(owner, name)))

    def _in_turn(self, call: Any) -> Any:
        async def wait_and_call(*args: Any) -> Any:
            async with self._turn():
                return await call(*args)

        return wait_and_call

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        opened: asyncio.Future[asyncio.Event] = asyncio.get_running_loop().create_future()
        self._waiting.append(opened)
        done = await opened
        try:
            yield
        finally:
            done.set()

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        assert value is not None
        async with self._turn():
            self.log[key.decode()].append(Decision.model_validate_json(value))

    async def _decide(self, name: str) -> None:
        """The worker of a partition takes the next record."""
        await self.apply(self.log[name][self._read[name]])
        self._read[name] += 1

    async def _say(self, steps: Iterable[Decision]) -> None:
        """A person decides on one post, several times."""
        for step in steps:
            await self.send("decisions", step.task.tweet.id.encode(), step.model_dump_json().encode())
            if step.kind == "settle":
                await self.queue.settle(step.task, stamp_ms(step.decided_at))
            else:
                await self.queue.reopen(step.task, stamp_ms(step.decided_at))

    async def run(self, *people: Iterable[Decision]) -> None:
        """Returns when everybody has said everything, and the workers have read all."""
        self._works |= {f"person {number}": asyncio.create_task(self._say(says)) for number, says in enumerate(people)}
        while True:
            await turns(20)
            for name in [name for name, work in self._works.items() if work.done()]:
                self._works.pop(name).result()
            idle = [name for name in sorted(self.log) if name not in self._works]
            unread = [name for name in idle if self._read[name] < len(self.log[name])]
            if not (choices := [*range(len(self._waiting)), *unread]):
                return
            chosen = self._chance.choice(choices)
            if isinstance(chosen, str):
                self._works[chosen] = asyncio.create_task(self._decide(chosen))
            else:
                done = asyncio.Event()
                self._waiting.pop(chosen).set_result(done)
                await done.wait()

    async def alone(self, call: Any) -> Any:
        """Makes a call of this test while nobody else works."""
        work = asyncio.ensure_future(call)
        while not work.done():
            await turns(20)
            for opened in self._waiting:
                done = asyncio.Event()
                opened.set_result(done)
                await done.wait()
            self._waiting.clear()
        return work.result()


@asynccontextmanager
async def deployment(servers: Stack, home: Path, chance: Any) -> AsyncIterator[Deployment]:
    queue = grouping(settings_for(servers.addresses, home))
    try:
        yield Deployment(queue, chance)
    finally:
        await queue.close()


async def end(house: Deployment) -> tuple[object, ...]:
    return await house.alone(house.queue.counts()), house.types()


SAID = {
    "a": (decision(task("a"), 5), decision(task("a"), 6, "retract"), decision(task("a"), 10)),
    "b": (decision(task("b"), 7), decision(task("b"), 8, "retract"), decision(task("b"), 9)),
}


@pytest.mark.parametrize("seed", [9, 41, 63, 83, *range(100, 106)])
async def test_the_compacted_topic_ends_as_the_stores_do(servers: Stack, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    first, second = chance.randint(0, 3), chance.randint(0, 3)
    async with deployment(servers, tmp_path, chance) as house:
        await house.alone(house.deliver(*map(task, "abc")))
        await house.run(SAID["a"][:first], SAID["b"][:second])
        live = await end(house)
        for name, records in house.log.items():
            stamps = [stamp_ms(each.decided_at) for each in records]
            assert stamps[-1] == max(stamps), (name, stamps)
        compacted = {name: [records[-1]] for name, records in house.log.items()}
    async with deployment(servers, tmp_path, chance) as house:
        await house.alone(house.deliver(*map(task, "abc")))
        house.log.update(compacted)
        await house.run()
        assert await end(house) == live
