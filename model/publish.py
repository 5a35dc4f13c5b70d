"""From trained weights to a checkpoint folder: calibration and threshold on validation data, files, model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from model import adapters
from model.checkpoint import CARD, TOKENIZER, WEIGHTS, CheckpointInfo, write_config
from model.corpus import Example
from model.extractor import BATCH_TOKENS, batches
from model.mentions import Prediction
from model.predictor import decode, run
from model.scores import Judged, Scoreboard, judge, review_threshold
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from streams.errors import UserError

TEMPERATURES = tuple(round(float(value), 2) for value in np.arange(0.4, 3.01, 0.1))


@dataclass(frozen=True)
class Calibration:
    """`reviewed`: the share of validation mentions below the threshold."""

    temperature: float
    threshold: float
    precision: float
    reviewed: float


def calibrate(
    network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], target_precision: float, device: str
) -> Calibration:
    """Temperature by the log-loss of mention probabilities, then the smallest threshold that keeps `target_precision`.

    Both on validation `examples`, each seen with and without its caption. Temperature scaling: Guo et al., ICML 2017.
    Raises `UserError` when no threshold reaches the target.
    """
    views = [(example, caption) for example in examples for caption in (None, example.caption)]
    encoded = [tokenizer.encode_words(example.words, caption) for example, caption in views]
    groups = [[encoded[row] for row in rows] for rows in batches(encoded, BATCH_TOKENS)]
    gold = [views[row][0].tags for rows in batches(encoded, BATCH_TOKENS) for row in rows]
    outputs = [run(network, group, tokenizer.config, device) for group in groups]

    def judged(temperature: float) -> list[Judged]:
        predictions: list[Prediction] = []
        for output in outputs:
            predictions += decode(network, output, temperature)
        return judge(gold, predictions)

    temperature = min(TEMPERATURES, key=lambda temperature: _log_loss(judged(temperature)))
    final = judged(temperature)
    threshold = review_threshold(final, target_precision)
    if threshold is None:
        raise UserError(f"--target-precision {target_precision}: no threshold reaches it on the validation data")
    above = [one.correct for one in final if one.probability >= threshold]
    return Calibration(temperature, threshold, sum(above) / len(above), 1 - len(above) / len(final))


def _log_loss(judged: Sequence[Judged]) -> float:
    probability = np.clip([one.probability for one in judged], 1e-6, 1 - 1e-6)
    correct = np.array([one.correct for one in judged], dtype=bool)
    return float(-np.log(np.where(correct, probability, 1 - probability)).mean())


def write(folder: Path, network: Tagger, tokenizer: TweetTokenizer, info: CheckpointInfo) -> None:
    """Everything but the card. Weights in fp16; where the encoder is packaged (`info.base`) only what was added."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = adapters.added(network.state_dict()) if info.base else adapters.merged(network.state_dict())
    weights = {name: value.detach().cpu().to(torch.float16).contiguous() for name, value in kept.items()}
    save_file(weights, folder / WEIGHTS)
    tokenizer.tokenizer.save(str(folder / TOKENIZER))
    write_config(folder, info)


@dataclass(frozen=True)
class Row:
    """A line of the card's table."""

    data: str
    split: str
    context: str
    scores: Scoreboard


def write_card(folder: Path, info: CheckpointInfo, calibration: Calibration, rows: Sequence[Row], note: str) -> None:
    """`README.md`: what the model is, what it was made of, its measured table."""
    made = "\n".join(f"- {name}: {value}" for name, value in info.provenance.items())
    table = "\n".join(_line(row) for row in rows)
    (folder / CARD).write_text(
        f"""# {info.name}

Evidential named entity tagger for posts: PER, LOC, ORG, MISC, each mention with a probability, an aleatoric and an
epistemic uncertainty. Two views of a tweet, its text, and its text with what is known about its images; each gives a
Normal-inverse-Gamma belief per word and label, and the views that are there are fused into one.

## Made of
{made}

## Chosen on validation data
- temperature {calibration.temperature}
- review threshold {info.threshold}: the smallest for which mentions at or above it are right to at least
  {info.target_precision:.0%} (there: {calibration.precision:.1%}); {calibration.reviewed:.1%} of mentions fall below it

## Measured
{note}
F1, precision and recall by seqeval's default over the published tags; ece and auroc (telling wrong mentions from
right ones by their probability) over predicted mentions; aurc: lower is better.

| data | split | context | F1 | precision | recall | support | ece | auroc | aurc |
|---|---|---|---|---|---|---|---|---|---|
{table}

## Limits
English tweets of 2012 to 2017 and their annotators' habits. Text that spells out an image takes the place of the image;
no pixels are read. Names that nobody wrote about then are where it fails most. It was trained on people's public
posts: what it says about a person is a guess about a text, nothing more.
""",
        encoding="utf-8",
    )


def _line(row: Row) -> str:
    scores = row.scores
    auroc = "-" if scores.auroc_error is None else f"{scores.auroc_error:.3f}"
    return (
        f"| {row.data} | {row.split} | {row.context} | {scores.f1:.4f} | {scores.precision:.4f} | {scores.recall:.4f} "
        f"| {scores.support} | {scores.ece:.4f} | {auroc} | {scores.aurc:.4f} |"
    )
