"""Posts with slow images delay no other post, and continue without what is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.events import Tweet
from demo.examples import image_server
from model.vision.image_reader import ImageReader, ImageReaderConfig
from streams.agents.resources import Resources
from streams.images.loader import ImageLoader
from streams.pipeline.decode import Decode
from streams.pipeline.fetch import Fetch
from streams.pipeline.item import Origin, TweetItem
from streams.pipeline.limits import DeadLetterLimit
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage
from streams.servers import Addresses
from streams.settings import ImageLimits, Settings, VisionLimits
from streams.vision import image_reader_config

IN_FLIGHT = 16


class Passed(Stage[TweetItem]):
    """The next stage. It records the items in the order of their arrival."""

    name = "passed"

    def __init__(self) -> None:
        self.items: asyncio.Queue[TweetItem] = asyncio.Queue()

    async def process(self, item: TweetItem) -> None:
        self.items.put_nowait(item)

    async def next(self) -> TweetItem:
        return await asyncio.wait_for(self.items.get(), timeout=10)


class Running:
    def __init__(self, pipeline: Pipeline[TweetItem], passed: Passed, url: str) -> None:
        self._pipeline, self.passed, self._url, self._count = pipeline, passed, url, 0

    async def submit(self, id: str, image: str | None = None, **media: str) -> None:
        async def acknowledge() -> None: ...

        photos = [{"url": f"{self._url}/{image}", **media}] if image else []
        event = json.dumps({"id": id, "text": "x", "media": photos}).encode()
        await self._pipeline.submit(Origin("tweets", 0, self._count, None, event, 0.0), acknowledge)
        self._count += 1


@asynccontextmanager
async def running(
    home: Path, reader: str = "load", keep_pixels: bool = False, **changes: Any
) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(image_server())
        limits = ImageLimits(allow=(url.removeprefix("http://"),), **changes)
        config = ImageReaderConfig(
            ("tags", "ocr"), str(home / "diary"), "cpu", 1, 1, 1, 60.0, 0, 0, f"tests.model.vision.stub_reader:{reader}"
        )
        loader = await stack.enter_async_context(ImageLoader(limits, home=home))
        vision = await stack.enter_async_context(ImageReader(config))
        passed = Passed()
        pipeline = Pipeline[TweetItem](
            "test",
            [Decode(Tweet), Fetch(loader, vision, IN_FLIGHT, keep_pixels), passed],
            item=TweetItem,
            dead_letters=None,  # type: ignore[arg-type]  # nothing dies here
            limit=DeadLetterLimit(1, 1.0),
            in_flight=IN_FLIGHT,
            retry_max_s=0.01,
        )
        pipeline.start()
        stack.push_async_callback(pipeline.close)
        yield Running(pipeline, passed, url)


async def test_the_result_says_what_became_of_the_image_and_of_each_channel(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.submit("1", "coffee.jpg", alt="a cup")
        item = await run.passed.next()
    assert (item.image.status, item.image.format) == ("ok", "JPEG")
    assert item.image.channels == {"tags": "read", "caption": "off", "ocr": "read"}
    assert item.context is not None
    assert item.context.startswith("a cup . tag ")
    (region,) = item.image.regions
    assert (region.kind, region.label[:5], region.box) == ("text", "text ", (0, 0, 1, 1))
    assert {"fetch", "look"} <= set(item.timings_ms)


@pytest.mark.parametrize("keep_pixels", [False, True])
async def test_pixels_are_kept_for_a_model_that_sees(tmp_path: Path, keep_pixels: bool) -> None:
    async with running(tmp_path, keep_pixels=keep_pixels) as run:
        await run.submit("1", "coffee.jpg")
        await run.submit("2", "not-an-image.jpg")
        items = {item.event.id: item for item in (await run.passed.next(), await run.passed.next())}
    assert (items["1"].pixels is not None) == keep_pixels
    assert items["2"].pixels is None


async def test_the_same_image_in_another_post_has_the_same_regions(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.submit("1", "coffee.jpg")
        await run.submit("2", "coffee.jpg")
        items = [await run.passed.next() for _ in range(2)]
    assert items[0].image.regions == items[1].image.regions != ()


async def test_a_failed_image_leaves_the_words_that_people_wrote(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.submit("1", "not-an-image.jpg", alt="a cup")
        item = await run.passed.next()
    assert (item.image.status, item.image.channels, item.context) == ("failed", {}, "a cup")
    assert item.image.regions == ()


@pytest.mark.parametrize(
    ("image", "reader"),
    [
        pytest.param("slow.jpg", "load", id="slow to come"),
        pytest.param("coffee.jpg", "load_stuck", id="slow to be read"),
    ],
)
async def test_a_post_without_a_photo_overtakes_those_whose_images_are(tmp_path: Path, image: str, reader: str) -> None:
    async with running(tmp_path, reader, workers=2, timeout_s=60) as run:
        for number in range(IN_FLIGHT - 1):
            await run.submit(f"photo-{number}", f"{image}?{number}")
        await run.submit("text")
        assert (await run.passed.next()).event.id == "text"


async def test_images_beyond_the_queue_go_on_without_a_context(tmp_path: Path) -> None:
    images = ("coffee.jpg", "astronaut.jpg", "hubble.jpg", "rocket.jpg")
    async with running(tmp_path, "load_stuck") as run:
        for image in images:
            await run.submit(image, image, alt="a cup")
        passed = [await run.passed.next() for _ in range(2)]
    for item in passed:
        assert item.image.status == "ok"
        assert item.image.channels == {"tags": "busy", "caption": "off", "ocr": "busy"}
        assert item.context == "a cup"


@pytest.mark.parametrize(
    ("changes", "channels", "caption"),
    [
        pytest.param({}, ("tags", "ocr"), "off: MNER_VISION_CAPTION names no model", id="by default"),
        pytest.param({"caption": "blip"}, ("tags", "caption", "ocr"), "", id="a model named"),
        pytest.param({"channels": ("tags",), "caption": "blip"}, ("tags",), "off", id="a model named, and off"),
        pytest.param({"channels": ()}, (), "off", id="all off"),
    ],
)
def test_the_settings_channels(changes: dict[str, Any], channels: tuple[str, ...], caption: str) -> None:
    config = image_reader_config(VisionLimits(**changes), "auto")
    assert config.channels == channels
    assert "caption" in config.channels or config.off.get("caption", "off") == caption


@pytest.mark.parametrize(
    "change",
    [
        {"channels": ("tags",)},
        {"tags": "google/vit-base-patch16-224"},
        {"caption": "blip"},
    ],
)
def test_another_model_or_channel_reads_anew(change: dict[str, Any]) -> None:
    assert version(**change) != version()
    assert version(batch=1) == version()


async def test_a_workers_images_wait_for_as_long_as_the_setting_says(tmp_path: Path) -> None:
    async with opened(Settings(home=tmp_path, vision=VisionLimits(wait_s=0.5))) as resources:
        assert (await resources.vision()).config.wait_s == 0.5


@pytest.mark.parametrize(
    "changes", [{"vision": {"tags": "/nowhere"}}, {"vision": {"caption": "/nowhere"}}, {"device": "cuda"}], ids=str
)
async def test_a_worker_does_not_start_with_a_model_that_cannot_be_loaded(
    tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(limits: VisionLimits, device: str, **more: Any) -> ImageReaderConfig:
        stub = "tests.model.vision.stub_reader:load_misconfigured"
        return replace(image_reader_config(limits, device, **more), reader=str(tmp_path / "diary"), factory=stub)

    monkeypatch.setattr("streams.vision.image_reader_config", config)
    async with opened(Settings(home=tmp_path)) as resources:
        await resources.vision()  # channels without a configured model are loaded for the first image
    async with opened(Settings(home=tmp_path, **changes)) as resources:
        with pytest.raises(UserError, match=r"^the tags model /nowhere cannot be loaded: .* \(see MNER_\w+\)$"):
            await resources.vision()


def version(**changes: Any) -> str:
    return image_reader_config(VisionLimits(**changes), "auto").version


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Resources]:
    """Yields the resources of a worker, without its servers."""
    resources = Resources(settings, Addresses("", "", ""))
    try:
        yield resources
    finally:
        await resources.close()
