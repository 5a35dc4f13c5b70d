"""Reads the teachers' beliefs for a training, and describes other checkpoints for the model card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from model.checkpoint import VISION

if TYPE_CHECKING:
    from rich.progress import Progress

    from model.checkpoint import CheckpointInfo
    from model.training.material import Material
    from model.training.teacher import Beliefs

STORED = "teacher-*.npz"
"""Each teacher's beliefs, kept in the checkpoint folder until the training ends."""


def beliefs(
    teachers: Sequence[Path],
    material: Material,
    image_encoder: str | None,
    out: Path,
    device: str,
    bars: Callable[[], Progress],
) -> list[Beliefs]:
    """Returns the teachers' mean beliefs of all training posts. They are stored in `out`, for a resumed training.

    Raises `UserError` if a teacher reads images with a different model, and `OSError` if a file fails.
    """
    from model.training import teacher as teaching

    for teacher in teachers:
        _check_images(teacher, image_encoder)
    stores = [out / STORED.replace("*", str(number)) for number in range(len(teachers))]
    return teaching.mean_beliefs(
        [_beliefs(*pair, material, device, bars) for pair in zip(teachers, stores, strict=True)]
    )


def summary(checkpoint: Path) -> str:
    """Returns a checkpoint's name and what it was trained on, for the model card."""
    from model.checkpoint import describe

    info = describe(checkpoint)
    keys = ("trained on", "auxiliary", "without labels", "left out")
    return "; ".join([info.name, *(f"{key}: {info.provenance[key]}" for key in keys if key in info.provenance)])


def image_encoder_name(image_encoder: str) -> str:
    """Returns a display name: the hub name or the last part of a path. For a checkpoint's own copy, these are the last
    two parts of the path."""
    folder = Path(image_encoder)
    if not folder.is_dir():
        return image_encoder
    folder = folder.resolve()
    return f"{folder.parent.name}/{folder.name}" if folder.name == VISION else folder.name


def has_image_encoder(info: CheckpointInfo, image_encoder: str) -> bool:
    """Returns whether `image_encoder` is the checkpoint's own copy, or the model that the copy was made from."""
    return info.vision is not None and (
        info.vision == image_encoder
        or Path(info.vision).resolve() == Path(image_encoder).resolve()
        or info.provenance.get("vision") == image_encoder_name(image_encoder)
    )


def _check_images(teacher: Path, image_encoder: str | None) -> None:
    from model.checkpoint import describe

    info = describe(teacher)
    if info.vision is not None and not (image_encoder and has_image_encoder(info, image_encoder)):
        name = info.provenance.get("vision", info.vision)
        raise UserError(
            f"data.teachers {teacher}: it reads images with {name}; set image_encoder to {info.vision}, or choose a "
            "teacher that reads no images"
        )


def _beliefs(
    teacher: Path, store: Path, material: Material, device: str, bars: Callable[[], Progress]
) -> list[Beliefs]:
    import torch

    from model.extractor import Extractor
    from model.training import teacher as teaching

    key = teaching.key(teacher, material.training)
    if (stored := teaching.load(store, key)) is not None:
        return stored
    with bars() as shown:
        bar = shown.add_task("teacher reads", total=1.0)
        found = teaching.marginals(
            Extractor.load(teacher, device=device, threads=torch.get_num_threads()),
            material.training,
            lambda done: shown.update(bar, completed=done),
        )
    teaching.save(store, key, found)
    return found
