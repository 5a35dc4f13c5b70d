"""What the screen is to show, apart from how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from review.span import Span
from review.work import Work
from sinks.queue import Counts

Mode = Literal["task", "span", "help", "empty", "waiting"]
Tone = Literal["plain", "good", "bad"]


@dataclass(frozen=True)
class View:
    """`span` is set in mode `span`; `adding` then says whether it is a new mention. `skipped` counts this sitting's."""

    reviewer: str
    mode: Mode = "empty"
    work: Work | None = None
    span: Span | None = None
    adding: bool = False
    counts: Counts = field(default=Counts(0, 0, 0))
    skipped: int = 0
    message: str = ""
    tone: Tone = "plain"
