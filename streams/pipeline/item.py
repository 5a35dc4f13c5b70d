"""An event in a pipeline: where it came from, and what it became or why it failed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from core.errors import Refused, Reject
from core.events import Account, DeadLetter, Extraction, ImageResult, Tweet
from core.preserved import MAX_REASON, preserved
from core.text import shorten

if TYPE_CHECKING:
    from core.pixels import Pixels
    from model.tokens import Encoded

E = TypeVar("E")
NO_IMAGE = ImageResult()


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
            **preserved(self.origin.value),
        )


@dataclass(slots=True, eq=False)
class TweetItem(Item[Tweet]):
    """A post in the extract agent. The stages add its image, context, accounts, tokens and extraction."""

    image: ImageResult = NO_IMAGE
    context: str | None = None
    pixels: Pixels | None = None
    accounts: tuple[Account, ...] = ()
    encoded: Encoded | None = None
    extraction: Extraction | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
