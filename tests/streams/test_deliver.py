"""What deliver asks the queue when a batch holds one tweet twice. Sinks are played here; test_replay has real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sinks.document import Document
from sinks.index import Outcome
from streams.agents.deliver import Deliver
from streams.events import Extraction, Mention, ReviewTask, Tweet
from streams.pipeline.item import Item, Origin


class FirstWins:
    """An index that takes the first write of a version, and a queue that notes what it is given."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.tasks: list[ReviewTask] = []

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        outcomes = []
        for document in documents:
            stale = document.id in self.documents and self.documents[document.id].version >= document.version
            outcomes.append(Outcome("stale" if stale else "written"))
            if not stale:
                self.documents[document.id] = document
        return outcomes

    async def held(self, ids: Sequence[str]) -> dict[str, Document]:
        return {one: self.documents[one] for one in ids if one in self.documents}

    async def add(self, tasks: Sequence[ReviewTask]) -> int:
        self.tasks += tasks
        return len(tasks)

    async def withdraw(self, extractions: Sequence[Extraction]) -> int:
        return 0


def reading(last_digit: float) -> Item[Extraction]:
    def mention(start: int, end: int, probability: float) -> Mention:
        text = "Ada met Bob"[start:end]
        return Mention(
            start=start, end=end, text=text, type="PER", probability=probability, aleatoric=0.1, epistemic=0.1
        )

    mentions = (mention(0, 3, 0.99 + last_digit), mention(8, 11, 0.4))
    tweet = Tweet(id="1", text="Ada met Bob")
    extraction = Extraction(tweet=tweet, mentions=mentions, model="m", release=1, threshold=0.9)
    return Item(Origin("extractions", 0, 0, b"1", b"{}", 0.0), parsed=extraction)


async def test_of_two_readings_in_one_batch_that_differ_in_the_last_digit_the_first_keeps_its_task() -> None:
    sinks: Any = FirstWins()
    first, second = reading(0.0), reading(1e-6)
    await Deliver(sinks, sinks, None, size=10, wait_s=0.0).process([first, second])
    assert len(sinks.tasks) == 1
    assert sinks.tasks[0].confident[0].probability == 0.99
