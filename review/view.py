"""What the screen shows. `review.drawing` decides how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from review.span import Span
from review.work import Work
from sinks.queue.values import Counts

Mode = Literal["task", "span", "help", "empty", "waiting"]
Tone = Literal["plain", "good", "bad"]


@dataclass(frozen=True)
class View:
    """The state of the screen."""

    reviewer: str
    mode: Mode = "empty"
    work: Work | None = None
    span: Span | None = None  # set in mode "span"
    adding: bool = False  # in mode "span": the span is a new mention
    counts: Counts = field(default=Counts(0, 0, 0))
    skipped: int = 0  # tasks skipped in this session
    message: str = ""
    tone: Tone = "plain"
