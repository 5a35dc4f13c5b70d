"""What must hold for every input. A target raises `AssertionError`, or anything else, when it does not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

from core.errors import Reject, Retry, Stop
from core.events import DeadLetter, Decision, Extraction, Mention, ReviewTask, Tweet
from core.lifecycle import Lifecycle
from core.spelling import fold, normalise
from core.text import one_line
from model.tokens import TweetTokenizer
from model.words import split_words
from sinks.answers import elasticsearch, kafka, redis, tls
from sinks.answers.answer import MAX_SENTENCE, Answer
from sinks.index.document import from_extraction
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item, Origin
from streams.settings import CHECKPOINT
from tests.fuzz import inputs

LONGEST_EXPANSION = 18
"""Code points of the longest compatibility decomposition, that of U+FDFA."""


@dataclass(frozen=True)
class Target:
    """A part of the program, the inputs that reach it, and the check of one input."""

    name: str
    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


def decoded(kind: type[BaseModel], raw: bytes | None) -> Item[Any]:
    """Decodes a record as an agent does."""
    item: Item[Any] = Item(Origin("posts", 0, 7, b"key", raw, 0.0))
    try:
        decode: Decode[Item[Any]] = Decode(kind)
        _run(decode.process(item))
    except Reject as error:
        item.fail("decode", error)
    return item


def _run(coroutine: Any) -> None:
    """Runs a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("decoding waits for something")


def bytes_to_tweet(raw: bytes) -> None:
    """A message is a post, is passed over, or is a dead letter with its bytes and a reason of one line."""
    item = decoded(Tweet, raw)
    assert (item.parsed is not None) + item.void + (item.dead is not None) == 1
    if item.dead is not None:
        dead_letter(item.dead, raw)
    elif item.parsed is not None:
        made = Extraction(tweet=item.parsed, model="m", model_version=1, threshold=0.8)
        assert Extraction.model_validate_json(made.model_dump_json()) == made
        document = from_extraction(made, ())
        assert json.loads(document.encoded)["text"] == item.parsed.text


def dead_letter(letter: DeadLetter, raw: bytes) -> None:
    assert letter.reason
    assert one_line(letter.reason) == letter.reason, "the reason is one line"
    again = DeadLetter.model_validate_json(letter.model_dump_json().encode())
    assert again == letter
    assert again.value is not None
    kept = again.value.encode() if again.encoding == "utf-8" else base64.b64decode(again.value)
    assert kept == raw


def bytes_to_event(raw: bytes) -> None:
    """The other events: the same, for what another version or program wrote."""
    for kind in (Extraction, ReviewTask, Decision, Lifecycle, DeadLetter):
        item = decoded(kind, raw)
        assert (item.parsed is not None) + (item.dead is not None) == 1
        if item.dead is not None:
            dead_letter(item.dead, raw)


@cache
def tokenizer() -> TweetTokenizer:
    return TweetTokenizer.load(CHECKPOINT)


def text_to_words(text: str) -> None:
    """Words, mentions and spellings cut the same string out of the raw text, also after JSON."""
    end = 0
    words = split_words(text)
    for word in words:
        assert end <= word.start < word.end <= len(text)
        assert text[word.start : word.end].strip()
        end = word.end
    encoded = tokenizer().encode(text, None).spans
    assert list(encoded) == sorted({(word.start, word.end) for word in words} & set(encoded))
    folded, starts = fold(text)
    assert len(starts) == len(folded) + 1
    assert starts == sorted(starts)
    assert starts[-1] == len(text)
    if not text.strip() or not words:
        return
    figures: dict[str, Any] = {"type": "LOC", "probability": 0.9, "aleatoric": 0.1, "epistemic": 0.1}
    spans = {(word.start, word.end) for word in words} | {(words[0].start, words[-1].end)}
    mentions = tuple(Mention(start=a, end=b, text=text[a:b], **figures) for a, b in sorted(spans))
    made = Extraction(tweet=Tweet(id="1", text=text), mentions=mentions, model="m", model_version=1, threshold=0.8)
    item = decoded(Extraction, made.model_dump_json().encode())
    assert item.parsed == made
    document = json.loads(from_extraction(made, mentions).encoded)
    for mention in document["mentions"]:
        assert document["text"][mention["start"] : mention["end"]] == mention["text"]
        assert mention["name"]


def text_to_name(text: str) -> None:
    """A name is its own name, the same each time, never empty, and not longer than its letters explain."""
    name = normalise(text)
    assert normalise(text) == name
    assert normalise(name) == name
    assert bool(name) == bool(text)
    assert len(name) <= LONGEST_EXPANSION * len(text)
    assert not any(line_end in name for line_end in "\n\r\v\f\x85\u2028\u2029") or not name.strip()
    name.encode()


def answer_of_elasticsearch(case: tuple[Any, int, Any, bool]) -> None:
    item, status, page, ours = case
    server = "Elasticsearch at e:1"
    sentence_of(elasticsearch.item_answer(item, server, "mentions"))
    told = elasticsearch.request_answer(status, page, server, "mentions", ours=ours)
    sentence_of(told)
    formed = isinstance(page, dict) and isinstance(page.get("error"), dict)
    if not ours and not formed and status != 413:
        assert isinstance(told.error(), Retry), "what a proxy says may pass"
    kind = tls.fault(str(page)) or "unreachable"
    sentence_of(elasticsearch.connection_answer(kind, str(page), server, "mentions"))


def answer_of_redis(error: Any) -> None:
    sentence_of(redis.answer(error, "Redis at r:1"))
    sentence_of(redis.answer(error, "Redis at r:1", known=True))


def answer_of_kafka(error: BaseException) -> None:
    sentence_of(kafka.answer(error, "Kafka at k:1", "topic posts"))


def sentence_of(answer: Answer) -> None:
    """An answer has exactly one reaction. Its sentence is one line, not too long, and without a secret."""
    error = answer.error()
    assert sum(isinstance(error, kind) for kind in (Retry, Reject, Stop)) == 1
    assert str(error) == answer.sentence
    assert one_line(answer.sentence) == answer.sentence, "one line"
    assert len(answer.sentence) <= MAX_SENTENCE
    assert inputs.SECRET not in answer.sentence
    answer.sentence.encode()


TARGETS = {
    target.name: target
    for target in (
        Target("bytes to a post", inputs.MESSAGES, bytes_to_tweet),
        Target("bytes to another event", inputs.MESSAGES, bytes_to_event),
        Target("text to words and offsets", inputs.TEXTS, text_to_words),
        Target("text to a name", inputs.TEXTS, text_to_name),
        Target(
            "answer of Elasticsearch",
            st.tuples(inputs.ITEMS, inputs.STATUSES, inputs.PAGES, st.booleans()),
            answer_of_elasticsearch,
        ),
        Target("answer of Redis", inputs.REDIS_ERRORS, answer_of_redis),
        Target("answer of Kafka", inputs.KAFKA_ERRORS, answer_of_kafka),
    )
}
