"""Cascades of the shipped checkpoint and copies of it, for tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from model.cascade_file import CascadeInfo, stage_of, write_cascade
from model.checkpoint import describe, describe_with_digest, write_config
from streams.settings import CHECKPOINT

COPY = "copy"
"""Name of the second checkpoint of `write_twice`."""


def copy_checkpoint(folder: Path) -> Path:
    """Copies the shipped checkpoint, which then has the name of the folder."""
    shutil.copytree(CHECKPOINT, folder)
    write_config(folder, describe(folder).model_copy(update={"name": folder.name}))
    return folder


def write_twice(file: Path, **changes: Any) -> None:
    """Writes a cascade of the shipped checkpoint and a copy of it, which lies beside the file."""
    info = describe(CHECKPOINT)
    folders = CHECKPOINT, copy_checkpoint(file.parent / COPY)
    stages = tuple(
        stage_of(folder, *describe_with_digest(folder), limit, file)
        for folder, limit in zip(folders, (0.3, None), strict=True)
    )
    fields = info.model_dump(include={"target_precision", "delta", "candidate_threshold", "model_version", "threshold"})
    write_cascade(file, CascadeInfo(name="twice", stages=stages, **fields | changes))
