"""What a checkpoint reads: which of its views, and of a corpus's tweets the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError

if TYPE_CHECKING:
    from model.extractor import Extractor
    from model.training.corpus import Example


def named(views: str) -> tuple[str, ...]:
    """What `--views` names."""
    return tuple(view.strip() for view in views.split(","))


def check_read(extractor: Extractor, examples: Sequence[Example]) -> None:
    """Raises `UserError` where the checkpoint reads tweets with captions alone, and none has any."""
    from model.training.reading import ways

    if not ways(extractor.info.design, examples):
        raise UserError(
            f"--captions: {extractor.info.name} has only views that read captions, and no tweet has one: give them"
        )


def seeing(extractor: Extractor, examples: Sequence[Example], images: Path | None) -> list[Example]:
    """With the features of the images ID.jpg that are there. Raises `UserError` where the checkpoint has a view `image`
    and there is no folder, or the other way round."""
    from model.image_encoder import ImageEncoder
    from model.training import corpus
    from model.training.image_features import read_features

    info = extractor.info
    if (info.vision is None) != (images is None):
        wanted = "reads no images here" if info.vision is None else "has a view of images: without them it reads blind"
        raise UserError(f"--images: the checkpoint {info.name} {wanted}")
    if info.vision is None or images is None:
        return list(examples)
    encoder = ImageEncoder(info.vision, extractor.predictor.device)
    found = read_features(images, [one.id for one in examples], encoder, lambda done: None)
    return corpus.with_images(examples, found)
