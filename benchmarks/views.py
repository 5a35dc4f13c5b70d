"""Measures each view, and whether the context's evidence falls when the caption belongs to another post."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.reading import Read, read
from core.errors import UserError
from model.checkpoint import Temperatures
from model.decode import Floats
from model.design import CONTEXT
from model.evidence import fuse
from model.predictor import Output
from model.training.corpus import Example, legal
from model.training.reading import Reading
from model.training.scores import scoreboard


@dataclass(frozen=True)
class Evidence:
    """The discounted nu of the context view: mean over labels and words of gold mentions, then over posts."""

    tweets: int
    """Number of posts with a caption and a mention."""
    own: float
    """With the post's own caption."""
    shuffled: float
    """With another post's caption."""
    effect: float | None
    """Cohen's d of the paired differences, own minus shuffled (d_z: Cohen, 1988, eq. 2.3.5); None if all are alike."""


@dataclass(frozen=True)
class Views:
    """The F1 of the views, and the evidence of the context."""

    f1: dict[str, float]
    """F1 of each view alone, and of all views fused with own, dropped and shuffled captions.

    A single view finds nothing in a post that lacks it.
    """
    evidence: Evidence


def views(checkpoint: Read, examples: Sequence[Example], seed: int) -> Views:
    """Measures the views on the `examples`. Raises `UserError` without a context view or captions to shuffle."""
    extractor = checkpoint.extractor
    design = extractor.info.design
    if CONTEXT not in design.views:
        raise UserError(f"--views: the checkpoint {extractor.info.name} has no view {CONTEXT}")
    temperature = extractor.info.temperature
    other = read(extractor, shuffled(examples, seed), captions=True)
    assert checkpoint.captioned is not None, "captions that can be shuffled were read"
    own, dropped = checkpoint.captioned, checkpoint.text["tweets"]
    alone = {
        f"{view} alone": _f1(own, [_only(own, output, place) for output in own.outputs], temperature)
        for place, view in enumerate(design.views)
    }
    fused = {"fused": own, "fused, captions dropped": dropped, "fused, captions shuffled": other}
    together = {name: _f1(reading, reading.outputs, temperature) for name, reading in fused.items()}
    return Views(alone | together, evidence(context_nu(own), context_nu(other)))


def shuffled(examples: Sequence[Example], seed: int) -> list[Example]:
    """Gives every caption to another post. Raises `UserError` with fewer than two captions."""
    captioned = [place for place, example in enumerate(examples) if example.caption]
    if len(captioned) < 2:
        raise UserError("--captions: fewer than two posts have one, so none can be shuffled")
    random.Random(seed).shuffle(captioned)
    result = list(examples)
    for place, giver in zip(captioned, [*captioned[1:], captioned[0]], strict=True):
        result[place] = replace(examples[place], caption=examples[giver].caption)
    return result


def context_nu(reading: Reading) -> dict[str, float]:
    """Returns the nu of each post with a caption and a mention, by its id."""
    found = {}
    examples = iter(reading.examples)
    for output in reading.outputs:
        place = reading.network.design.views.index(CONTEXT)
        counts = output.views[place].nu.float().mean(-1) * output.shares[place].unsqueeze(1)
        nu: Floats = counts.cpu().numpy()  # (B, W)
        for row, encoded in enumerate(output.encoded):
            example = next(examples)
            tags = legal(example.tags)
            words = [number for number, (word, _) in enumerate(encoded.spans) if tags[word] != "O"]
            if words and output.batch.present[place, row]:
                found[example.id] = float(nu[row, words].mean())
    return found


def evidence(own: dict[str, float], other: dict[str, float]) -> Evidence:
    both = sorted(own.keys() & other.keys())
    if not both:
        raise UserError("--views: no post has a caption and a mention")
    first, second = (np.array([nu[tweet] for tweet in both]) for nu in (own, other))
    differences = first - second
    deviation = float(differences.std(ddof=1)) if len(both) > 1 else 0.0
    effect = float(differences.mean()) / deviation if deviation else None
    return Evidence(len(both), float(first.mean()), float(second.mean()), effect)


def _only(reading: Reading, output: Output, view: int) -> Output:
    """Returns the same output as if the posts had only this view."""
    present = output.batch.present.clone()
    present[np.arange(len(present)) != view] = False
    batch = replace(output.batch, present=present)
    return replace(output, batch=batch, shares=present, together=fuse(output.views, present))


def _f1(reading: Reading, outputs: Sequence[Output], temperature: Temperatures) -> float:
    return scoreboard(reading.gold, replace(reading, outputs=list(outputs)).predictions(temperature)).f1
