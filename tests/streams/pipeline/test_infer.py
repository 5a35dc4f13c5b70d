"""The infer stage isolates the post that kills the model. The process is a stub here; tests/model has the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from core.errors import BatchFailed, ProcessDied, Retry, Stop, UserError
from core.events import Tweet
from core.pixels import Pixels
from model.mentions import Prediction, Span
from model.tokens import Encoded
from streams.pipeline.infer import IMAGE_COST, Infer
from streams.pipeline.item import Origin, TweetItem
from streams.settings import Batching

POISON = 37


class Model:
    """Dies on the poisonous post. Raises `errors` first, one per call."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.deaths = 0
        self.seen: list[int] = []
        self.timeout_s = 60.0
        self.limits_s: list[float | None] = []
        self.candidates: tuple[Span, ...] = (Span(0, 1, "PER", 0.3, 0.1, 0.1, {}),)

    async def infer(self, batch: Sequence[Encoded], timeout_s: float | None = None) -> list[Prediction]:
        self.limits_s.append(timeout_s)
        if self.errors:
            raise self.errors.pop(0)
        if any(encoded.text == (POISON,) for encoded in batch):
            self.deaths += 1
            raise ProcessDied("the model's process died: SIGKILL")
        self.seen += [encoded.text[0] for encoded in batch]
        return [Prediction((), self.candidates, 0.04) for _ in batch]


class Info:
    name, model_version, runtime = "stub", 1, "torch"


def stage(model: Model, batching: Batching | None = None) -> Infer:
    fake: Any = model
    info: Any = Info()
    return Infer(fake, info, 0.9, 0.2, batching or Batching())


def batch(count: int) -> list[TweetItem]:
    items = []
    for number in range(count):
        item = TweetItem(Origin("tweets", 0, number, None, b"{}", 0.0), parsed=Tweet(id=str(number), text="x"))
        item.encoded = Encoded((number,), (0,), None, (0,), ((0, 1),))
        items.append(item)
    return items


async def test_the_poisonous_post_is_isolated_and_tried_twice() -> None:
    model, items = Model(), batch(64)
    infer, alive = stage(model), []
    infer.alive = lambda: alive.append(1)
    await infer.process(items)
    assert [item.origin.offset for item in items if item.dead] == [POISON]
    assert all(item.extraction for item in items if not item.dead)
    assert model.deaths == len(alive) == 8, "each death counts as progress for the watchdog"


@pytest.mark.parametrize("fault", [ProcessDied("out of memory"), BatchFailed("no such image")])
async def test_a_post_whose_image_fails_the_model_is_tried_without_the_image(fault: Exception) -> None:
    class Blind(Model):
        async def infer(self, batch: Sequence[Encoded], timeout_s: float | None = None) -> list[Prediction]:
            if any(encoded.pixels is not None for encoded in batch):
                raise fault
            return await super().infer(batch)

    items = batch(5)
    for item in items[1:3]:
        assert item.encoded is not None
        item.encoded = replace(item.encoded, pixels=Pixels(1, 1, b"rgb"))
    await stage(Blind()).process(items)
    assert all(item.dead is None and item.extraction for item in items)


@pytest.mark.parametrize(
    ("image", "tokens", "full"),
    [
        pytest.param(True, 2 * IMAGE_COST, True, id="with an image"),
        pytest.param(True, 2 * IMAGE_COST + 1, False, id="with an image, and room for more words"),
        pytest.param(False, 2 * IMAGE_COST, False, id="words alone"),
    ],
)
def test_an_image_counts_for_many_words(image: bool, tokens: int, full: bool) -> None:
    words, other = batch(2)
    if image:
        assert other.encoded is not None
        other.encoded = replace(other.encoded, pixels=Pixels(1, 1, b"rgb"))
    batcher = stage(Model(), Batching(tokens=tokens)).batcher()
    batcher.add(words, 0.0)
    batcher.add(other, 0.0)
    assert (batcher.due(0.0, idle=False) == 0) is full


async def test_a_post_that_costs_more_than_a_batch_gets_more_time() -> None:
    items, model = batch(3), Model()
    items[2].encoded = Encoded((2,) * 900, (0,) * 900, None, (0,), ((0, 1),), windows=((0, 498), (402, 900)))
    for item in items:
        await stage(model, Batching(tokens=250)).process([item])
    assert model.limits_s == [None, None, 4 * 60.0]


async def test_a_post_costs_what_it_costs_the_checkpoint_that_splits_it_most() -> None:
    items, model = batch(1), Model()
    longer = Encoded((2,) * 900, (0,) * 900, None, (0,), ((0, 1),), windows=((0, 498), (402, 900)))
    assert items[0].encoded is not None
    items[0].encoded = replace(items[0].encoded, later=(longer,))
    batcher = stage(model, Batching(tokens=longer.cost, tweets=99)).batcher()
    assert batcher.due(0.0, idle=False) != 0
    batcher.add(items[0], 0.0)
    assert batcher.due(0.0, idle=False) == 0, "the batch is full"
    await stage(model, Batching(tokens=250)).process(items)
    assert model.limits_s == [4 * 60.0]


async def test_a_post_without_a_view_that_the_model_reads_was_not_read() -> None:
    class Blind(Model):
        async def infer(self, batch: Sequence[Encoded], timeout_s: float | None = None) -> list[Prediction]:
            return [Prediction(read=False) for _ in batch]

    items = batch(1)
    await stage(Blind()).process(items)
    assert items[0].extraction is not None
    assert items[0].extraction.read == 0


async def test_the_typicality_of_each_post_is_observed() -> None:
    def observed() -> list[float]:
        names = ("mner_typicality_bucket", "mner_tweet_familiar_bucket")
        return [REGISTRY.get_sample_value(name, {"le": "0.05"}) or 0.0 for name in names]

    before = observed()
    await stage(Model()).process(batch(3))
    assert observed() == [count + 3 for count in before], "the old name is exported too"


async def test_an_extraction_tells_which_share_of_the_text_was_read() -> None:
    items = batch(2)
    items[1].encoded = Encoded((1,) * 8, (0,) * 8, None, (0,), ((0, 1),), windows=((0, 4), (2, 6)))
    await stage(Model()).process(items)
    assert [item.extraction and item.extraction.read for item in items] == [1.0, 0.75]


async def test_an_extraction_carries_the_typicality() -> None:
    items = batch(1)
    await stage(Model()).process(items)
    assert items[0].extraction is not None
    assert items[0].extraction.typicality == 0.04


async def test_an_extraction_says_which_checkpoint_of_a_cascade_answered() -> None:
    class Two(Model):
        async def infer(self, batch: Sequence[Encoded], timeout_s: float | None = None) -> list[Prediction]:
            return [Prediction(stage=encoded.text[0]) for encoded in batch]

    class Small:
        name, runtime = "small", "int8"

    class Large:
        name, runtime = "large", "torch"

    fake: Any = Two()
    info: Any = Info()
    stages: Any = (Small(), Large())
    items = [*batch(2), TweetItem(Origin("tweets", 0, 9, None, b"{}", 0.0), parsed=Tweet(id="9", text=" "))]
    for item in items[:2]:
        assert item.encoded is not None
        half = Encoded((1,) * 8, (0,) * 8, None, (0,), ((0, 1),), windows=((0, 4), (2, 4)))
        item.encoded = replace(item.encoded, later=(half,))
    await Infer(fake, info, 0.9, 0.2, Batching(), stages=stages).process(items)
    made = [item.extraction for item in items if item.extraction]
    assert [each.answered_by for each in made] == ["small", "large", None], "the last post has no words"
    assert [each.runtime for each in made] == ["int8", "torch", "torch"]
    assert [each.read for each in made] == [1.0, 0.5, None]
    assert {each.model for each in made} == {"stub"}


async def test_candidates_come_with_their_threshold() -> None:
    items = batch(1)
    await stage(Model()).process(items)
    extraction = items[0].extraction
    assert extraction is not None
    assert extraction.mentions == ()
    assert [(mention.text, mention.probability) for mention in extraction.candidates] == [("x", 0.3)]
    assert (extraction.threshold, extraction.candidate_threshold) == (0.9, 0.2)
    assert items[0].encoded is None, "its pixels leave memory before the acknowledgement"
    nothing = batch(1)
    model = Model()
    model.candidates = ()
    await stage(model).process(nothing)
    assert nothing[0].extraction is not None
    assert nothing[0].extraction.candidate_threshold == 1.0


async def test_a_retry_while_halving_loses_nothing_and_repeats_nothing() -> None:
    model, items = Model(), batch(64)
    infer = stage(model)
    model.errors = [ProcessDied("killed by hand"), Retry("the model's process cannot start: no memory")]
    with pytest.raises(Retry):
        await infer.process(items)
    await infer.process(items)
    assert [item.origin.offset for item in items if item.dead] == [POISON]
    assert sorted(model.seen) == [number for number in range(64) if number != POISON]


async def test_a_missing_checkpoint_stops_the_worker_and_no_post_dies() -> None:
    items = batch(4)
    with pytest.raises(Stop, match="no model checkpoint"):
        await stage(Model(UserError("no model checkpoint in x"))).process(items)
    assert not any(item.dead for item in items)
