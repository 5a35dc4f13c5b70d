"""A checkpoint folder: weights, configuration, tokenizer, model card. Read here without torch.

model.safetensors   weights, fp16
config.json         `CheckpointInfo`
tokenizer.json      the encoder's tokenizer
density.safetensors  what tweets the model knows (`model.density`); may be absent
README.md           the model card
vision/             the model that makes the image features, where a view reads them
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from core.atomic import atomic_write
from core.errors import UserError
from core.events import Score, Value, explain
from model.design import CONTEXT, IMAGE, Design
from model.tokens import TokenizerConfig

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
CARD = "README.md"
VISION = "vision"
NAME = r"^[A-Za-z0-9_.-]{1,64}$"
"""Of a checkpoint: it stands in records and metrics."""


class Base(Value):
    """The packaged encoder (`model.packaged`) that a checkpoint's adapters belong on, and its weights' SHA-256."""

    name: Literal["minilm", "mpnet"]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Temperatures(Value):
    """What divides all scores: of a belief of a `single` view, and of several `joined`. Joining adds up the evidence of
    views that have read the same words, as if they were independent, and so is surer than it should be."""

    single: float = Field(gt=0)
    joined: float = Field(gt=0)

    @classmethod
    def same(cls, value: float) -> Temperatures:
        return cls(single=value, joined=value)

    def told(self) -> str:
        return f"{self.single:g} of a single view, {self.joined:g} of joined ones"

    @model_validator(mode="before")
    @classmethod
    def _older(cls, value: object) -> object:
        """A checkpoint made before there were two has a number."""
        return {"single": value, "joined": value} if isinstance(value, int | float) else value


class CheckpointInfo(Value):
    """What a checkpoint says about itself.

    `model_version`: unix seconds of training, so that a later one wins in the index; `threshold`: mentions below it go to
    review, chosen on validation for `target_precision` above it; `delta`: the chance, over draws of validation data,
    that it is missed (`guarantee`), None where nothing was promised; `candidate_threshold`: spans of this probability or
    more go to review though they are not in the best labelling, 1 for none; `temperature`: chosen on validation;
    `design`: what the network is made of; `encoder`: the configuration of the `transformers` encoder;
    `base`: where the encoder's own weights are, None where the checkpoint holds them; `vision`: folder of the
    model that makes the image features, or its hub name;
    `provenance`: what it was made of and how.
    """

    name: str = Field(pattern=NAME)
    model_version: int = Field(validation_alias="release", ge=0, lt=2**40)
    threshold: Score
    target_precision: Score
    temperature: Temperatures
    labels: tuple[str, ...]
    design: Design = Design()
    candidate_threshold: float = Field(default=1.0, validation_alias="possible", gt=0, le=1)
    delta: Score | None = None
    encoder: dict[str, Any]
    base: Base | None = None
    vision: str | None = None
    tokenizer: TokenizerConfig
    provenance: dict[str, Any] = Field(default_factory=dict)

    def reading(self, views: Sequence[str] | None) -> CheckpointInfo:
        """The same with these of its views alone; with all of them where none are given. What was chosen and promised
        stays that of the ways to read that it was calibrated in. Raises `UserError` where it has not one of them."""
        own = self.design.views
        if views is None:
            return self
        if isinstance(views, str) or not views or not set(views) <= set(own):
            raise UserError(f"views {','.join(views)}: wanted a list of some of those of {self.name}: {', '.join(own)}")
        sees = IMAGE in views
        parts = {
            "views": tuple(view for view in own if view in views),
            "image_width": self.design.image_width if sees else 0,
            "discount": self.design.discount and CONTEXT in views,
        }
        update = {"design": self.design.model_copy(update=parts), "vision": self.vision if sees else None}
        return self.model_copy(update=update)


def describe(folder: Path) -> CheckpointInfo:
    """Raises `UserError`, one line, when the folder is no complete checkpoint."""
    try:
        info = CheckpointInfo.model_validate_json((folder / CONFIG).read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"no model checkpoint in {folder}: {CONFIG} is missing; set MNER_MODEL or --checkpoint, or run `mner train`"
        ) from None
    except ValidationError as error:
        raise UserError(f"{folder / CONFIG} is broken: {explain(error)}") from None
    except UnicodeDecodeError:
        raise UserError(f"{folder / CONFIG} is broken: not UTF-8") from None
    own = info.vision == VISION
    for needed in (WEIGHTS, TOKENIZER, *([f"{VISION}/{CONFIG}"] if own else [])):
        if not (folder / needed).is_file():
            raise UserError(f"the model checkpoint {folder} is incomplete: {needed} is missing")
    return info.model_copy(update={"vision": str(folder / VISION)}) if own else info


def write_config(folder: Path, info: CheckpointInfo) -> None:
    """Writes `config.json`, whole or not at all. A vision model in the folder moves with it."""
    if info.vision is not None and Path(info.vision).resolve() == (folder / VISION).resolve():
        info = info.model_copy(update={"vision": VISION})
    with atomic_write(folder / CONFIG) as file:
        file.write(f"{info.model_dump_json(indent=1)}\n".encode())
