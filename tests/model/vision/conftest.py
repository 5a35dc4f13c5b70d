"""The real image reader, loaded once: torch, EfficientNet and RapidOCR."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import pytest
import torch

from model.vision.channels import ReaderConfig
from model.vision.reader import ChannelReader, load


@pytest.fixture(scope="session")
def reader() -> Iterator[ChannelReader]:
    """Reads tags and text on one CPU thread, without a caption model."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield load(ReaderConfig(channels=("tags", "caption", "ocr")).to_json(), device="cpu", threads=1)
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])
