"""An event in a pipeline: where it came from, and what it became or why it failed."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from core.errors import Refused, Reject
from core.events import DeadLetter, Extraction, ImageResult, Tweet
from core.text import shorten

if TYPE_CHECKING:
    from core.pixels import Pixels
    from model.tokens import Encoded

E = TypeVar("E")
NO_IMAGE = ImageResult()

MAX_REASON = 2000
"""Longest reason and key of a dead letter, in characters."""

MAX_VALUE = 5_000_000
"""Largest part of an event, in bytes, that a dead letter keeps. As base64, it fits the topic's limit of 8 MB."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A Kafka record as it was received."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: float  # unix seconds
    generation: int = 0  # counts how often the consumer was positioned; see `streams.consumer`


@dataclass(slots=True, eq=False)
class Item(Generic[E]):
    """An event and what the stages made of it. A dead or void item skips every later stage."""

    origin: Origin
    parsed: E | None = None  # the event, once it is decoded
    dead: DeadLetter | None = None  # set by the first failure
    void: bool = False  # there is nothing to do: a record without a value, or a post without words
    bad: bool = False  # whether the first failure is the event's own fault, and not that of a stage or a store
    taken_at: float = field(default_factory=time.monotonic)  # monotonic seconds

    @property
    def event(self) -> E:
        """The decoded event. It exists after the decode stage."""
        assert self.parsed is not None
        return self.parsed

    def fail(self, stage: str, error: BaseException | str, name: str | None = None) -> None:
        """Marks the item dead, with the reason and the original bytes. Only the first failure of an item counts.

        The dead letter names the error's class, or `name` if it is given.
        """
        if self.dead is not None:
            return
        self.bad = isinstance(error, Reject) and not isinstance(error, Refused)
        key = self.origin.key
        self.dead = DeadLetter(
            topic=self.origin.topic,
            partition=self.origin.partition,
            offset=self.origin.offset,
            stage=stage,
            error=name or (type(error).__name__ if isinstance(error, BaseException) else "Reject"),
            reason=shorten(str(error) or repr(error), MAX_REASON, "..."),
            key=shorten(key.decode(errors="replace"), MAX_REASON, "...") if key is not None else None,
            **_preserved(self.origin.value),
        )


def _preserved(value: bytes | None) -> dict[str, Any]:
    """Returns the fields of a dead letter that keep the original bytes.

    The bytes are kept as text if they are UTF-8 and not much longer in JSON, else as base64.
    """
    if value is None:
        return {"value": None}
    try:
        text = value.decode()
        if len(json.dumps(text, ensure_ascii=False)) <= 4 * len(value) / 3 + 64:
            return {"value": text} if len(value) <= MAX_VALUE else _encoded(value)
    except UnicodeDecodeError:
        pass
    return _encoded(value)


def _encoded(value: bytes) -> dict[str, Any]:
    kept = value[:MAX_VALUE]
    return {"value": base64.b64encode(kept).decode(), "encoding": "base64", "omitted": len(value) - len(kept)}


@dataclass(slots=True, eq=False)
class TweetItem(Item[Tweet]):
    """A post in the extract agent. The stages add its image, context, tokens and extraction."""

    image: ImageResult = NO_IMAGE
    context: str | None = None
    pixels: Pixels | None = None
    encoded: Encoded | None = None
    extraction: Extraction | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
