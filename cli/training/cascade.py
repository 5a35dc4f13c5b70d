"""`mner calibrate --cascade`: calibrates a cascade of checkpoints and writes its file."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from core.errors import UserError, naming
from streams.settings import Settings

if TYPE_CHECKING:
    from model.extractor import Extractor
    from model.training.cascade import CascadeCalibration
    from model.training.corpus import Example
    from model.training.guarantee import Promise

SHARE = 0.45
"""Default of `--share`."""


def folders_of(cascade: str) -> list[Path]:
    """Returns the checkpoint folders of `--cascade`. Raises `UserError`."""
    from model.cascade_file import FEWEST, MOST

    folders = [Path(part.strip()) for part in cascade.split(",") if part.strip()]
    if not FEWEST <= len(folders) <= MOST:
        raise UserError(f"--cascade {cascade}: has {len(folders)} checkpoints; name {FEWEST} or {MOST} folders")
    return folders


def check_output(output: Path | None) -> Path:
    """Raises `UserError` when no cascade can be written there."""
    from model.checkpoint import NAME

    if output is None:
        raise UserError("--cascade needs --output, the file to write, such as runs/mine.json")
    if not re.match(NAME, output.stem):
        raise UserError(f"--output {output}: the file's name names the cascade; use letters, digits, and any of _.-")
    if output.is_dir() or not output.parent.is_dir():
        raise UserError(f"--output {output}: is a folder, or in none that exists; name a file in one that does")
    return output


class Opened(NamedTuple):
    """A loaded checkpoint."""

    folder: Path
    #: Of its `config.json`, as it was before the checkpoint was loaded.
    sha256: str
    extractor: Extractor


def open_checkpoints(folders: list[Path], settings: Settings) -> list[Opened]:
    """Loads the checkpoints, each with the runtime of a worker with these settings. Raises `UserError`."""
    from model.cascade_file import check_together
    from model.checkpoint import describe_with_digest
    from model.extractor import Extractor
    from streams.checkpoint import runtime_here

    with naming("--cascade"):
        described = [describe_with_digest(folder) for folder in folders]
        check_together([info for info, _ in described])
    result = []
    for folder, (info, sha256) in zip(folders, described, strict=True):
        runtime = runtime_here(settings, info)
        extractor = Extractor.load(folder, device=settings.device, threads=settings.model_threads, runtime=runtime)
        result.append(Opened(folder, sha256, extractor))
    return result


def calibrated(
    extractors: list[Extractor], examples: list[Example], share: float, budget: float, console: Console
) -> CascadeCalibration:
    from model.training.cascade import calibrate_cascade

    with console.status(f"{len(examples)} validation posts"):
        found = calibrate_cascade(extractors, examples, share, budget)
    for mode, shares in found.shares.items():
        parts = ", ".join(
            f"{read:.1%} by {extractor.info.name} (doubt {limit:g} or more)"
            for read, extractor, limit in zip(shares, extractors[1:], found.limits, strict=True)
        )
        console.print(f"validation posts read too, {mode}: {parts}")
    return found


def store(output: Path, checkpoints: list[Opened], found: CascadeCalibration, promise: Promise) -> None:
    """Writes the cascade's file. Raises `UserError` when a checkpoint has changed since it was opened."""
    from model.cascade_file import CascadeInfo, stage_of, write_cascade
    from model.checkpoint import CONFIG, describe_with_digest

    with naming("--cascade"):
        for folder, sha256, _ in checkpoints:
            if describe_with_digest(folder)[1] != sha256:
                raise UserError(
                    f"the checkpoint {folder} has changed since the command loaded it: its {CONFIG} has another "
                    "SHA-256; calibrate the cascade again"
                )
    stages = zip(checkpoints, [*found.limits, None], strict=True)
    info = CascadeInfo(
        name=output.stem,
        model_version=max(int(time.time()), *(1 + each.extractor.info.model_version for each in checkpoints)),
        threshold=promise.threshold,
        target_precision=promise.target,
        delta=promise.delta,
        candidate_threshold=found.thresholds.candidate_threshold,
        stages=tuple(stage_of(each.folder, each.extractor.info, each.sha256, limit, output) for each, limit in stages),
    )
    try:
        write_cascade(output, info)
    except OSError as error:
        raise UserError(f"--output {output}: {error.strerror or error}") from None
