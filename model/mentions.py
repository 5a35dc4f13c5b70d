"""What the model says about one tweet, as it leaves the model's process, and the mentions made of it. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

from pydantic import Field

from core.events import EntityType, Mention, Opinion, overlaps


@dataclass(frozen=True, slots=True)
class ViewOpinion:
    """One view alone on a span: as `core.events.Opinion`."""

    probability: float
    aleatoric: float
    epistemic: float
    share: float


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) in code points of the raw tweet; probability and uncertainties of the fused views."""

    start: int
    end: int
    type: EntityType
    probability: float
    aleatoric: float
    epistemic: float
    views: dict[str, ViewOpinion]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The spans of one tweet, in order, none overlapping; and what the best labelling has not, but may be there: the
    likeliest first, in any relation to the others. `typicality`: of the tweets that the model was calibrated on, the
    share that is as strange or stranger; None where the checkpoint or the tweet cannot say. `read`: whether the tweet
    had any of the views that are read."""

    spans: tuple[Span, ...] = ()
    candidates: tuple[Span, ...] = ()
    typicality: Annotated[float, Field(ge=0, le=1)] | None = None
    read: bool = True


MIN_CANDIDATE_PROBABILITY = 0.05
"""A span less probable than this is never asked about."""


def asking(prediction: Prediction, threshold: float) -> Prediction:
    """The same with no candidates but those of this probability or more."""
    return replace(prediction, candidates=tuple(one for one in prediction.candidates if one.probability >= threshold))


Spanned = TypeVar("Spanned", Span, Mention)


def mentions(text: str, prediction: Prediction) -> tuple[Mention, ...]:
    """The best labelling as values of the stream; `text` is the tweet's raw text that was encoded."""
    return _mentions(text, prediction.spans)


def candidate_mentions(text: str, prediction: Prediction) -> tuple[Mention, ...]:
    """What the best labelling has not, as values of the stream, the likeliest first."""
    return _mentions(text, prediction.candidates)


def candidates_to_ask(chosen: Sequence[Spanned], candidates: Sequence[Spanned]) -> list[Spanned]:
    """The candidates that are worth a question of their own; `candidates` the likeliest first.

    The words of a chosen one under another type are its own question, and of those that overlap each other only the
    likeliest is asked about (greedy non-maximum suppression).
    """
    words = {(one.start, one.end) for one in chosen}
    found: list[Spanned] = []
    for one in candidates:
        if (one.start, one.end) not in words and not any(overlaps(one, other) for other in found):
            found.append(one)
    return found


def _mentions(text: str, spans: Sequence[Span]) -> tuple[Mention, ...]:
    return tuple(
        Mention(
            start=span.start,
            end=span.end,
            text=text[span.start : span.end],
            type=span.type,
            probability=span.probability,
            aleatoric=span.aleatoric,
            epistemic=span.epistemic,
            views={
                name: Opinion(
                    probability=view.probability,
                    aleatoric=view.aleatoric,
                    epistemic=view.epistemic,
                    share=view.share,
                )
                for name, view in span.views.items()
            },
        )
        for span in spans
    )
