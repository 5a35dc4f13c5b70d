"""Builds the image reader from the settings, with its cache file and its metrics."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from core.errors import UserError
from core.events import ImageResult
from model.vision.cache import SCHEMA, SCHEMA_VERSION
from model.vision.channels import ReaderConfig
from model.vision.image_reader import ImageReader, ImageReaderConfig
from model.vision.values import CHANNELS, Channel, VisualContext
from streams import metrics
from streams.images.database import Database
from streams.images.decode import DECODER
from streams.settings import Settings


@asynccontextmanager
async def open_image_reader(settings: Settings, wait_s: float = math.inf) -> AsyncIterator[ImageReader]:
    """Opens the image reader. The first image starts the process and opens the cache.

    A worker passes `vision_wait_s` as `wait_s`. Commands wait for every image.
    """
    database = Database(settings.home / "cache" / "vision.sqlite3", SCHEMA, SCHEMA_VERSION)
    try:
        async with ImageReader(image_reader_config(settings, wait_s=wait_s), database, _observe) as reader:
            yield reader
    finally:
        await database.close()


async def check_models(reader: ImageReader, settings: Settings) -> None:
    """Raises `UserError` when a model or device that the settings name is not available.

    Loads nothing when the settings name none.
    """
    named = {
        "MNER_VISION_TAGS": settings.vision_tags,
        "MNER_VISION_CAPTION": settings.vision_caption,
        "MNER_DEVICE": settings.device if settings.device == "cuda" else None,
    }
    variables = [name for name, value in named.items() if value]
    if variables:
        try:
            await reader.check()
        except UserError as error:
            raise UserError(f"{error} (see {', '.join(variables)})") from None


def image_reader_config(settings: Settings, wait_s: float = math.inf) -> ImageReaderConfig:
    """Returns the image reader's configuration. Captions are off when the settings name no model for them.

    The process gets half of the cores: images may wait or go unread, the posts' text must not.
    """
    channels = tuple(name for name in settings.vision if name != "caption" or settings.vision_caption)
    reader = ReaderConfig(channels, settings.vision_tags, settings.vision_caption)
    return ImageReaderConfig(
        channels=channels,
        reader=reader.to_json(),
        state=f"decoder {DECODER}, {reader.weights()}",
        device=settings.device,
        threads=max(1, len(os.sched_getaffinity(0)) // 2),
        batch=settings.vision_batch,
        queue=settings.vision_queue,
        timeout_s=settings.vision_timeout_s,
        cached=settings.vision_cache,
        near=settings.vision_near,
        wait_s=wait_s,
        off={"caption": "off: MNER_VISION_CAPTION names no model"} if "caption" in settings.vision else {},
    )


def with_channels(image: ImageResult, visual: VisualContext) -> ImageResult:
    """Returns the image's result with the state of each channel: `read`, `near`, or why it is absent."""
    channels = {name: visual.absent.get(name, "near" if name in visual.lent else "read") for name in CHANNELS}
    return image.model_copy(update={"channels": channels})


def _observe(outcomes: Mapping[Channel, str], seconds: float) -> None:
    for channel, outcome in outcomes.items():
        metrics.VISION.labels(channel, outcome).inc()
    if "read" in outcomes.values():
        metrics.VISION_SECONDS.observe(seconds)
