"""The model's prediction for one post, as it leaves the model's process, and the mentions made of it.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

from pydantic import Field

from core.events import EntityType, Mention, Opinion, overlaps


@dataclass(frozen=True, slots=True)
class ViewOpinion:
    """The opinion of one view alone about a span. The fields are those of `core.events.Opinion`."""

    probability: float
    aleatoric: float
    epistemic: float
    share: float


@dataclass(frozen=True, slots=True)
class Span:
    """A span with an entity type."""

    start: int  # code point of the raw text
    end: int  # code point of the raw text, exclusive
    type: EntityType
    probability: float  # of the fused views, as are the variances
    aleatoric: float
    epistemic: float
    views: dict[str, ViewOpinion]  # by the name of the view


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's prediction for one post."""

    #: The spans of the best labelling, in order, none overlapping.
    spans: tuple[Span, ...] = ()
    #: Other spans that may be mentions, most probable first. They may overlap `spans` and each other.
    candidates: tuple[Span, ...] = ()
    #: Share of the reference posts that are at least as unusual as this one. None for a post without words, for a
    #: checkpoint without a density, and when only the view `text+context` is read.
    typicality: Annotated[float, Field(ge=0, le=1)] | None = None
    #: Whether the post has any of the views that the checkpoint reads.
    read: bool = True
    #: Which checkpoint of a cascade answered, counted from 0.
    stage: Annotated[int, Field(ge=0)] = 0


MIN_CANDIDATE_PROBABILITY = 0.05
"""Lowest probability of the candidates that calibration and evaluation consider."""


def asking(prediction: Prediction, threshold: float) -> Prediction:
    """Returns the prediction without the candidates below the threshold."""
    return replace(
        prediction, candidates=tuple(span for span in prediction.candidates if span.probability >= threshold)
    )


Spanned = TypeVar("Spanned", Span, Mention)


def mentions(text: str, prediction: Prediction) -> tuple[Mention, ...]:
    """Returns the chosen spans as mentions. `text` is the raw text that was encoded."""
    return _mentions(text, prediction.spans)


def candidate_mentions(text: str, prediction: Prediction) -> tuple[Mention, ...]:
    """Returns the candidates as mentions, most probable first. `text` is the raw text that was encoded."""
    return _mentions(text, prediction.candidates)


def candidates_to_ask(chosen: Sequence[Spanned], candidates: Sequence[Spanned]) -> list[Spanned]:
    """Returns the candidates that deserve a question of their own. `candidates` come most probable first.

    A candidate with the words of a chosen mention belongs to that mention's question. Of candidates that overlap, only
    the most probable is asked about (greedy non-maximum suppression).
    """
    chosen_words = {(mention.start, mention.end) for mention in chosen}
    result: list[Spanned] = []
    for candidate in candidates:
        is_new = (candidate.start, candidate.end) not in chosen_words
        if is_new and not any(overlaps(candidate, other) for other in result):
            result.append(candidate)
    return result


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
            views={name: Opinion.model_validate(opinion, from_attributes=True) for name, opinion in span.views.items()},
        )
        for span in spans
    )
