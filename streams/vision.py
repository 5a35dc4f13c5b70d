"""The settings' reader of pictures: its configuration, the file its contexts are kept in, its metrics."""

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
    """Nothing is started or opened before the first image. Workers wait `VisionLimits.wait_s`; commands wait on."""
    database = Database(home / "cache" / "vision.sqlite3", SCHEMA, SCHEMA_VERSION)
    try:
        async with Vision(vision_config(limits, device, wait_s=wait_s), database, _observe) as vision:
            yield vision
    finally:
        await database.close()


async def check_models(vision: Vision, limits: VisionLimits, device: str) -> None:
    """Raises `UserError` when a model or a device that the settings name cannot be had. Where they name none, nothing
    is loaded."""
    if limits.tags or limits.caption or device == "cuda":
        await vision.check()


def vision_config(limits: VisionLimits, device: str, wait_s: float = math.inf) -> VisionConfig:
    """`wait_s`: seconds that a picture may have to wait; one that would wait longer is not read.

    Half of the cores: pictures wait or go on unread, the tweets' text must not. A caption without a model is off."""
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
    """The image's result, with what became of each channel: `read`, `near`, or why there is nothing of it."""
    channels = {name: visual.absent.get(name, "near" if name in visual.lent else "read") for name in CHANNELS}
    return image.model_copy(update={"channels": channels})


def _observe(outcomes: Mapping[Channel, str], seconds: float) -> None:
    for channel, outcome in outcomes.items():
        metrics.VISION.labels(channel, outcome).inc()
    if "read" in outcomes.values():
        metrics.VISION_SECONDS.observe(seconds)
