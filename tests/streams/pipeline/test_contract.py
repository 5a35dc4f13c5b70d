"""One contract for every stage of every agent. Collaborators are stubs that fail on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import Reject, Retry, Stop
from core.events import (
    DeadLetter,
    Decision,
    Extraction,
    HasSpan,
    ImageResult,
    Mention,
    Question,
    Reason,
    ReviewTask,
    Tweet,
)
from core.lifecycle import Lifecycle
from model.mentions import Prediction
from model.tokens import Encoded
from sinks.index.document import Document
from sinks.index.index import Outcome
from sinks.queue.values import Holding
from streams.agents.decide import Decide
from streams.agents.deliver import Deliver
from streams.agents.erase import Erase
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.decode import Decode
from streams.pipeline.fetch import Fetch
from streams.pipeline.infer import Infer
from streams.pipeline.item import Item, Origin, TweetItem
from streams.pipeline.limits import DeadLetterLimit
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.produce import Produce
from streams.pipeline.stage import Batcher, BatchStage, Stage
from streams.pipeline.tokenise import Tokenise
from streams.retention import Retention
from streams.settings import Batching
from tests.streams.said import Said, applying

COUNT, MARKED = 8, "3"
"""Items in each test, and the id of the one that a fault concerns."""


@dataclass
class Faults:
    """Errors that the stubs raise for the marked item, in this order. `hangs` waits for ever instead."""

    errors: list[Exception] = field(default_factory=list)
    always: Exception | None = None
    hangs: bool = False

    async def meet(self, id: str) -> None:
        self.raise_for(id)
        if id == MARKED and self.hangs:
            await asyncio.Event().wait()

    def raise_for(self, id: str) -> None:
        if id == MARKED and self.errors:
            raise self.errors.pop(0)
        if id == MARKED and self.always is not None:
            raise self.always


class Sinks:
    """An index, a review queue and a producer."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.rejects: set[str] = set()
        self.writes: list[list[str]] = []
        self.failures: list[Exception] = []

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        self.writes.append([document.id for document in documents])
        for document in documents:
            await self._faults.meet(document.id)
        rejected = Outcome("rejected", "the index refused the document")
        return [rejected if document.id in self.rejects else Outcome("written") for document in documents]

    async def held(self, ids: Sequence[str]) -> dict[str, Document]:
        return {}

    async def time_ms(self) -> int:
        return 0

    async def texts(self, ids: Sequence[str]) -> dict[str, tuple[int, str | None]]:
        return {}

    async def add(self, tasks: Sequence[ReviewTask], unquestioned: Sequence[Extraction], since_ms: int) -> int:
        if self.failures:
            raise self.failures.pop()
        return len(tasks) + len(unquestioned)

    async def settle(self, task: ReviewTask, stamp_ms: int, *, keep: bool) -> None: ...

    async def reopen(self, task: ReviewTask, stamp_ms: int) -> None: ...

    async def erase(self, *ids: str) -> int:
        return len(ids)

    async def holdings(self, ids: Sequence[str]) -> list[Holding]:
        return [Holding(task=True, leased=False, decided=False, hidden=False, erased=False) for _ in ids]

    async def tasks(self, ids: Sequence[str]) -> dict[str, ReviewTask]:
        return {}

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        await self._faults.meet(key.decode())


class Model:
    """Stubs of the tokenizer, the model's process and the image loader. A post's text is its id."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def encode(self, text: str, context: str | None, accounts: Sequence[HasSpan]) -> Encoded:
        self._faults.raise_for(text)
        return Encoded((int(text),), (0,), None, (0,), ((0, 1),))

    async def infer(self, batch: Sequence[Encoded]) -> list[Prediction]:
        for encoded in batch:
            await self._faults.meet(str(encoded.text[0]))
        return [Prediction((), (), None) for _ in batch]

    async def load_first_photo(self, media: Sequence[Any]) -> tuple[ImageResult, None]:
        await self._faults.meet(media[0].alt)
        return ImageResult(), None


def tweet(id: str) -> Tweet:
    return Tweet.model_validate({"id": id, "text": id, "media": [{"url": "http://h/a.jpg", "alt": id}]})


def extraction(id: str) -> Extraction:
    return Extraction(tweet=tweet(id), mentions=(), model="m", model_version=1, threshold=0.9)


def decision(id: str) -> Decision:
    mention = Mention(start=0, end=1, text=id, type="PER", probability=0.5, aleatoric=0.1, epistemic=0.1)
    reason = Reason(kind="low_probability", sentence="unsure")
    task = ReviewTask(
        id=f"{id}:0:m:1",
        tweet=tweet(id),
        questions=(Question(mention=mention, reasons=(reason,)),),
        confident=(),
        model="m",
        model_version=1,
        threshold=0.9,
        uncertainty=0.5,
    )
    return Decision(id=id, kind="settle", task=task, mentions=(), reviewer="ann", decided_at=datetime.now(UTC))


@dataclass(frozen=True)
class Case:
    """Makes a stage, and the event that it handles for an id."""

    make: Callable[[Any, Any, Faults], Stage[Any] | BatchStage[Any]]  # sinks, model, faults
    event: Callable[[str], Any] = tweet


def deliver(sinks: Any) -> Deliver:
    return Deliver(sinks, sinks, applying(sinks, sinks), None, None, batch=10, wait_s=0)


def decide(sinks: Any) -> Decide:
    return Decide(sinks, sinks, applying(sinks, sinks), sinks, "decisions", Retention(None))


def erase(sinks: Any) -> Erase:
    said: Any = Said()
    return Erase(sinks, said, applying(sinks, sinks, said, sinks))


INFO: Any = SimpleNamespace(name="m", model_version=1, runtime="torch")


def faulty_tweet(faults: Faults) -> Any:
    """The only collaborator of the decode stage: the type of the topic's values."""

    def validate(value: bytes) -> Tweet:
        parsed = Tweet.model_validate_json(value)
        faults.raise_for(parsed.id)
        return parsed

    return SimpleNamespace(__name__="Tweet", model_validate_json=validate)


CASES = {
    "decode": Case(lambda sinks, model, faults: Decode(faulty_tweet(faults))),
    "fetch": Case(lambda sinks, model, faults: Fetch(model, model, workers=4)),
    "tokenise": Case(lambda sinks, model, faults: Tokenise(model)),
    "infer": Case(lambda sinks, model, faults: Infer(model, INFO, 0.9, 0.2, Batching(wait_ms=0))),
    "produce": Case(lambda sinks, model, faults: Produce(sinks, "extractions", 4)),
    "deliver": Case(lambda sinks, model, faults: deliver(sinks), extraction),
    "decide": Case(lambda sinks, model, faults: decide(sinks), decision),
    "erase": Case(
        lambda sinks, model, faults: erase(sinks),
        lambda id: Lifecycle(post=id, at=datetime.now(UTC)),
    ),
}
BLOCKING = {"decode", "tokenise"}
"""Stages that never wait, so that nothing can be cancelled inside them."""

every_stage = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


class Letters:
    def __init__(self) -> None:
        self.sent: list[DeadLetter] = []

    async def send(self, letter: DeadLetter, key: bytes | None) -> None:
        self.sent.append(letter)


class Running:
    """A pipeline of the stage under test and a stage that records what arrives."""

    def __init__(self, case: Case, faults: Faults) -> None:
        self.letters, self.arrived, self.acked = Letters(), [], []  # type: ignore[var-annotated]
        run = self

        class Arrive(Stage[Any]):
            name = "arrive"

            async def process(self, item: Any) -> None:
                run.arrived.append(item.origin.offset)

        self._case = case
        self.sinks = Sinks(faults)
        self.stage = case.make(self.sinks, Model(faults), faults)
        self.pipeline: Pipeline[Any] = Pipeline(
            "contract",
            [self.stage, Arrive()],
            item=self._item,
            dead_letters=self.letters,
            limit=DeadLetterLimit(10**6, 1.0),
            in_flight=64,
            retry_max_s=0.002,
        )

    def _item(self, origin: Origin) -> Item[Any]:
        event = self._case.event(str(origin.offset))
        item: Item[Any] = TweetItem(origin, parsed=event) if isinstance(event, Tweet) else Item(origin, parsed=event)
        if isinstance(item, TweetItem):
            item.encoded = Encoded((origin.offset,), (0,), None, (0,), ((0, 1),))
            if isinstance(self.stage, Produce):
                item.extraction = extraction(str(origin.offset))
        return item

    async def submit(self, count: int = COUNT) -> None:
        for offset in range(count):

            async def acknowledge(offset: int = offset) -> None:
                self.acked.append(offset)

            value = tweet(str(offset)).model_dump_json().encode()
            await self.pipeline.submit(Origin("topic", 0, offset, b"k", value, 0.0), acknowledge)


@asynccontextmanager
async def running(case: Case, faults: Faults) -> AsyncIterator[Running]:
    run = Running(case, faults)
    run.pipeline.start()
    try:
        yield run
    finally:
        await asyncio.wait_for(run.pipeline.close(), timeout=5)


@every_stage
async def test_two_retries_lose_nothing_and_kill_nothing(case: Case) -> None:
    async with running(case, Faults([Retry("away"), Retry("away")])) as run:
        await run.submit()
        assert await run.pipeline.drain(5)
        assert (run.acked, sorted(run.arrived)) == (list(range(COUNT)), list(range(COUNT)))
        assert run.letters.sent == []


@every_stage
@pytest.mark.parametrize("error", [Reject("never"), RuntimeError("a bug")], ids=["Reject", "bug"])
async def test_an_item_that_raises_becomes_a_dead_letter_and_skips_later_stages(case: Case, error: Exception) -> None:
    async with running(case, Faults(always=error)) as run:
        await run.submit()
        assert await run.pipeline.drain(5)
        (letter,) = run.letters.sent
        assert (letter.offset, letter.stage, letter.error) == (int(MARKED), run.stage.name, type(error).__name__)
        assert sorted(run.arrived) == [offset for offset in range(COUNT) if offset != int(MARKED)]
        assert run.acked == list(range(COUNT))


@every_stage
async def test_stop_halts_the_pipeline_and_acknowledges_nothing_from_there_on(case: Case) -> None:
    async with running(case, Faults(always=Stop("wrong password"))) as run:
        await run.submit()
        assert not await run.pipeline.drain(5)
        assert isinstance(run.pipeline.halted.exception(), Stop)
        assert all(offset < int(MARKED) for offset in run.acked)
        assert run.letters.sent == []


@pytest.mark.parametrize("name", sorted(CASES.keys() - BLOCKING))
async def test_a_stage_that_waits_can_be_cancelled_and_kills_nothing(name: str) -> None:
    async with running(CASES[name], Faults(hangs=True)) as run:
        await run.submit()
        assert not await run.pipeline.drain(0.1)
        await asyncio.wait_for(run.pipeline.close(), timeout=5)
        assert int(MARKED) not in run.acked
        assert run.letters.sent == []


@pytest.mark.parametrize("error", [Retry("away"), RuntimeError("a bug")], ids=["Retry", "bug"])
async def test_an_item_that_its_stage_failed_is_not_processed_again(error: Exception) -> None:
    """In a batch, the index refuses a document, and then the review queue raises."""
    async with running(CASES["deliver"], Faults()) as run:
        run.sinks.rejects = {"0", "1", "2", "3"}
        run.sinks.failures = [error]
        await run.submit()
        assert await run.pipeline.drain(5)
        assert {letter.offset: letter.error for letter in run.letters.sent} == dict.fromkeys(range(4), "IndexRejected")
        assert all(run.sinks.writes), "no batch is empty"
        written = [id for ids in run.sinks.writes for id in ids]
        assert [written.count(id) for id in sorted(run.sinks.rejects)] == [1, 1, 1, 1]
        assert run.acked == list(range(COUNT))


async def test_a_stage_sees_no_item_that_it_failed_and_each_keeps_its_first_failure() -> None:
    """The stage fails item 0 itself and then raises, until item 1 is alone."""
    calls: list[list[int]] = []

    class FailsAndRaises(BatchStage[Item[Any]]):
        name = "fails-and-raises"

        def batcher(self) -> Batcher[Item[Any]]:
            return MicroBatcher(max_cost=4, max_items=4, wait_s=0.001, cost=lambda _: 1)

        async def process(self, items: Sequence[Item[Any]]) -> None:
            calls.append([item.origin.offset for item in items])
            for item in items:
                if item.origin.offset == 0:
                    item.fail(self.name, "refused", "Refused")
                    item.fail(self.name, "refused again", "Again")
            if len(calls) == 1:
                raise Retry("away")
            if 1 in calls[-1]:
                raise RuntimeError("a bug")

    async with running(Case(lambda sinks, model, faults: FailsAndRaises()), Faults()) as run:
        await run.submit(4)
        assert await run.pipeline.drain(5)
        assert calls == [[0, 1, 2, 3], [1, 2, 3], [1], [1], [2, 3]]
        assert [(letter.offset, letter.error, letter.reason) for letter in run.letters.sent] == [
            (0, "Refused", "refused"),
            (1, "RuntimeError", "a bug"),
        ]


def test_every_stage_class_is_under_contract() -> None:
    stages: list[type[Stage[Any]] | type[BatchStage[Any]]] = [*Stage.__subclasses__(), *BatchStage.__subclasses__()]
    assert {stage.name for stage in stages if stage.__module__.startswith("streams.")} == CASES.keys()
