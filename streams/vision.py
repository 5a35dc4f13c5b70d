"""Sets up the vision models: their configuration, the file that keeps what they read, and their metrics."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from core.errors import UserError
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
    """Starts and opens nothing before the first image. Workers wait up to `VisionLimits.wait_s`, commands for ever."""
    database = Database(home / "cache" / "vision.sqlite3", SCHEMA, SCHEMA_VERSION)
    try:
        async with Vision(vision_config(limits, device, wait_s=wait_s), database, _observe) as vision:
            yield vision
    finally:
        await database.close()


async def check_models(vision: Vision, limits: VisionLimits, device: str) -> None:
    """Loads the models if the settings name a model or a device. Raises `UserError` if one is not available."""
    if limits.tags or limits.caption or device == "cuda":
        try:
            await vision.check()
        except UserError as error:
            names = "MNER_VISION_TAGS, MNER_VISION_CAPTION, MNER_DEVICE"
            raise UserError(f"{error} (settings: {names})") from None


def vision_config(limits: VisionLimits, device: str, wait_s: float = math.inf) -> VisionConfig:
    """Returns the reader's configuration. An image that would wait longer than `wait_s` seconds is not read.

    The reader gets half of the cores, because images may be skipped, but the text of posts may not. Without a model,
    captions are off.
    """
    channels = tuple(name for name in limits.channels if name != "caption" or limits.caption)
    reader = ReaderConfig(channels, limits.tags, limits.caption)
    return VisionConfig(
        channels=channels,
        reader=reader.to_json(),
        state=f"decoder {DECODER}, {reader.weights_fingerprint()}",
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
    """Adds the outcome of each channel: `read`, `near`, or the reason why it read nothing."""
    channels = {name: visual.absent.get(name, "near" if name in visual.lent else "read") for name in CHANNELS}
    return image.model_copy(update={"channels": channels})


def _observe(outcomes: Mapping[Channel, str], seconds: float) -> None:
    for channel, outcome in outcomes.items():
        metrics.VISION.labels(channel, outcome).inc()
    if "read" in outcomes.values():
        metrics.VISION_SECONDS.observe(seconds)
