"""Posts with the same input are read once, and each gets the prediction with its own offsets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from core.pixels import Pixels
from model.extractor import Extractor
from model.mentions import Prediction, Span
from model.tokens import Encoded
from streams.pipeline.memo import Memo
from streams.settings import CHECKPOINT


class Model:
    """Says that the first word is a person, and the last one perhaps a place. Notes what it read."""

    def __init__(self) -> None:
        self.read: list[Encoded] = []

    async def infer(self, batch: Sequence[Encoded]) -> list[Prediction]:
        self.read += batch
        return [
            Prediction(
                (Span(*post.spans[0], "PER", 0.9, 0.1, 0.1, {}),), (Span(*post.spans[-1], "LOC", 0.3, 0.1, 0.1, {}),)
            )
            for post in batch
        ]


def post(*words: int, at: int = 0, width: int = 3) -> Encoded:
    spans = tuple((at + place * width, at + place * width + width - 1) for place in range(len(words)))
    return Encoded(tuple(words), (0,) * len(words), None, tuple(range(len(words))), spans, (False,) * len(words))


async def test_copies_in_one_batch_and_later_are_read_once() -> None:
    model, memo = Model(), Memo(60)
    batch = [post(1, 2), post(1, 2, at=5), post(3)]
    first, saved = await memo.predict(batch, model.infer)
    assert (saved, len(model.read)) == (1, 2)
    again, saved = await memo.predict(batch, model.infer)
    assert (saved, len(model.read)) == (3, 2)
    assert first == again == await Model().infer(batch)


@pytest.mark.parametrize(
    "other",
    [
        post(1, 3),
        post(1),
        replace(post(1, 2), shapes=(0, 1)),
        replace(post(1, 2), context=(7,)),
        replace(post(1, 2), opens_line=(False, True)),
        replace(post(1, 2), in_account=(False, True)),
        replace(post(1, 2), heads=(0,), spans=((0, 2),)),
        replace(post(1, 2), pixels=Pixels(1, 1, b"abc")),
        replace(post(1, 2), pixels=Pixels(1, 1, b"abd")),
    ],
)
async def test_another_input_is_read(other: Encoded) -> None:
    model, memo = Model(), Memo(60)
    await memo.predict([post(1, 2), replace(post(1, 2), pixels=Pixels(1, 1, b"xyz"))], model.infer)
    assert (await memo.predict([other], model.infer))[1] == 0
    assert len(model.read) == 3


async def test_what_is_old_or_too_much_is_forgotten() -> None:
    now = 0.0
    model, memo = Model(), Memo(60, most=2, clock=lambda: now)
    for number in (1, 2, 3, 1):
        await memo.predict([post(number)], model.infer)
    assert [encoded.text for encoded in model.read] == [(1,), (2,), (3,), (1,)]
    now = 60.0
    assert (await memo.predict([post(1)], model.infer))[1] == 0
    assert (await Memo(0).predict([post(1), post(1)], model.infer))[1] == 1, "a batch is read once in any case"


async def test_a_failed_batch_leaves_nothing_behind() -> None:
    async def fails(batch: Sequence[Encoded]) -> list[Prediction]:
        raise RuntimeError("no")

    model, memo = Model(), Memo(60)
    with pytest.raises(RuntimeError):
        await memo.predict([post(1)], fails)
    assert (await memo.predict([post(1)], model.infer))[1] == 0


async def test_a_span_within_a_word_is_not_mapped() -> None:
    class Within(Model):
        async def infer(self, batch: Sequence[Encoded]) -> list[Prediction]:
            self.read += batch
            return [Prediction((Span(one.spans[0][0] + 1, one.spans[0][1], "PER", 0.9, 0, 0, {}),)) for one in batch]

    model = Within()
    (first, second), saved = await Memo(60).predict([post(1), post(1, at=9)], model.infer)
    assert (saved, second.spans[0].start - first.spans[0].start) == (0, 9)


@cache
def extractor() -> Extractor:
    return Extractor.load(CHECKPOINT, threads=1)


TEXTS = [
    "Angela Merkel opens the Elbphilharmonie in Hamburg 🎶 {}",
    "{} Croke Park filling up nicely for Leinster final",
    "New York Knicks beat\nBoston at Madison Square Garden {}",
    "AT&amp;T and Nestlé sue Ørsted {} in São Paulo",
]
ADDRESSES = ["https://t.co/a", "https://example.com/a/long/path?q=1", "www.ex.org/x", "https://t.co/bcd9"]


async def test_the_real_model_says_the_same_of_each_copy() -> None:
    """Each post is read alone, since the other posts of a batch can change the last digit of a figure."""
    for text in TEXTS:
        batch = [extractor().tokenizer.encode(text.format(address), None) for address in ADDRESSES]

        async def infer(posts: Sequence[Encoded]) -> list[Prediction]:
            return extractor().predictor.predict(posts)

        found, saved = await Memo(60).predict(batch, infer)
        assert saved == len(batch) - 1, "addresses of one casing look alike to the model"
        alone = [extractor().predictor.predict([one])[0] for one in batch]
        assert found == alone
        assert all(one.spans or one.candidates for one in found)


async def test_of_a_stream_with_three_copies_in_ten_posts_the_model_reads_seven() -> None:
    random.seed(3)
    model, memo, saved = Model(), Memo(60), 0
    stream = [post(number, 1) for number in range(700)]
    stream += [replace(random.choice(stream), spans=((9, 10), (11, 12))) for _ in range(300)]
    random.shuffle(stream)
    for start in range(0, len(stream), 64):
        predictions, fewer = await memo.predict(stream[start : start + 64], model.infer)
        saved += fewer
        assert predictions == await Model().infer(stream[start : start + 64])
    assert (saved, len(model.read)) == (300, 700)


@pytest.mark.parametrize("later", [False, True], ids=["one checkpoint", "by a later checkpoint of a cascade"])
async def test_a_post_that_is_read_in_windows_is_read_once_a_batch_and_not_remembered(later: bool) -> None:
    model, memo = Model(), Memo(60)
    long = replace(post(1, 2), windows=((0, 1), (0, 2)))
    if later:
        long = replace(post(1, 2), later=(long,))
    for _ in range(2):
        assert (await memo.predict([long, long], model.infer))[1] == 1
    assert len(model.read) == 2


async def test_a_copy_gets_its_own_offsets_from_the_checkpoint_of_the_cascade_that_answered() -> None:
    """Its words are not those of the first one."""

    class Later(Model):
        async def infer(self, batch: Sequence[Encoded]) -> list[Prediction]:
            self.read += batch
            return [Prediction((Span(*one.later[0].spans[0], "PER", 0.9, 0, 0, {}),), stage=1) for one in batch]

    def both(at: int) -> Encoded:
        return replace(post(1, 2, at=at), later=(post(7, at=at, width=8),))

    model, memo = Later(), Memo(60)
    found, saved = await memo.predict([both(0), both(9)], model.infer)
    assert (saved, [(each.spans[0].start, each.spans[0].end) for each in found]) == (1, [(0, 7), (9, 16)])
    other = replace(both(0), later=(post(8, width=8),))
    assert (await memo.predict([other], model.infer))[1] == 0, "the later checkpoint reads something else"
