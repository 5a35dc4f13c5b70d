"""The settings' reader of pictures: what it counts, and what stands in an image's result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from core.events import ImageResult
from model.vision.values import Pixels, VisualContext
from model.vision.vision import VisionConfig
from streams.settings import Settings, VisionLimits
from streams.vision import opened_vision, vision_config, with_channels
from tests.model.vision.stub_reader import picture


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Their reader is the stub."""

    def config(limits: VisionLimits, device: str, **more: Any) -> VisionConfig:
        real = vision_config(limits, device, **more)
        return replace(real, reader=str(tmp_path / "diary"), factory="tests.model.vision.stub_reader:load")

    monkeypatch.setattr("streams.vision.vision_config", config)
    return Settings(home=tmp_path, vision=VisionLimits(channels=("tags", "ocr")))


def counted(channel: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("mner_vision_total", {"channel": channel, "outcome": outcome}) or 0.0


def timed() -> float:
    return REGISTRY.get_sample_value("mner_vision_seconds_count") or 0.0


async def gone() -> Pixels:
    raise OSError("the file is not there any more")


async def had() -> Pixels:
    return picture(number=1)


async def test_each_channel_is_counted_and_what_was_read_is_timed(settings: Settings) -> None:
    asked = [(channel, outcome) for channel in ("tags", "ocr") for outcome in ("read", "cached", "no_pixels")]
    before, timed_before = [counted(*one) for one in asked], timed()
    async with opened_vision(settings.vision, settings.device, settings.home) as vision:
        for sha256, pixels in (("lost", gone), ("a", had), ("a", had)):
            await vision.look(sha256, "f" * 64, pixels)
    assert [counted(*one) - past for one, past in zip(asked, before, strict=True)] == [1.0] * 6
    assert timed() - timed_before == 1, "neither what was kept nor what could not be read"


async def test_a_picture_of_no_channel_is_not_timed(settings: Settings) -> None:
    before = timed()
    async with opened_vision(VisionLimits(channels=()), settings.device, settings.home) as vision:
        await vision.look("a", "f" * 64, had)
    assert timed() == before


async def test_a_result_tells_what_was_borrowed_now_and_when_it_is_kept(settings: Settings) -> None:
    async def other() -> Pixels:
        return picture(number=2)

    async with opened_vision(settings.vision, settings.device, settings.home) as vision:
        await vision.look("a", "f" * 64, had)
        seen: list[VisualContext] = [await vision.look("b", "f" * 64, other) for _ in range(2)]
    for visual in seen:
        channels = with_channels(ImageResult(status="ok"), visual).channels
        assert (channels["tags"], channels["ocr"]) == ("near", "read")
