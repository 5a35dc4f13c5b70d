"""Dense features of images, from any vision model of `transformers` (CLIP, SigLIP, ViT, ResNet), frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

from core.errors import UserError, first_line
from model.tokens import Encoded

BATCH = 16
"""Images that the model reads at once."""


class ImageEncoder:
    """Turns images into the features that the view `image` attends to."""

    def __init__(self, name: str, device: str) -> None:
        """Loads the model from a hub name or a local path. Raises `UserError`."""
        try:
            self._processor = AutoImageProcessor.from_pretrained(name)  # type: ignore[no-untyped-call]
            self._whole = AutoModel.from_pretrained(name)
        except (OSError, ValueError, ImportError) as error:
            raise UserError(f"the vision model {name} cannot be loaded: {first_line(error)}") from None
        self._model = getattr(self._whole, "vision_model", self._whole).to(device).eval()
        self._device = device

    @property
    def width(self) -> int:
        """Width of the features."""
        config = self._model.config  # convolutional networks give the width of each stage
        width: int = config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1]
        return width

    def save(self, folder: Path) -> None:
        """Writes the model and its preprocessing to a folder that can be loaded again. Raises `OSError`."""
        self._whole.save_pretrained(folder)
        self._processor.save_pretrained(folder)
        for file in folder.iterdir():  # `transformers` makes the weights unreadable for other users
            file.chmod((folder / "config.json").stat().st_mode)

    def features(self, images: Sequence[Image.Image]) -> NDArray[np.float16]:
        """Returns (N, P, D): one row per patch of each image, and one for the whole image where the model has it."""
        pixels = self._processor(images=[image.convert("RGB") for image in images], return_tensors="pt")
        with torch.inference_mode():
            states = self._model(pixel_values=pixels["pixel_values"].to(self._device)).last_hidden_state
        patches = states.flatten(2).transpose(1, 2) if states.dim() == 4 else states  # (N, D, rows, columns) of ResNet
        return np.asarray(patches.float().cpu().numpy(), dtype=np.float16)

    def with_features(self, batch: Sequence[Encoded]) -> list[Encoded]:
        """Returns the posts with image features in place of their pixels."""
        result = list(batch)
        shown = [(row, post.pixels) for row, post in enumerate(batch) if post.pixels is not None]
        for start in range(0, len(shown), BATCH):
            part = shown[start : start + BATCH]
            for (row, _), features in zip(part, self.features([pixels.image() for _, pixels in part]), strict=True):
                result[row] = replace(result[row], image=features, pixels=None)
        return result
