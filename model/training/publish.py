"""From trained weights to a checkpoint folder: calibrated on validation data, written, measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import torch as safetensors

from core.errors import UserError
from model import adapters
from model.checkpoint import CARD, TOKENIZER, WEIGHTS, CheckpointInfo, write_config
from model.extractor import Extractor
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.calibrate import UNCALIBRATED, Calibration, calibrate, compared, fit_density
from model.training.evaluate import evaluate
from model.training.guarantee import Promise
from model.training.material import Material
from model.training.reading import ways
from model.training.scores import Scoreboard

POSSIBLE_BUDGET = 0.05
"""Possible mentions that people are asked about, per predicted mention."""


@dataclass(frozen=True)
class Row:
    """A line of the card's table."""

    data: str
    split: str
    context: str
    scores: Scoreboard


@dataclass(frozen=True)
class Published:
    info: CheckpointInfo
    calibration: Calibration
    promise: Promise
    rows: list[Row]


def publish(
    folder: Path,
    network: Tagger,
    tokenizer: TweetTokenizer,
    info: CheckpointInfo,
    material: Material,
    target_precision: float,
    device: str,
) -> Published:
    """Calibrates on validation, writes the folder, then scores what was written once on everything held out. The card
    is written last: a folder without one is unfinished.

    Where `target_precision` cannot be promised, the highest that can is; where nothing can be calibrated, every mention
    goes to people. Raises `OSError`.
    """
    validation = [example for examples in material.validation.values() for example in examples]
    fitted = fit_density(network.eval(), tokenizer, material.labelled, device, material.others)
    network.density = fitted and compared(fitted, network, tokenizer, validation, device)
    try:
        calibration = calibrate(network, tokenizer, validation, POSSIBLE_BUDGET, device)
    except UserError:  # too few mentions are predicted: all of them go to people
        calibration = UNCALIBRATED
    promise = calibration.promise(target_precision) or calibration.highest()
    info = info.model_copy(
        update={
            "model_version": int(time.time()),
            "threshold": promise.threshold,
            "target_precision": promise.target,
            "delta": promise.delta,
            "temperature": calibration.temperature,
            "candidate_threshold": calibration.candidate_threshold,
        }
    )
    write(folder, network, tokenizer, info)
    written = Extractor.load(folder, device=device, threads=torch.get_num_threads())
    rows = [
        Row(data, split, "captions" if on else "none", evaluate(written.predictor, written.tokenizer, examples, on))
        for (data, split), examples in material.held_out.items()
        for on in ways(network.design, examples)
    ]
    published = Published(info, calibration, promise, rows)
    partial = folder / f"{CARD}.partial"
    partial.write_text(_card(published), encoding="utf-8")
    partial.replace(folder / CARD)
    return published


def write(folder: Path, network: Tagger, tokenizer: TweetTokenizer, info: CheckpointInfo) -> None:
    """Everything but the card. Weights in fp16; where the encoder is packaged (`info.base`) only what was added."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = adapters.added(network.state_dict()) if info.base else adapters.merged(network.state_dict())
    weights = {name: value.detach().cpu().to(torch.float16).contiguous() for name, value in kept.items()}
    (folder / WEIGHTS).write_bytes(safetensors.save(weights))  # its `save_file` lets nobody else read the file
    tokenizer.tokenizer.save(str(folder / TOKENIZER))
    if network.density is not None:
        network.density.save(folder)
    write_config(folder, info)


def _card(published: Published) -> str:
    info, promise, calibration = published.info, published.promise, published.calibration
    made = "\n".join(f"- {name}: {value}" for name, value in info.provenance.items())
    table = "\n".join(_line(row) for row in published.rows)
    reviewed = ", ".join(f"{share:.1%} ({way})" for way, share in promise.reviewed.items()) or "all"
    on = f", on the packaged encoder {info.base.name}" if info.base else ""
    return f"""# {info.name}

Evidential named entity tagger for posts: PER, LOC, ORG, MISC, each mention with a probability, an aleatoric and an
epistemic uncertainty. Views of a tweet: {", ".join(info.design.views)}. Each gives a Normal-inverse-Gamma belief per
word and label, and the views that are there are fused into one.

## Made of
{made}
- design: {info.design}{on}

## Chosen on validation data
By the training; `mner calibrate` writes other choices into `config.json` and `density.safetensors`, not here.
- temperature {info.temperature}
- review threshold {info.threshold}: mentions at or above it are right to {info.target_precision:.4g} or more on
  tweets of the same kind, but for a chance of {promise.delta:g} over draws of the validation data (Learn then Test);
  mentions below it there: {reviewed}
- candidate threshold {info.candidate_threshold}: {calibration.asked:.1%} of the predicted mentions there

## Measured
One training, one seed. Epoch, temperatures and thresholds were chosen on the validation splits; the test splits were
read once, at the end. A model trained on several sets is not comparable with models of one set's own split alone.

F1, precision and recall by seqeval's default over the published tags; ece and auroc (telling wrong mentions from
right ones by their probability) over predicted mentions; aurc: lower is better.

| data | split | context | F1 | precision | recall | support | ece | auroc | aurc |
|---|---|---|---|---|---|---|---|---|---|
{table}

## Limits
English tweets and their annotators' habits. No pixels are read unless there is a view `image`; text that spells out an
image takes its place. Names that nobody wrote about then are where it fails most. It was trained on people's public
posts: what it says about a person is a guess about a text, nothing more.
"""


def _line(row: Row) -> str:
    scores = row.scores
    auroc = "-" if scores.auroc_error is None else f"{scores.auroc_error:.3f}"
    return (
        f"| {row.data} | {row.split} | {row.context} | {scores.f1:.4f} | {scores.precision:.4f} | {scores.recall:.4f} "
        f"| {scores.support} | {scores.ece:.4f} | {auroc} | {scores.aurc:.4f} |"
    )
