"""What a training takes over from other checkpoints: what teachers believe of its tweets, what a card says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.training.options import same_vision
from core.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress

    from model.training.material import Material
    from model.training.teacher import Beliefs

KEPT = "teacher-*.npz"
"""In the checkpoint folder, each teacher's beliefs, until the training has ended."""


def beliefs(
    teachers: Sequence[Path], read: Material, vision: str | None, out: Path, device: str, bars: Callable[[], Progress]
) -> list[Beliefs]:
    """What the teachers believe of all training tweets, in the mean. Raises `UserError`, `OSError`."""
    from model.training import teacher as teaching

    for teacher in teachers:
        _check_sight(teacher, vision)
    kept = [out / KEPT.replace("*", str(number)) for number in range(len(teachers))]
    return teaching.joined([_asked(*pair, read, device, bars) for pair in zip(teachers, kept, strict=True)])


def told_of(checkpoint: Path) -> str:
    """For the model card: its name, and what it has learned from."""
    from model.checkpoint import describe

    info = describe(checkpoint)
    told = [
        f"{key}: {info.provenance[key]}" for key in ("trained on", "auxiliary", "left out") if key in info.provenance
    ]
    return "; ".join([info.name, *told])


def _check_sight(teacher: Path, vision: str | None) -> None:
    """Raises `UserError`."""
    from model.checkpoint import describe

    taught = describe(teacher)
    if taught.vision is not None and not (vision and same_vision(taught, vision)):
        told = taught.provenance.get("vision", taught.vision)
        raise UserError(f"--teacher {teacher}: sees images by {told}: wanted --vision {taught.vision}, or a blind one")


def _asked(teacher: Path, kept: Path, read: Material, device: str, bars: Callable[[], Progress]) -> list[Beliefs]:
    """One teacher's beliefs of all training tweets; `kept`, so that a resumed training has them at once."""
    import torch

    from model.extractor import Extractor
    from model.training import teacher as teaching

    key = teaching.key(teacher, read.training)
    if (known := teaching.load(kept, key)) is not None:
        return known
    with bars() as shown:
        bar = shown.add_task("teacher reads", total=1.0)
        found = teaching.marginals(
            Extractor.load(teacher, device=device, threads=torch.get_num_threads()),
            read.training,
            lambda done: shown.update(bar, completed=done),
        )
    teaching.save(kept, key, found)
    return found
