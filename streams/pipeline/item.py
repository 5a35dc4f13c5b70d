"""One event on its way through a pipeline: where it came from, what it became, or why it died."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from streams.events import DeadLetter, Extraction, ImageResult, Tweet

if TYPE_CHECKING:
    from model.tokens import Encoded

E = TypeVar("E")
NO_IMAGE = ImageResult()


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
    """`parsed` is set by decoding, `dead` by the first failure; an item with `dead` skips every later stage."""

    origin: Origin
    parsed: E | None = None
    dead: DeadLetter | None = None
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def event(self) -> E:
        """The decoded event; a stage before decoding must not ask for it."""
        assert self.parsed is not None
        return self.parsed

    def fail(self, stage: str, error: BaseException | str, name: str | None = None) -> None:
        """Mark it dead, with the reason and the original bytes in place."""
        value, encoding = self.origin.value, "utf-8"
        text: str | None = None
        if value is not None:
            try:
                text = value.decode()
            except UnicodeDecodeError:
                text, encoding = base64.b64encode(value).decode(), "base64"
        self.dead = DeadLetter(
            topic=self.origin.topic,
            partition=self.origin.partition,
            offset=self.origin.offset,
            stage=stage,
            error=name or (type(error).__name__ if isinstance(error, BaseException) else "Reject"),
            reason=str(error) or repr(error),
            key=self.origin.key.decode(errors="replace") if self.origin.key is not None else None,
            value=text,
            encoding="utf-8" if encoding == "utf-8" else "base64",
        )


@dataclass(slots=True, eq=False)
class TweetItem(Item[Tweet]):
    """A tweet inside extract: gathers its image, context, tokens and at last its extraction."""

    image: ImageResult = NO_IMAGE
    context: str | None = None
    encoded: Encoded | None = None
    extraction: Extraction | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
