"""Publishes trained weights as a checkpoint folder: calibrates on validation data, writes, measures."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import torch as safetensors

from core.atomic import atomic_write
from core.errors import UserError
from core.events import ENTITY_TYPES
from model import adapters
from model.checkpoint import CARD, INT8_SCALES, TOKENIZER, WEIGHTS, CheckpointInfo, Int8, write_config
from model.extractor import Extractor
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.calibrate import (
    CANDIDATE_BUDGET,
    UNCALIBRATED,
    Calibration,
    calibrate,
    fit_density,
    with_reference,
)
from model.training.evaluate import evaluate
from model.training.guarantee import Promise
from model.training.material import Material
from model.training.reading import caption_modes
from model.training.scores import Scoreboard

CONFIG_COPY = "training.toml"
"""The configuration of the training, beside the weights."""
INT8_SECTION = re.compile(r"^## Int8\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
LIMITS = "## Limits\n"
"""Heading of the last section of the model card."""


@dataclass(frozen=True)
class Row:
    """A row of the card's table."""

    data: str
    split: str
    context: str
    scores: Scoreboard


@dataclass(frozen=True)
class Published:
    """The written checkpoint, and its scores."""

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
    """Calibrates on the validation splits, writes the folder, then scores what was written on all held-out splits.

    The card is written last: a folder without one is unfinished. If `target_precision` cannot be promised, the highest
    possible precision is promised. If nothing can be calibrated, every mention goes to review. Raises `OSError`.
    """
    validation = [example for examples in material.validation.values() for example in examples]
    density = fit_density(network.eval(), tokenizer, material.labelled, device, material.background)
    network.density = density and with_reference(density, network, tokenizer, validation, device)
    try:
        calibration = calibrate(network, tokenizer, validation, CANDIDATE_BUDGET, device)
    except UserError:  # too few mentions are predicted: all of them go to review
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
    scored = written.predictor, written.tokenizer
    rows = [
        Row(data, split, "captions" if captions else "none", evaluate(*scored, examples, captions))
        for (data, split), examples in material.held_out.items()
        for captions in caption_modes(network.design, examples)
    ]
    published = Published(info, calibration, promise, rows)
    with atomic_write(folder / CARD) as file:
        file.write(_card(published).encode())
    return published


def write(folder: Path, network: Tagger, tokenizer: TweetTokenizer, info: CheckpointInfo) -> None:
    """Writes everything but the card, with weights in fp16.

    For a packaged encoder (`info.base`), writes only the added weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = adapters.added(network.state_dict()) if info.base else adapters.merged(network.state_dict())
    weights = {name: value.detach().cpu().to(torch.float16).contiguous() for name, value in kept.items()}
    (folder / WEIGHTS).write_bytes(safetensors.save(weights))  # `save_file` makes the file readable only by its owner
    tokenizer.tokenizer.save(str(folder / TOKENIZER))
    if network.density is not None:
        network.density.save(folder)
    write_config(folder, info)


def _card(published: Published) -> str:
    info, promise, calibration = published.info, published.promise, published.calibration
    provenance = "\n".join(f"- {name}: {value}" for name, value in info.provenance.items())
    table = "\n".join(_line(row) for row in published.rows)
    on = f", on the packaged encoder {info.base.name}" if info.base else ""
    return f"""# {info.name}

An evidential named entity tagger for posts. It finds {", ".join(ENTITY_TYPES)}. Each mention has a probability, an
aleatoric and an epistemic uncertainty. Views: {", ".join(info.design.views)}. Each view gives a Normal-inverse-Gamma
belief per word and label; the views that a post has are fused into one belief.

## Training
{provenance}
- design: {info.design}{on}

## Chosen on validation data
A later calibration changes these values in `config.json` and `density.safetensors`, but not here.
- temperature {info.temperature}
{_promised(info.threshold, promise)}
- candidate threshold {info.candidate_threshold}: {calibration.asked:.1%} questions per predicted mention

## Measured
One training with one seed. The validation splits chose the epoch, the temperatures and the thresholds; the test splits
were read once, at the end. A model trained on several data sets is not comparable with models trained on one of them.

F1, precision and recall follow seqeval's default over the published tags. ece, auroc (telling wrong mentions from right
ones by their probability) and aurc (lower is better) are over predicted mentions.

| data | split | context | F1 | precision | recall | support | ece | auroc | aurc |
|---|---|---|---|---|---|---|---|---|---|
{table}

## Limits
It has learned English tweets and their annotators' habits. Without a view `image` it reads no pixels, only text that
describes an image. It fails most on names that are newer than its training data. It was trained on people's public
posts: what it says about a person is a guess about a text, nothing more.
"""


def _promised(threshold: float, promise: Promise) -> str:
    reviewed = ", ".join(f"{share:.1%} ({mode})" for mode, share in promise.reviewed.items()) or "all"
    return f"""\
- review threshold {threshold}: mentions at or above it have a precision of at least {promise.target:.4g} on
  posts of the same kind; this fails with probability {promise.delta:g} over draws of the validation data (Learn then
  Test); share of the mentions below it: {reviewed}"""


def with_int8(card: str, int8: Int8, promise: Promise) -> str:
    """Returns the model card with a section on the int8 runtime, in place of an earlier one."""
    before, limits, rest = INT8_SECTION.sub("", card).partition(LIMITS)
    return (
        f"""{before.rstrip()}

## Int8
The checkpoint has a second runtime for CPUs, in which the encoder's linear steps multiply bytes. `{INT8_SCALES}` holds
their scales. The scores above are those of torch. Int8 has values of its own, chosen on validation data:
- temperature {int8.temperature}
{_promised(int8.threshold, promise)}
- candidate threshold {int8.candidate_threshold}

{limits}{rest}""".rstrip()
        + "\n"
    )


def _line(row: Row) -> str:
    scores = row.scores
    auroc = "-" if scores.auroc_error is None else f"{scores.auroc_error:.3f}"
    return (
        f"| {row.data} | {row.split} | {row.context} | {scores.f1:.4f} | {scores.precision:.4f} | {scores.recall:.4f} "
        f"| {scores.support} | {scores.ece:.4f} | {auroc} | {scores.aurc:.4f} |"
    )
