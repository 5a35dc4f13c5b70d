"""One event on its way through a pipeline: where it came from, what it became, or why it died."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from core.events import DeadLetter, Extraction, ImageResult, Tweet

if TYPE_CHECKING:
    from core.pixels import Pixels
    from model.tokens import Encoded

E = TypeVar("E")
NO_IMAGE = ImageResult()

MAX_REASON = 2000
"""Characters of a dead letter's reason and key."""

MAX_VALUE = 5_000_000
"""Bytes of an event that a dead letter holds: in base64, with all the rest, less than the topic's 8 MB."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A Kafka record as it came. `timestamp` in unix seconds; `generation` counts the group's rebalances."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: float
    generation: int = 0


@dataclass(slots=True, eq=False)
class Item(Generic[E]):
    """`parsed` is set by decoding, `dead` by the first failure, `void` where there is nothing to do: an item with one
    of the last two skips every later stage."""

    origin: Origin
    parsed: E | None = None
    dead: DeadLetter | None = None
    void: bool = False
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def event(self) -> E:
        """The decoded event; a stage before decoding must not ask for it."""
        assert self.parsed is not None
        return self.parsed

    def fail(self, stage: str, error: BaseException | str, name: str | None = None) -> None:
        """Mark it dead, with the reason and the original bytes in place."""
        key = self.origin.key
        self.dead = DeadLetter(
            topic=self.origin.topic,
            partition=self.origin.partition,
            offset=self.origin.offset,
            stage=stage,
            error=name or (type(error).__name__ if isinstance(error, BaseException) else "Reject"),
            reason=_cut(str(error) or repr(error), MAX_REASON),
            key=_cut(key.decode(errors="replace"), MAX_REASON) if key is not None else None,
            **_preserved(self.origin.value),
        )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _preserved(value: bytes | None) -> dict[str, Any]:
    """The original bytes as a dead letter holds them: text if that is UTF-8 and not much longer as JSON."""
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
    """A tweet inside extract: gathers its image, context, tokens and at last its extraction."""

    image: ImageResult = NO_IMAGE
    context: str | None = None
    pixels: Pixels | None = None
    encoded: Encoded | None = None
    extraction: Extraction | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
