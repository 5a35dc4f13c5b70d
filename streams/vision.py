"""The settings' reader of pictures: its configuration, the file its contexts are kept in, its metrics."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from core.errors import UserError
from core.events import ImageResult
from model.vision.cache import SCHEMA, SCHEMA_VERSION
from model.vision.channels import ReaderConfig
from model.vision.values import CHANNELS, Channel, VisualContext
from model.vision.vision import Vision, VisionConfig
from streams import metrics
from streams.images.database import Database
from streams.images.decode import DECODER
from streams.settings import Settings


@asynccontextmanager
async def opened_vision(settings: Settings, wait_s: float = math.inf) -> AsyncIterator[Vision]:
    """Nothing is started or opened before the first picture. `wait_s`: of a worker, `vision_wait_s`; commands wait."""
    database = Database(settings.home / "cache" / "vision.sqlite3", SCHEMA, SCHEMA_VERSION)
    try:
        async with Vision(vision_config(settings, wait_s=wait_s), database, _observe) as vision:
            yield vision
    finally:
        await database.close()


async def check_models(vision: Vision, settings: Settings) -> None:
    """Loads the models if the settings name a model or a device. Raises `UserError` if one is not available."""
    if settings.vision_tags or settings.vision_caption or settings.device == "cuda":
        try:
            await vision.check()
        except UserError as error:
            settings_names = "MNER_VISION_TAGS, MNER_VISION_CAPTION, MNER_DEVICE"
            raise UserError(f"{error} (settings: {settings_names})") from None


def vision_config(settings: Settings, wait_s: float = math.inf) -> VisionConfig:
    """`wait_s`: seconds that a picture may have to wait; one that would wait longer is not read.

    Half of the cores: pictures wait or go on unread, the tweets' text must not. A caption without a model is off."""
    channels = tuple(name for name in settings.vision if name != "caption" or settings.vision_caption)
    reader = ReaderConfig(channels, settings.vision_tags, settings.vision_caption)
    return VisionConfig(
        channels=channels,
        reader=reader.to_json(),
        state=f"decoder {DECODER}, {reader.weights_fingerprint()}",
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
    """The image's result, with what became of each channel: `read`, `near`, or why there is nothing of it."""
    channels = {name: visual.absent.get(name, "near" if name in visual.lent else "read") for name in CHANNELS}
    return image.model_copy(update={"channels": channels})


def _observe(outcomes: Mapping[Channel, str], seconds: float) -> None:
    for channel, outcome in outcomes.items():
        metrics.VISION.labels(channel, outcome).inc()
    if "read" in outcomes.values():
        metrics.VISION_SECONDS.observe(seconds)
