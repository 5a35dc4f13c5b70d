"""Image features of a corpus, read from a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from model.image_encoder import BATCH, ImageEncoder
from model.training.material import Features


def read_features(
    folder: Path, ids: Sequence[str], encoder: ImageEncoder, progress: Callable[[float], None]
) -> Features:
    """Returns the features of the images ID.jpg in `folder`. Leaves out missing and broken images.

    `progress` is called with the share of the images that is done.
    """
    names = [name for name in dict.fromkeys(ids) if (folder / f"{name}.jpg").is_file()]
    features: Features = {}
    for start in range(0, len(names), BATCH):
        images: dict[str, Image.Image] = {}
        for name in names[start : start + BATCH]:
            try:
                with Image.open(folder / f"{name}.jpg") as image:
                    images[name] = image.convert("RGB")
            except (OSError, Image.DecompressionBombError):
                continue
        if images:
            features |= zip(images, encoder.features(list(images.values())), strict=True)
        progress(min(1.0, (start + BATCH) / len(names)))
    return features
