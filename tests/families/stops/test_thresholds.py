"""Deliveries of one extraction at changing thresholds, with failures between the two sinks.

Once a delivery is complete, each mention of the newest extraction is in exactly one place: the index or a question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import product

import pytest

from core.errors import Retry
from core.events import Extraction, Mention, ReviewTask
from sinks.index.document import Document, edit_of
from sinks.index.index import Index, Outcome
from sinks.queue.queue import ReviewQueue
from streams.agents.deliver import Deliver
from streams.pipeline.item import Item, Origin
from streams.settings import Settings
from tests.sinks.conftest import clock, index, queue
from tests.sinks.values import extraction, mention, tweet
from tests.streams.said import applying

__all__ = ["clock", "index", "queue"]  # the fixtures

SURE, LIKELY, DOUBTFUL = 0.99, 0.6, 0.3
MENTIONS = (
    mention("Paris Hilton", "PER", within="Paris Hilton was seen in #Paris 🗼 by Ana", probability=SURE),
    mention("#Paris", "LOC", probability=LIKELY),
    mention("Ana", "PER", probability=DOUBTFUL),
)
CANDIDATES = (mention("seen", "ORG", probability=0.4),)

CHECKPOINTS = None
"""The threshold of the extraction itself, which is 0.8."""


class Failing(ReviewQueue):
    """A queue to which the first tasks do not get."""

    fails = True

    async def add(
        self, tasks: Sequence[ReviewTask], unquestioned: Sequence[Extraction] = (), since_ms: int | None = None
    ) -> int:
        if self.fails:
            raise Retry("Redis is away")
        return await super().add(tasks, unquestioned, since_ms)


@pytest.fixture
async def failing(settings: Settings) -> AsyncIterator[Failing]:
    made = Failing(str(settings.redis), settings.name("review:"))
    yield made
    await made.close()


def item(mentions: tuple[Mention, ...] = MENTIONS, *, edit: int = 0, model_version: int = 1) -> Item[Extraction]:
    found = extraction(
        tweet("1", edit=edit),
        *mentions,
        candidates=CANDIDATES,
        candidate_threshold=0.1,
        model_version=model_version,
    )
    return Item(Origin("extractions", 0, 0, b"1", b"{}", 0.0), parsed=found)


async def places(index: Index, queue: ReviewQueue) -> Counter[str]:
    """Returns how often each mention is in the index or in a question."""
    (held,) = (await index.held(["1"])).values()
    tasks = [entry.task for entry in await queue.list()]
    indexed = [found["text"] for found in held.body["mentions"]]
    asked = [question.mention.text for task in tasks for question in task.questions if not question.is_candidate]
    for task in tasks:
        assert {mention.text for mention in task.confident} == set(indexed)
        assert all(mention.is_confident(task.threshold) for mention in task.confident)
        assert not any(q.mention.is_confident(task.threshold) for q in task.questions if not q.is_candidate)
    return Counter(indexed + asked)


ONCE = Counter(mention.text for mention in MENTIONS)
THRESHOLDS = [CHECKPOINTS, 0.1, DOUBTFUL, 0.5, LIKELY, 1.0]


@pytest.mark.parametrize(("first", "second"), [*product(THRESHOLDS, THRESHOLDS)])
@pytest.mark.parametrize("fails", [True, False], ids=["the task was not added", "the task was added"])
async def test_every_mention_is_in_one_place(
    index: Index,
    queue: ReviewQueue,
    failing: Failing,
    fails: bool,
    first: float | None,
    second: float | None,
) -> None:
    failing.fails = fails
    try:
        await Deliver(index, failing, applying(index, failing), first, 1.0).process([item()])
    except Retry:
        assert fails
    await Deliver(index, queue, applying(index, queue), second, 1.0).process([item()])
    assert await places(index, queue) == ONCE


class Busy(Index):
    """An index that is too busy for one document of its first write."""

    is_busy = True

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        if not self.is_busy:
            return await super().write(documents)
        self.is_busy = False
        return [Outcome("retry", "too many requests") for _ in documents]


@pytest.mark.parametrize(("first", "second"), [*product(THRESHOLDS, THRESHOLDS)])
async def test_a_busy_index_is_asked_before_a_task_is_added(
    settings: Settings, index: Index, queue: ReviewQueue, failing: Failing, first: float | None, second: float | None
) -> None:
    with pytest.raises(Retry):
        await Deliver(index, failing, applying(index, failing), first, 1.0).process([item()])
    busy = Busy(str(settings.elasticsearch), index.name)
    try:
        deliver = Deliver(busy, queue, applying(busy, queue), second, 1.0)
        with pytest.raises(Retry):
            await deliver.process([item()])
        await deliver.process([item()])
    finally:
        await busy.close()
    assert await places(index, queue) == ONCE


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
async def test_a_newer_edit_that_the_index_rejects_leaves_the_question_of_the_older_one(
    index: Index, queue: ReviewQueue, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = index.write

    async def refusing(documents: Sequence[Document]) -> list[Outcome]:
        kept = [document for document in documents if edit_of(document.version) == 0]
        outcomes = iter(await write(kept))
        return [next(outcomes) if document in kept else Outcome("rejected", "too large") for document in documents]

    monkeypatch.setattr(index, "write", refusing)
    deliver, items = Deliver(index, queue, applying(index, queue), 0.5, 1.0), [item(), item(edit=1)]
    for batch in [items] if together else [[one] for one in items]:
        await deliver.process(batch)
    assert [one.dead is not None for one in items] == [False, True]
    assert await places(index, queue) == ONCE


@pytest.mark.parametrize("thresholds", [(0.5, 0.1, 1.0), (0.1, 1.0, 0.5), (1.0, 0.5, 0.1), (0.1, 0.5, None)])
async def test_two_failures_in_a_row(
    index: Index, queue: ReviewQueue, failing: Failing, thresholds: tuple[float | None, ...]
) -> None:
    *failed, last = thresholds
    for threshold in failed:
        with pytest.raises(Retry):
            await Deliver(index, failing, applying(index, failing), threshold, 1.0).process([item()])
    await Deliver(index, queue, applying(index, queue), last, 1.0).process([item()])
    assert await places(index, queue) == ONCE


@pytest.mark.parametrize(("first", "second"), [*product([0.1, 0.39, 0.5, 1.0], repeat=2)])
@pytest.mark.parametrize("threshold", [0.1, 0.5])
async def test_a_changed_candidate_threshold_loses_no_mention(
    index: Index, queue: ReviewQueue, failing: Failing, threshold: float, first: float, second: float
) -> None:
    with pytest.raises(Retry):
        await Deliver(index, failing, applying(index, failing), 0.5, first).process([item()])
    await Deliver(index, queue, applying(index, queue), threshold, second).process([item()])
    assert await places(index, queue) == ONCE
    questions = [question for entry in await queue.list() for question in entry.task.questions]
    assert sum(question.is_candidate for question in questions) == (second <= 0.4)


@pytest.mark.parametrize(
    "newer", [pytest.param({"edit": 1}, id="edit"), pytest.param({"model_version": 2}, id="model version")]
)
@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
async def test_a_newer_extraction_takes_the_place_of_one_that_was_half_delivered(
    index: Index, queue: ReviewQueue, failing: Failing, threshold: float, newer: dict[str, int]
) -> None:
    with pytest.raises(Retry):
        await Deliver(index, failing, applying(index, failing), 0.5, 1.0).process([item()])
    left = MENTIONS[::2]
    await Deliver(index, queue, applying(index, queue), threshold, 1.0).process([item(left, **newer)])
    await Deliver(index, queue, applying(index, queue), 0.1, 1.0).process([item()])  # the older one once more
    assert await places(index, queue) == Counter(mention.text for mention in left)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
async def test_another_reading_of_the_same_model_changes_nothing(
    index: Index, queue: ReviewQueue, threshold: float
) -> None:
    await Deliver(index, queue, applying(index, queue), 0.5, 1.0).process([item()])
    other = tuple(found.model_copy(update={"probability": found.probability - 0.05}) for found in MENTIONS)
    await Deliver(index, queue, applying(index, queue), threshold, 1.0).process([item(other)])
    assert await places(index, queue) == ONCE
    (entry,) = await queue.list()
    assert [question.mention.probability for question in entry.task.questions] == [DOUBTFUL]
