"""decisions ─► index and queue. A person's decision on a task wins over the model, also in a replay."""

from __future__ import annotations

from core.events import Decision
from sinks.document import from_decision, stamp_ms
from sinks.index import Index
from sinks.queue import ReviewQueue
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.agents.write import write_one
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage


async def pipeline(resources: Resources) -> Pipeline[Item[Decision]]:
    decide = Decide(await resources.index(), await resources.queue())
    return resources.pipeline(AgentName.DECIDE, [Decode(Decision, erasable=True), decide], Item[Decision])


class Decide(Stage[Item[Decision]]):
    """Applies one decision at a time, so that decisions on one post keep their order."""

    name = "decide"

    def __init__(self, index: Index, queue: ReviewQueue) -> None:
        self._index = index
        self._queue = queue

    async def process(self, item: Item[Decision]) -> None:
        decision = item.event
        await write_one(self._index, from_decision(decision))
        stamp = stamp_ms(decision.decided_at)
        if decision.kind == "settle":
            await self._queue.settle(decision.task, stamp)
        else:
            await self._queue.reopen(decision.task, stamp)
