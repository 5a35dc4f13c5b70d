"""The file of a cascade: its checkpoints, when a post goes on to the next one, and the promise of the whole.

It is one JSON file (`CascadeInfo`). The checkpoints stay in their folders. Imports no torch.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from core.atomic import atomic_write
from core.errors import UserError, naming
from core.events import Runtime, Score, Value, explain
from model.checkpoint import CONFIG, NAME, SHA256, CheckpointInfo, describe_with_digest
from model.runtime import choose_here

FEWEST, MOST = 2, 3
"""Number of checkpoints of a cascade."""


class Stage(Value):
    """A checkpoint of a cascade, as it was when the cascade was calibrated."""

    #: Relative to the folder of the cascade's file, or absolute.
    folder: str = Field(min_length=1)
    name: str = Field(pattern=NAME)
    model_version: int = Field(ge=0, lt=2**40)
    #: SHA-256 of its `config.json`.
    sha256: str = Field(pattern=SHA256)
    runtime: Runtime = "torch"
    #: A post whose `doubt` is at or above it goes on. None for the last checkpoint.
    limit: Score | None = None


class CascadeInfo(Value):
    """What the file of a cascade says. Thresholds, target and delta are as in `CheckpointInfo`, but for the whole."""

    name: str = Field(pattern=NAME)
    #: Unix seconds of the calibration, later than the training of each checkpoint. A later version wins in the index.
    model_version: int = Field(ge=0, lt=2**40)
    threshold: Score
    target_precision: Score
    delta: Score
    candidate_threshold: float = Field(gt=0, le=1)
    stages: tuple[Stage, ...] = Field(min_length=FEWEST, max_length=MOST)

    @model_validator(mode="after")
    def _only_the_last_has_no_limit(self) -> CascadeInfo:
        if any((stage.limit is None) != (stage is self.stages[-1]) for stage in self.stages):
            raise ValueError("limit: give one to each stage but the last")
        return self


@dataclass(frozen=True)
class Cascade:
    """A cascade whose checkpoints are those that it was calibrated with."""

    file: Path
    info: CascadeInfo
    folders: tuple[Path, ...]
    #: With the thresholds and temperatures of their runtimes.
    checkpoints: tuple[CheckpointInfo, ...]

    @property
    def as_checkpoint(self) -> CheckpointInfo:
        """The last checkpoint's configuration, with name, version, thresholds and promise of the whole."""
        whole = {name: getattr(self.info, name) for name in CascadeInfo.model_fields if name != "stages"}
        return self.checkpoints[-1].model_copy(update=whole)

    @property
    def limits(self) -> list[float]:
        return [stage.limit for stage in self.info.stages if stage.limit is not None]


def read_cascade(path: Path, device: str) -> Cascade:
    """Reads a cascade's file and its checkpoints' configurations. `device` is auto, cpu or cuda.

    Raises `UserError` when the file is missing or broken, or a checkpoint is not the one of the calibration, or
    the checkpoints do not go together.
    """
    try:
        info = CascadeInfo.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"no cascade in {path}: {error.strerror}; calibrate one, or choose another file") from None
    except ValidationError as error:
        raise UserError(f"the cascade {path} is broken: {explain(error)}; calibrate it anew") from None
    folders = tuple((path.resolve().parent / stage.folder).resolve() for stage in info.stages)
    found = []
    for number, (stage, folder) in enumerate(zip(info.stages, folders, strict=True)):
        with naming(f"{path}: stages.{number}"):
            found.append(_checked(stage, folder, device))
    with naming(str(path)):
        check_together(found)
    return Cascade(path, info, folders, tuple(found))


def write_cascade(path: Path, info: CascadeInfo) -> None:
    """Writes the file atomically. Raises `OSError`."""
    with atomic_write(path) as file:
        file.write(f"{info.model_dump_json(indent=1)}\n".encode())


def stage_of(folder: Path, info: CheckpointInfo, sha256: str, limit: float | None, file: Path) -> Stage:
    """Returns the description of a checkpoint for a cascade's file. `sha256` is that of its `config.json`."""
    return Stage(
        folder=os.path.relpath(folder.resolve(), file.resolve().parent),
        name=info.name,
        model_version=info.model_version,
        sha256=sha256,
        runtime=info.runtime,
        limit=limit,
    )


def check_together(checkpoints: Sequence[CheckpointInfo]) -> None:
    """Raises `UserError` when two checkpoints have one name, or they read different views, or images."""
    name, count = Counter(info.name for info in checkpoints).most_common(1)[0]
    if count > 1:
        raise UserError(
            f"name {name}: {count} checkpoints of the cascade have it, so no answer tells which one gave it; change "
            f"`name` in the {CONFIG} of one, and calibrate the cascade anew"
        )
    views = {info.name: info.design.views for info in checkpoints}
    if len(set(views.values())) > 1:
        shown = "; ".join(f"{name} reads {', '.join(own)}" for name, own in views.items())
        raise UserError(f"the checkpoints of a cascade must read the same views: {shown}")
    if any(info.vision is not None for info in checkpoints):
        raise UserError("the checkpoints of a cascade cannot read images; choose some without the view image")


def _checked(stage: Stage, folder: Path, device: str) -> CheckpointInfo:
    """Returns the checkpoint's configuration. Raises `UserError` when it is not the one of the calibration."""
    info, sha256 = describe_with_digest(folder)
    if sha256 != stage.sha256:
        raise UserError(
            f"the checkpoint {folder} has changed since the cascade was calibrated with {stage.name}, version "
            f"{stage.model_version}: its {CONFIG} is that of {info.name}, version {info.model_version}, with another "
            "SHA-256; put the former one back, or calibrate the cascade anew"
        )
    return info.running(choose_here(stage.runtime, info, device))
