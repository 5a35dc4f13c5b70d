"""What the model says about one tweet, as it leaves the model's process, and the mentions made of it. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from streams.events import EntityType, Mention, Opinion


@dataclass(frozen=True, slots=True)
class ViewOpinion:
    """One view alone on a span: as `streams.events.Opinion`."""

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
    likeliest first, in any relation to the others."""

    spans: tuple[Span, ...] = ()
    possible: tuple[Span, ...] = ()


def mentions(text: str, prediction: Prediction) -> tuple[Mention, ...]:
    """The prediction as values of the stream; `text` is the tweet's raw text that was encoded."""
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
        for span in prediction.spans
    )
