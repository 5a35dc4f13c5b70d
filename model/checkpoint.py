"""A checkpoint folder: weights, configuration, tokenizer, model card. Imports no torch.

model.safetensors    weights, fp16
config.json          `CheckpointInfo`
tokenizer.json       the encoder's tokenizer
density.safetensors  the density that gives typicality (`model.density`), optional
int8.safetensors     the scales of the int8 runtime (`model.int8_scales`), optional
density.int8.safetensors  the density with its reference read in int8, optional
README.md            the model card
vision/              the image encoder, if a view reads images
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from core.atomic import atomic_write
from core.errors import UserError
from core.events import Runtime, Score, Value, explain
from model.design import CONTEXT, IMAGE, Design
from model.tokens import TokenizerConfig

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
CARD = "README.md"
VISION = "vision"
INT8_SCALES = "int8.safetensors"
NAME = r"^[A-Za-z0-9_.-]{1,64}$"
"""Pattern of a checkpoint's name, which appears in records and metrics."""
SHA256 = r"^[0-9a-f]{64}$"


class Base(Value):
    """The packaged encoder (`model.packaged`) that a checkpoint's adapters were trained on."""

    name: Literal["minilm", "mpnet"]
    #: SHA-256 of its weights.
    sha256: str = Field(pattern=SHA256)


class Temperatures(Value):
    """Numbers that divide all scores of a belief (temperature scaling: Guo et al., ICML 2017).

    Fusion treats views as independent, although they read the same words. So a fused belief is overconfident and
    has a temperature of its own.
    """

    #: For the belief of one view.
    single: float = Field(gt=0)
    #: For the fused belief of several views.
    joined: float = Field(gt=0)

    @classmethod
    def same(cls, value: float) -> Temperatures:
        return cls(single=value, joined=value)

    def __str__(self) -> str:
        return f"{self.single:g} for a single view, {self.joined:g} for several"

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: object) -> object:
        """Reads older checkpoints, which have one temperature for both."""
        return {"single": value, "joined": value} if isinstance(value, int | float) else value


class Int8(Value):
    """The files of the int8 runtime, and what was fitted for it. The latter fields are those of `CheckpointInfo`."""

    #: SHA-256 of `INT8_SCALES`.
    sha256: str = Field(pattern=SHA256)
    #: SHA-256 of `model.density.INT8_DENSITY`. None if int8 gives no typicality.
    density_sha256: str | None = Field(default=None, pattern=SHA256)
    threshold: Score
    target_precision: Score
    temperature: Temperatures
    candidate_threshold: float = Field(gt=0, le=1)
    delta: Score | None = None


def _is_none(value: object) -> bool:
    return value is None


class CheckpointInfo(Value):
    """A checkpoint's configuration. Checkpoints before version 0.2 call two fields `release` and `possible`."""

    name: str = Field(pattern=NAME)
    #: Unix seconds of the training. A later version wins in the index.
    model_version: int = Field(validation_alias="release", ge=0, lt=2**40)
    #: Mentions below this probability go to review.
    threshold: Score
    #: Promised precision of mentions at or above the threshold.
    target_precision: Score
    #: Chosen on validation data.
    temperature: Temperatures
    labels: tuple[str, ...]
    design: Design = Design()
    #: Candidates at or above this probability go to review; 1 means none.
    candidate_threshold: float = Field(default=1.0, validation_alias="possible", gt=0, le=1)
    #: Probability, over draws of the validation data, that the target is missed. None if nothing was promised.
    delta: Score | None = None
    #: Configuration of the `transformers` encoder.
    encoder: dict[str, Any]
    #: Package with the encoder's weights. None if the checkpoint holds them.
    base: Base | None = None
    #: Folder or hub name of the image encoder. None if no view reads images.
    vision: str | None = None
    tokenizer: TokenizerConfig
    #: Data, options and command of the training, for the model card.
    provenance: dict[str, Any] = Field(default_factory=dict)
    #: None without int8 layers. Absent before 0.4.
    int8: Int8 | None = Field(default=None, exclude_if=_is_none)
    #: What the thresholds and temperatures belong to. Never stored: a stored checkpoint's are those of torch.
    runtime: Runtime = Field(default="torch", exclude=True)

    def running(self, runtime: Runtime) -> CheckpointInfo:
        """Returns the configuration with the thresholds and temperatures of this runtime."""
        if runtime == self.runtime:
            return self
        assert runtime == "int8", "the values of torch are gone"
        assert self.int8 is not None, "the checkpoint has no int8 layers"
        own = self.int8
        update = {name: getattr(own, name) for name in Int8.model_fields if name in CheckpointInfo.model_fields}
        return self.model_copy(update={**update, "runtime": runtime})

    def reading(self, views: Sequence[str] | None) -> CheckpointInfo:
        """Returns the configuration with these views only; None keeps all.

        Thresholds and temperatures stay, although they were calibrated with all views. Raises `UserError` when
        `views` is empty or the checkpoint lacks one of them.
        """
        own = self.design.views
        if views is None:
            return self
        if isinstance(views, str) or not views or not set(views) <= set(own):
            raise UserError(
                f"views {','.join(views)}: the checkpoint {self.name} has {', '.join(own)}; choose from these"
            )
        reads_images = IMAGE in views
        parts = {
            "views": tuple(view for view in own if view in views),
            "image_width": self.design.image_width if reads_images else 0,
            "discount": self.design.discount and CONTEXT in views,
        }
        vision = self.vision if reads_images else None
        return self.model_copy(update={"design": self.design.model_copy(update=parts), "vision": vision})


def describe(folder: Path) -> CheckpointInfo:
    """Reads the configuration of a checkpoint. Raises `UserError` when the folder is not a complete checkpoint."""
    return describe_with_digest(folder)[0]


def describe_with_digest(folder: Path) -> tuple[CheckpointInfo, str]:
    """Does what `describe` does. Returns the SHA-256 of the same bytes of `config.json`, too."""
    try:
        config = (folder / CONFIG).read_bytes()
        info = CheckpointInfo.model_validate_json(config.decode())
    except OSError:
        raise UserError(
            f"no model checkpoint in {folder}: {CONFIG} is missing; choose another folder, or train a checkpoint"
        ) from None
    except ValidationError as error:
        raise UserError(f"{folder / CONFIG} is broken: {explain(error)}") from None
    except UnicodeDecodeError:
        raise UserError(f"{folder / CONFIG} is broken: not UTF-8") from None
    own_encoder = info.vision == VISION
    for needed in (WEIGHTS, TOKENIZER, *([f"{VISION}/{CONFIG}"] if own_encoder else [])):
        if not (folder / needed).is_file():
            raise UserError(f"the model checkpoint {folder} is incomplete: {needed} is missing")
    described = info.model_copy(update={"vision": str(folder / VISION)}) if own_encoder else info
    return described, hashlib.sha256(config).hexdigest()


@dataclass(frozen=True)
class Promised:
    """What a checkpoint promises of mentions at or above its threshold (docs/calibration.md)."""

    precision: float
    threshold: float
    #: Probability, over draws of the validation data, that the promise fails. None if a checkpoint before 0.2 made it.
    delta: float | None
    trained_at: datetime
    model_version: int

    def holds_at(self, threshold: float | None) -> bool:
        """Whether it was made for the threshold in use. None: that of the checkpoint."""
        return threshold is None or threshold == self.threshold


def promised(folder: Path) -> Promised | None:
    """Returns the promise of a checkpoint, or None if it promises nothing. Raises `UserError` as `describe` does."""
    info = describe(folder)
    if not info.target_precision:
        return None
    trained_at = datetime.fromtimestamp(info.model_version, UTC)
    return Promised(info.target_precision, info.threshold, info.delta, trained_at, info.model_version)


def write_config(folder: Path, info: CheckpointInfo) -> None:
    """Writes `config.json` atomically. An image encoder inside the folder is named relative to it."""
    if info.vision is not None and Path(info.vision).resolve() == (folder / VISION).resolve():
        info = info.model_copy(update={"vision": VISION})
    with atomic_write(folder / CONFIG) as file:
        file.write(f"{info.model_dump_json(indent=1)}\n".encode())
