"""Dense features of images, from any vision model of `transformers` (CLIP, SigLIP, ViT, ResNet), frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

from core.errors import UserError, first_line
from model.tokens import Encoded
from model.training.material import Features

BATCH = 16


class Vision:
    """`width`: of the features."""

    def __init__(self, name: str, device: str) -> None:
        """`name`: hub name or local path. Raises `UserError`."""
        try:
            self._processor = AutoImageProcessor.from_pretrained(name)  # type: ignore[no-untyped-call]
            self._whole = AutoModel.from_pretrained(name)
        except (OSError, ValueError, ImportError) as error:
            raise UserError(f"the vision model {name} cannot be loaded: {first_line(error)}") from None
        self._model = getattr(self._whole, "vision_model", self._whole).to(device).eval()
        shape = self._model.config  # of a convolutional network, the width of each stage
        self.width: int = shape.hidden_size if hasattr(shape, "hidden_size") else shape.hidden_sizes[-1]
        self._device = device

    def save(self, folder: Path) -> None:
        """The model and how it takes pictures, to be loaded again from there. Raises `OSError`."""
        self._whole.save_pretrained(folder)
        self._processor.save_pretrained(folder)
        for file in folder.iterdir():  # weights are written so that nobody else can read them
            file.chmod((folder / "config.json").stat().st_mode)

    def features(self, images: Sequence[Image.Image]) -> NDArray[np.float16]:
        """(N, P, D): of each image one row per patch, and one for the whole where the model has it."""
        pixels = self._processor(images=[image.convert("RGB") for image in images], return_tensors="pt")
        with torch.inference_mode():
            states = self._model(pixel_values=pixels["pixel_values"].to(self._device)).last_hidden_state
        patches = states.flatten(2).transpose(1, 2) if states.dim() == 4 else states  # of a convolutional network
        return np.asarray(patches.float().cpu().numpy(), dtype=np.float16)

    def seeing(self, encoded: Sequence[Encoded]) -> list[Encoded]:
        """The tweets with the features of their pixels, where they have any."""
        result = list(encoded)
        shown = [(row, one.pixels) for row, one in enumerate(encoded) if one.pixels is not None]
        for start in range(0, len(shown), BATCH):
            part = shown[start : start + BATCH]
            found = self.features([pixels.image() for _, pixels in part])
            for (row, _), features in zip(part, found, strict=True):
                result[row] = replace(result[row], image=features, pixels=None)
        return result


def read(folder: Path, ids: Sequence[str], vision: Vision, progress: Callable[[float], None]) -> Features:
    """Of the images ID.jpg in `folder`, those that are there and can be read."""
    there = [name for name in dict.fromkeys(ids) if (folder / f"{name}.jpg").is_file()]
    found: Features = {}
    for start in range(0, len(there), BATCH):
        names, images = [], []
        for name in there[start : start + BATCH]:
            try:
                with Image.open(folder / f"{name}.jpg") as image:
                    images.append(image.convert("RGB"))
            except (OSError, Image.DecompressionBombError):
                continue
            names.append(name)
        if images:
            found |= zip(names, vision.features(images), strict=True)
        progress(min(1.0, (start + BATCH) / len(there)))
    return found
