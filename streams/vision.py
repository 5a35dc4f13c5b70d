"""Builds the image reader from the settings, with its cache file and its metrics."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from core.cores import usable_cores
from core.errors import UserError
from core.events import ImageResult
from model.vision.cache import SCHEMA, SCHEMA_VERSION
from model.vision.channels import ReaderConfig
from model.vision.image_reader import ImageReader, ImageReaderConfig
from model.vision.values import CHANNELS, Channel, VisualContext
from streams import metrics
from streams.images.database import Database
from streams.images.decode import DECODER
from streams.settings import VisionLimits

QUEUE = 32
"""Largest number of images that may wait for the vision models. Later images are not read."""

NEAR = 16
"""Bits, of 256, in which the perceptual hashes of near-duplicates may differ. They share tags and caption if
their colours are alike."""


@asynccontextmanager
async def open_image_reader(
    limits: VisionLimits, device: str, home: Path, wait_s: float = math.inf
) -> AsyncIterator[ImageReader]:
    """Opens the image reader. The first image starts its process and opens the cache.

    `wait_s`: longest time, in seconds, that an image may wait for the models. A worker passes `VisionLimits.wait_s`.
    Commands pass nothing, and so no image waits too long.
    """
    database = context_database(home)
    try:
        async with ImageReader(image_reader_config(limits, device, wait_s=wait_s), database, _observe) as reader:
            yield reader
    finally:
        await database.close()


def context_database(home: Path) -> Database:
    """Returns the file that keeps the contexts. Close it at the end."""
    return Database(home / "cache" / "vision.sqlite3", SCHEMA, SCHEMA_VERSION)


async def check_models(reader: ImageReader, limits: VisionLimits, device: str) -> None:
    """Raises `UserError` when a model or device that the settings name is not available.

    Loads nothing when the settings name none.
    """
    named = {
        "MNER_VISION_TAGS": limits.tags,
        "MNER_VISION_CAPTION": limits.caption,
        "MNER_DEVICE": device if device == "cuda" else None,
    }
    variables = [name for name, value in named.items() if value]
    if variables:
        try:
            await reader.check()
        except UserError as error:
            raise UserError(f"{error} (see {', '.join(variables)})") from None


def image_reader_config(limits: VisionLimits, device: str, wait_s: float = math.inf) -> ImageReaderConfig:
    """Returns the image reader's configuration. Captions are off when the settings name no model for them.

    The process gets half of the cores, because images may wait or go unread, but the text of posts must not.
    """
    channels = tuple(name for name in limits.channels if name != "caption" or limits.caption)
    reader = ReaderConfig(channels, limits.tags, limits.caption)
    return ImageReaderConfig(
        channels=channels,
        reader=reader.to_json(),
        state=f"decoder {DECODER}, {reader.weights_fingerprint()}",
        device=device,
        threads=max(1, usable_cores() // 2),
        batch=limits.batch,
        queue=QUEUE,
        timeout_s=limits.timeout_s,
        cached=limits.cache,
        near=NEAR,
        wait_s=wait_s,
        kept_s=limits.cache_hours * 3600,
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
