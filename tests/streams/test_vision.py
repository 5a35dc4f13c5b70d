"""The worker's image reader: its metrics, and the channels of an image's result."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from core.events import ImageResult
from core.pixels import Pixels
from model.vision.image_reader import ImageReaderConfig
from model.vision.values import VisualContext
from streams.settings import Settings, VisionLimits
from streams.vision import image_reader_config, open_image_reader, with_channels
from tests.model.vision.stub_reader import chessboard


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose image reader runs the stub."""

    def config(limits: VisionLimits, device: str, wait_s: float = math.inf) -> ImageReaderConfig:
        config = image_reader_config(limits, device, wait_s)
        return replace(config, reader=str(tmp_path / "diary"), factory="tests.model.vision.stub_reader:load")

    monkeypatch.setattr("streams.vision.image_reader_config", config)
    return Settings(home=tmp_path, vision=VisionLimits(channels=("tags", "ocr")))


def counted(channel: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("mner_vision_total", {"channel": channel, "outcome": outcome}) or 0.0


def timed() -> float:
    return REGISTRY.get_sample_value("mner_vision_seconds_count") or 0.0


async def missing() -> Pixels:
    raise OSError("the file is not there any more")


async def loaded() -> Pixels:
    return chessboard(number=1)


async def test_each_channel_is_counted_and_only_reading_is_timed(settings: Settings) -> None:
    labels = [(channel, outcome) for channel in ("tags", "ocr") for outcome in ("read", "cached", "no_pixels")]
    before, timed_before = [counted(*label) for label in labels], timed()
    async with open_image_reader(settings.vision, settings.device, settings.home) as reader:
        for sha256, pixels in (("lost", missing), ("a", loaded), ("a", loaded)):
            await reader.read(sha256, "f" * 64, pixels)
    assert [counted(*label) - past for label, past in zip(labels, before, strict=True)] == [1.0] * 6
    assert timed() - timed_before == 1, "neither cached contexts nor failures"


async def test_without_channels_nothing_is_timed(settings: Settings) -> None:
    before = timed()
    async with open_image_reader(VisionLimits(channels=()), settings.device, settings.home) as reader:
        await reader.read("a", "f" * 64, loaded)
    assert timed() == before


async def test_a_result_marks_borrowed_channels_also_from_the_cache(settings: Settings) -> None:
    async def other() -> Pixels:
        return chessboard(number=2)

    async with open_image_reader(settings.vision, settings.device, settings.home) as reader:
        await reader.read("a", "f" * 64, loaded)
        contexts: list[VisualContext] = [await reader.read("b", "f" * 64, other) for _ in range(2)]
    for visual in contexts:
        channels = with_channels(ImageResult(status="ok"), visual).channels
        assert (channels["tags"], channels["ocr"]) == ("near", "read")
