"""Tweets of a corpus with their images, for a checkpoint that looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streams.errors import UserError

if TYPE_CHECKING:
    from model.corpus import Example
    from model.extractor import Extractor


def seeing(extractor: Extractor, examples: Sequence[Example], images: Path | None) -> list[Example]:
    """With the features of the images ID.jpg that are there. Raises `UserError` where the checkpoint has a view `image`
    and there is no folder, or the other way round."""
    from model import corpus, pixels

    info = extractor.info
    if (info.vision is None) != (images is None):
        wanted = "has no view of images" if info.vision is None else "has a view of images: without them it reads blind"
        raise UserError(f"--images: the checkpoint {info.name} {wanted}")
    if info.vision is None or images is None:
        return list(examples)
    vision = pixels.Vision(info.vision, extractor.predictor.device)
    found = pixels.read(images, [one.id for one in examples], vision, lambda done: None)
    return corpus.with_images(examples, found)
