"""Posts without words are passed over. An edit that removes the words removes them from the index and the queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import Stop
from core.events import DeadLetter, Extraction, Tweet
from model.mentions import Prediction
from model.tokens import Encoded
from sinks.index.document import from_extraction
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams.agents.deliver import Deliver
from streams.pipeline.decode import DecodePost
from streams.pipeline.infer import Infer
from streams.pipeline.item import Item, Origin, TweetItem
from streams.pipeline.limits import DeadLetterLimit
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage
from streams.pipeline.tokenise import Tokenise
from streams.settings import Batching
from tests.metrics_read import metric
from tests.sinks.values import extraction, mention, tweet
from tests.streams.said import applying

PHOTO = {"media": ["http://a.test/1.jpg"]}
#: Name -> the fields of a post beside its id, and whether it is passed over (else it is a dead letter).
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "an empty text": ({"text": ""}, True),
    "blanks": ({"text": " \t\n"}, True),
    "a blank of CJK": ({"text": "\u3000\u00a0"}, True),
    "an empty text with a photo": ({"text": "", **PHOTO}, True),
    "no text with a photo": (PHOTO, True),
    "null with a photo": ({"text": None, **PHOTO}, True),
    "null with a photo of Twitter's form": (
        {"text": None, "media": [{"media_url_https": "http://a.test/1.jpg"}]},
        True,
    ),
    "null with a video": ({"text": None, "media": [{"url": "http://a.test/1.mp4", "type": "video"}]}, True),
    "no text": ({}, False),
    "null": ({"text": None}, False),
    "null with no media": ({"text": None, "media": []}, False),
    "null with media that cannot be read": ({"text": None, "media": [{"id": 7}]}, False),
    "a number": ({"text": 7, **PHOTO}, False),
    "a list": ({"text": ["x"], **PHOTO}, False),
    "false": ({"text": False, **PHOTO}, False),
}


class Letters:
    def __init__(self) -> None:
        self.sent: list[DeadLetter] = []

    async def send(self, letter: DeadLetter, key: bytes | None) -> None:
        self.sent.append(letter)


class Arrive(Stage[TweetItem]):
    name = "arrive"

    def __init__(self) -> None:
        self.items: list[TweetItem] = []

    async def process(self, item: TweetItem) -> None:
        self.items.append(item)


async def passed(posts: list[dict[str, Any]], limit: DeadLetterLimit) -> tuple[list[TweetItem], list[DeadLetter], Any]:
    """Decodes the posts. Returns those that go on, the dead letters, and the pipeline."""
    letters, arrive = Letters(), Arrive()
    pipeline = Pipeline(
        "words", [DecodePost(), arrive], item=TweetItem, dead_letters=letters, limit=limit, in_flight=len(posts)
    )
    pipeline.start()

    async def acknowledge() -> None: ...

    for offset, post in enumerate(posts):
        raw = json.dumps({"id": "1"} | post).encode()
        await pipeline.submit(Origin("tweets", 0, offset, b"1", raw, 0.0), acknowledge)
    await pipeline.drain(10)
    await pipeline.close()
    return arrive.items, letters.sent, pipeline


@pytest.mark.parametrize("name", CASES)
async def test_a_post_without_words_is_passed_over_and_counted_and_one_without_a_text_is_a_dead_letter(
    name: str,
) -> None:
    fields, is_passed_over = CASES[name]
    before = metric("mner_passed_over_total", reason="no_words")
    gone_on, letters, pipeline = await passed([fields], DeadLetterLimit(10, 1.0))
    assert (gone_on, pipeline.acknowledged) == ([], 1)
    assert metric("mner_passed_over_total", reason="no_words") - before == is_passed_over
    assert [letter.reason.partition(":")[0] for letter in letters] == ([] if is_passed_over else ["text"])


async def test_what_is_left_out_is_counted_by_field_and_reason() -> None:
    names = [("media", "wrong_type"), ("edit", "out_of_range")]
    before = [metric("mner_left_out_total", field=field, reason=reason) for field, reason in names]
    ((item), *_), letters, _ = await passed([{"text": "x", "media": 7, "edit": -1}], DeadLetterLimit(10, 1.0))
    after = [metric("mner_left_out_total", field=field, reason=reason) for field, reason in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1]
    assert (item.event.left_out, letters) == (dict(names), [])


async def test_a_post_that_is_passed_over_neither_ends_nor_lengthens_a_run_of_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Arrive, "process", fail)
    dead, blank = {"text": "x"}, {"text": ""}
    *_, pipeline = await passed([dead, blank, dead, blank, blank], DeadLetterLimit(3, 1.0))
    assert (pipeline.acknowledged, pipeline.dead) == (5, 2)
    *_, pipeline = await passed([dead, blank, dead, blank, dead, blank], DeadLetterLimit(3, 1.0))
    assert isinstance(pipeline.halted.exception(), Stop)


async def test_an_edit_without_words_is_extracted_without_the_model() -> None:
    class Nothing:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"an edit without words needs no {name}")

    class Info:
        name, model_version, runtime = "m", 7, "torch"

    item = TweetItem(Origin("tweets", 0, 0, b"1", b'{"id": "1", "edit": 1, "media": ["http://a.test/1"]}', 0.0))
    nothing, info = Nothing(), Info()
    await DecodePost().process(item)
    assert not item.void
    await Tokenise(nothing).process(item)
    await Infer(nothing, info, 0.9, 0.2, Batching()).process([item])  # type: ignore[arg-type]
    made = item.extraction
    assert made is not None
    assert (made.tweet.text, made.mentions, made.candidates, made.model_version) == ("", (), (), 7)
    assert Extraction.model_validate_json(made.model_dump_json()) == made


async def test_the_others_of_the_batch_reach_the_model() -> None:
    class Model:
        async def infer(self, batch: Any) -> list[Prediction]:
            return [Prediction() for _ in batch]

    class Info:
        name, model_version, runtime = "m", 7, "torch"

    items = [
        TweetItem(Origin("tweets", 0, place, None, b"", 0.0), parsed=Tweet(id="1", text=text, edit=1))
        for place, text in enumerate(["", "x", " "])
    ]
    model, info = Model(), Info()
    items[1].encoded = Encoded((1,), (0,), None, (0,), ((0, 1),))
    await Infer(model, info, 0.9, 0.2, Batching()).process(items)  # type: ignore[arg-type]
    assert [item.extraction and item.extraction.tweet.text for item in items] == ["", "x", " "]


@pytest.mark.parametrize("text", ["", " \n"])
async def test_an_edit_without_words_removes_the_old_words_and_the_old_task(
    text: str, index: Index, queue: ReviewQueue
) -> None:
    old = extraction(tweet("1"), mention("Ana", "PER", probability=0.99), mention("Paris", probability=0.4))
    new = extraction(tweet("1", text, edit=1))
    stage = Deliver(index, queue, applying(index, queue), None, None)
    for each in (old, new, old):
        item: Item[Extraction] = Item(Origin("extractions", 0, 0, b"1", b"", 0.0), parsed=each)
        await stage.process([item])
        assert item.dead is None
    held = await index.get("1")
    assert held == from_extraction(new, [])
    assert held is not None
    assert (held.body["text"], held.body["mentions"], held.body["edit"]) == (text, [], 1)
    assert (await queue.counts()).open == 0
    await index.refresh()
    assert (await index.search("Paris")).total == 0
