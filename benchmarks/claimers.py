"""Many reviewers settle one queue, and some vanish while they hold a task: `python -m benchmarks.claimers`.

Starts a Redis of its own. The clock of the queue is simulated, so a lease of a minute takes no minute. Checks that
every task was decided once. `tests/review/test_claimers.py` runs a smaller one.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import main
from benchmarks.run import Wrong
from core.events import Decision, Mention, Question, Reason, ReviewTask, Tweet
from local.stack import Stack
from review.session import Session
from review.work import Work
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Counts, LeaseLost

LEASE_S = 60.0
STEP_MS = 100
"""How far the clock moves with each claim. Far less than a lease passes while 50 claimers publish a decision."""
MOST_WAITS = 1000
"""So many times in a row all may wait for the end of leases. Then the rest of the tasks is lost."""


@dataclass
class Outcome:
    """What became of the tasks."""

    decisions: list[Decision] = field(default_factory=list)
    vanished: int = 0  # leases whose holder vanished
    refused: int = 0  # holders who came back after their lease, and whose task somebody else had taken
    late: int = 0  # those who came back, and could still settle their task
    counts: Counts = field(default_factory=lambda: Counts(0, 0, 0))

    def problems(self, tasks: int) -> list[str]:
        """Returns one sentence for each rule that was broken."""
        times = Counter(decision.task.tweet.id for decision in self.decisions)
        twice, lost = sum(count > 1 for count in times.values()), tasks - len(times)
        found = [f"{twice} tasks were decided twice"] * bool(twice) + [f"{lost} tasks were lost"] * bool(lost)
        left = self.counts != Counts(open=0, leased=0, decided=tasks)
        return found + [f"the queue is not settled: {self.counts}"] * left


class Crowd:
    """Claimers at one queue. Of each hundred leases, `vanish_percent` lose their holder, who comes back too late."""

    def __init__(self, address: str, prefix: str, claimers: int, vanish_percent: float, seed: int = 0) -> None:
        self.outcome = Outcome()
        self._now = 1_800_000_000_000
        self._dice = random.Random(seed)
        self._vanish = vanish_percent / 100
        self._queues = [ReviewQueue(address, prefix, self._clock) for _ in range(claimers)]
        self._gone: list[tuple[int, Session, Work]] = []
        self._busy = self._waits = 0

    async def publish(self, decision: Decision) -> None:
        """Stands for the topic."""
        await asyncio.sleep(0)  # others act between a decision and its completion
        self.outcome.decisions.append(decision)
        self._waits = 0

    async def run(self, tasks: int) -> Outcome:
        """Settles as many tasks."""
        for start in range(0, tasks, 1000):
            await self._queues[0].add([_task(number) for number in range(start, min(start + 1000, tasks))])
        await asyncio.gather(*(self._claim_all(queue, tasks) for queue in self._queues))
        while self._gone:
            await self._come_back()
        self.outcome.counts = await self._queues[0].counts()
        await asyncio.gather(*(queue.close() for queue in self._queues))
        return self.outcome

    async def _claim_all(self, queue: ReviewQueue, tasks: int) -> None:
        session = self._session(queue)
        while len(self.outcome.decisions) < tasks and self._waits < MOST_WAITS:
            self._busy += 1
            self._now += STEP_MS
            work = await session.next()
            if work is None:
                self._busy -= 1
                await self._wait()
                continue
            if self._dice.random() < self._vanish:
                self.outcome.vanished += 1
                self._gone.append((self._now + int(LEASE_S * 1000), session, work))
                session = self._session(queue)
            else:
                await session.settle(work.accept())
            self._busy -= 1
            if self._gone and self._gone[0][0] < self._now and self._dice.random() < 0.5:
                await self._come_back()

    async def _wait(self) -> None:
        """Waits for the others. If all wait, only leases are left, and the clock passes their end."""
        if not self._busy:
            self._waits += 1
            self._now += int(LEASE_S * 1000) + 1
        await asyncio.sleep(0)

    async def _come_back(self) -> None:
        """Somebody who vanished tries to settle the task after all."""
        _, session, work = self._gone.pop(0)
        self._busy += 1
        try:
            await session.settle(work.accept())
            self.outcome.late += 1
        except LeaseLost:
            self.outcome.refused += 1
        self._busy -= 1

    def _session(self, queue: ReviewQueue) -> Session:
        return Session(queue, self, f"r{self._dice.randrange(10**6)}", LEASE_S, self._clock)

    def _clock(self) -> int:
        return self._now


def _task(number: int) -> ReviewTask:
    text = f"Name{number % 97:02} was seen"
    asked = Mention(
        start=0, end=6, text=text[:6], type="PER", probability=(number % 89) / 100, aleatoric=0.1, epistemic=0.1
    )
    return ReviewTask(
        id=f"{number}:0:m:1",
        tweet=Tweet(id=str(number), text=text),
        questions=(Question(mention=asked, reasons=(Reason(kind="ambiguous", sentence="it is"),)),),
        model="m",
        model_version=1,
        threshold=0.9,
        uncertainty=1 - asked.probability,
    )


def claimers(
    tasks: Annotated[int, typer.Option(min=1, help="Number of tasks.")] = 10_000,
    claimers: Annotated[int, typer.Option(min=1, help="Number of reviewers.")] = 50,
    vanish_percent: Annotated[float, typer.Option(min=0, max=99, help="Share of leases whose holder vanishes.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of who vanishes when.")] = 0,
) -> None:
    """Let reviewers settle a queue while some of them vanish, and check that each task was decided once."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), ["redis"]) as stack:
        crowd = Crowd(stack.addresses["redis"], "claimers:", claimers, vanish_percent, seed)
        began = time.perf_counter()
        outcome = asyncio.run(crowd.run(tasks))
        took = time.perf_counter() - began
    print(
        f"{tasks} tasks, {claimers} claimers, {outcome.vanished} leases lost their holder: "
        f"{outcome.refused} came back and were refused, {outcome.late} could still settle; "
        f"{len(outcome.decisions)} decisions; {outcome.counts}; {took:.1f} s"
    )
    if problems := outcome.problems(tasks):
        raise Wrong("; ".join(problems))


if __name__ == "__main__":
    main(claimers)
