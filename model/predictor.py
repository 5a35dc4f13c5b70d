"""The trained network, ready to predict: padded batches in, spans with their probability and evidence out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig

from model.checkpoint import WEIGHTS, CheckpointInfo, describe
from model.decode import Floats, WordSpan, span_probability, spans, viterbi
from model.evidence import NIG
from model.mentions import Prediction, Span, ViewOpinion
from model.tagger import LABELS, VIEWS, Batch, Tagger, collate, fused
from model.tokens import Encoded, TokenizerConfig
from streams.errors import UserError
from streams.events import ENTITY_TYPES, EntityType

DIGITS = 6
"""Predictions are rounded to this many decimals, so that a replay on another machine writes the same bytes."""


def load(checkpoint: Path, *, device: str, threads: int) -> Predictor:
    """`device`: auto, cpu or cuda; `threads`: of the CPU, 0 for one per core. Raises `UserError`."""
    info = describe(checkpoint)
    if info.labels != LABELS or info.views != VIEWS:
        raise UserError(
            f"the checkpoint {checkpoint} has labels {info.labels} and views {info.views}: another version's"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("MNER_DEVICE=cuda, but torch sees no GPU: set MNER_DEVICE=auto or cpu")
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    encoder = dict(info.encoder)
    network = Tagger(AutoConfig.for_model(encoder.pop("model_type"), **encoder))
    try:
        network.load_state_dict(load_file(checkpoint / WEIGHTS))
    except (SafetensorError, OSError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{checkpoint / WEIGHTS} is broken or of another model: {first}") from None
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return Predictor(network, info, chosen)


class Predictor:
    """Thread-safe: it changes nothing of itself. An empty batch or a tweet without words is fine."""

    def __init__(self, network: Tagger, info: CheckpointInfo, device: str) -> None:
        self.network = network.to(device).eval()
        self.info = info
        self.device = device

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        """One prediction per tweet, in order. Padding and company in the batch change nothing beyond rounding."""
        if not batch:
            return []
        return decode(batch, *run(self.network, batch, self.info.tokenizer, self.device), self.info.temperature)


def run(
    network: Tagger, batch: Sequence[Encoded], config: TokenizerConfig, device: str
) -> tuple[list[NIG], NIG, Batch]:
    """The beliefs of each view and the fused one, (B, W, L) on the CPU, and the padded batch."""
    tensors = collate(batch, config).to(device)
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        views = network(tensors)
        together = fused(views, tensors)
    return [_to_cpu(view) for view in views], _to_cpu(together), tensors.to("cpu")


def _to_cpu(belief: NIG) -> NIG:
    return NIG(*(part.cpu() for part in belief))


def decode(
    batch: Sequence[Encoded], views: Sequence[NIG], together: NIG, tensors: Batch, temperature: float
) -> list[Prediction]:
    """Spans from the fused belief; on each span, what the fused belief and every present view hold."""
    log_probabilities = torch.log_softmax(together.log_odds() / temperature, -1).numpy()
    readings = {name: _Reading(view, temperature) for name, view in zip(VIEWS, views, strict=True)}
    whole = _Reading(together, temperature)
    present = tensors.present.numpy()
    predictions = []
    for row, labelling in enumerate(viterbi(log_probabilities, [len(encoded.heads) for encoded in batch])):
        there = {name: readings[name] for view, name in enumerate(VIEWS) if present[view, row]}
        found = [
            _span(
                batch[row],
                row,
                span,
                whole,
                {name: view.on(row, span, len(labelling), whole) for name, view in there.items()},
            )
            for span in spans(labelling)
        ]
        predictions.append(Prediction(tuple(found)))
    return predictions


def _span(encoded: Encoded, row: int, span: WordSpan, whole: _Reading, views: dict[str, ViewOpinion]) -> Span:
    fused_opinion = whole.on(row, span, len(encoded.heads), whole)
    return Span(
        start=encoded.spans[span.first][0],
        end=encoded.spans[span.last - 1][1],
        type=entity_type(span),
        probability=fused_opinion.probability,
        aleatoric=fused_opinion.aleatoric,
        epistemic=fused_opinion.epistemic,
        views=views,
    )


def entity_type(span: WordSpan) -> EntityType:
    """The type that a span's label names."""
    return ENTITY_TYPES[(span.begin - 1) // 2]


class _Reading:
    """One belief as arrays (B, W, L): what it holds of any span."""

    def __init__(self, belief: NIG, temperature: float) -> None:
        self.probabilities: Floats = torch.softmax(belief.log_odds() / temperature, -1).numpy()
        self.aleatoric: Floats = belief.aleatoric.numpy()
        self.epistemic: Floats = belief.epistemic.numpy()
        self.nu: Floats = belief.nu.numpy()

    def on(self, row: int, span: WordSpan, length: int, whole: _Reading) -> ViewOpinion:
        """Variances are means over the span's words and all labels; the share is of the fused nu there."""
        words = slice(span.first, span.last)
        share = self.nu[row, words].sum() / whole.nu[row, words].sum()
        return ViewOpinion(
            probability=_rounded(min(1.0, span_probability(self.probabilities[row, :length], span))),
            aleatoric=_rounded(self.aleatoric[row, words].mean()),
            epistemic=_rounded(self.epistemic[row, words].mean()),
            share=_rounded(min(1.0, share)),
        )


def _rounded(value: float | np.floating) -> float:
    return round(float(value), DIGITS)
