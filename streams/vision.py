"""Sets up the vision models from the settings: their configuration, the file of their cache, their metrics."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from core.events import ImageResult
from model.vision.cache import SCHEMA, SCHEMA_VERSION
from model.vision.channels import ReaderConfig
from model.vision.values import CHANNELS, Channel, VisualContext
from model.vision.vision import Vision, VisionConfig
from streams import metrics
from streams.images.database import Database
from streams.images.decode import DECODER
from streams.settings import VisionLimits

QUEUE = 32
"""Images that may wait for the models. Later images go on without a context."""

NEAR = 16
"""Bits, of 256, in which the perceptual hashes of copies may differ. A copy borrows tags and caption."""


@asynccontextmanager
async def opened_vision(
    limits: VisionLimits, device: str, home: Path, wait_s: float = math.inf
) -> AsyncIterator[Vision]:
    """Yields the front of the vision models. Nothing starts before the first image.

    `wait_s`: longest time, in seconds, that an image waits. Commands wait without a limit.
    """
    database = Database(home / "cache" / "vision.sqlite3", SCHEMA, SCHEMA_VERSION)
    try:
        async with Vision(vision_config(limits, device, wait_s=wait_s), database, _observe) as vision:
            yield vision
    finally:
        await database.close()


async def check_models(vision: Vision, limits: VisionLimits, device: str) -> None:
    """Loads the models when the settings name one, or name a device.

    Raises `UserError` when a named model or device is not available.
    """
    if limits.tags or limits.caption or device == "cuda":
        await vision.check()


def vision_config(limits: VisionLimits, device: str, wait_s: float = math.inf) -> VisionConfig:
    """Returns the configuration of the vision models. Captions are off when no model is named for them.

    `wait_s`: longest time, in seconds, that an image waits. An image that would wait longer is not read. The models get
    half of the cores, since an image may go on unread and the text must not wait.
    """
    channels = tuple(name for name in limits.channels if name != "caption" or limits.caption)
    reader = ReaderConfig(channels, limits.tags, limits.caption)
    return VisionConfig(
        channels=channels,
        reader=reader.to_json(),
        state=f"decoder {DECODER}, {reader.weights()}",
        device=device,
        threads=max(1, len(os.sched_getaffinity(0)) // 2),
        batch=limits.batch,
        queue=QUEUE,
        timeout_s=limits.timeout_s,
        cached=limits.cache,
        near=NEAR,
        wait_s=wait_s,
        off={"caption": "off: MNER_VISION_CAPTION names no model"} if "caption" in limits.channels else {},
    )


def with_channels(image: ImageResult, visual: VisualContext) -> ImageResult:
    """Returns the image's result with the outcome of each channel: `read`, `near`, or why it has none."""
    channels = {name: visual.absent.get(name, "near" if name in visual.lent else "read") for name in CHANNELS}
    return image.model_copy(update={"channels": channels})


def _observe(outcomes: Mapping[Channel, str], seconds: float) -> None:
    for channel, outcome in outcomes.items():
        metrics.VISION.labels(channel, outcome).inc()
    if "read" in outcomes.values():
        metrics.VISION_SECONDS.observe(seconds)
