"""Recognised text: its place, its order, its limits, and no network."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from model.vision.ocr import BUDGET, MAX_WIDTH, Text
from model.vision.reader import ChannelReader
from tests.model.vision.sample_images import noise, written


@pytest.fixture(scope="module")
def text(reader: ChannelReader) -> Text:
    assert isinstance(reader.ocr, Text)
    return reader.ocr


def test_lines_are_read_from_the_top_and_each_row_from_the_left(text: Text) -> None:
    image = written(
        (380, 30, "Chicago"), (20, 33, "Tonight in"), (20, 78, "doors open"), (380, 76, "at seven"), points=28
    )
    (lines,) = text.read([image])
    assert [line.text for line in lines] == ["Tonight in", "Chicago", "doors open", "at seven"]
    assert all(line.score > 0.9 for line in lines)


@pytest.mark.parametrize("rows", [6, 12])
def test_narrow_rows_keep_their_order(rows: int, text: Text) -> None:
    words = [f"{row} this is row number {row}" for row in range(10, 10 + rows)]
    image = written(*((20 + 7 * (row % 2), 10 + 22 * row, line) for row, line in enumerate(words)), points=16)
    (lines,) = text.read([image])
    assert [line.text for line in lines] == words


def test_the_box_of_a_line_is_in_fractions_of_the_image(text: Text) -> None:
    (lines,) = text.read([written((320, 200, "Brooklyn"), size=(640, 400), points=40)])
    (line,) = lines
    top_left, top_right, bottom_right, bottom_left = line.box
    assert top_left == pytest.approx((0.5, 0.5), abs=0.05)
    assert bottom_right[0] == pytest.approx(0.77, abs=0.05)
    assert top_left[0] < top_right[0]
    assert top_right[1] < bottom_right[1]
    assert bottom_left[0] < bottom_right[0]


def test_boxes_are_right_in_a_thin_image(text: Text) -> None:
    (lines,) = text.read([written((200, 20, "a thin banner"), size=(640, 60), points=26)])
    (line,) = lines
    assert line.text == "a thin banner"
    assert line.box[0] == pytest.approx((0.31, 0.4), abs=0.12)
    assert line.box[2] == pytest.approx((0.57, 0.85), abs=0.12)


def test_boxes_are_clamped_to_the_image_and_rounded(text: Text) -> None:
    (lines,) = text.read([written((-6, -8, "cut off at the edge"), size=(320, 40), points=36)])
    assert lines
    for line in lines:
        for fraction in np.ravel(line.box):
            assert 0 <= fraction <= 1
            assert fraction == round(fraction, 4)


def test_text_that_runs_down_the_page_begins_at_the_top_right(text: Text) -> None:
    upright = written((20, 10, "Madison Square"), size=(400, 60), points=36)
    (lines,) = text.read([upright.transpose(Image.Transpose.ROTATE_270)])
    (line,) = lines
    assert line.text == "Madison Square"
    own_top_left, own_top_right, *_ = line.box
    assert own_top_left[0] > 0.7
    assert own_top_left[1] < 0.2
    assert own_top_right[1] > 0.6


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.new("RGB", (1, 1)), id="one pixel"),
        pytest.param(Image.new("RGB", (1, 640)), id="a line upright"),
        pytest.param(Image.new("RGB", (640, 1)), id="a line across"),
        pytest.param(Image.new("RGB", (16, 16), "white"), id="an icon"),
        pytest.param(Image.new("RGB", (640, 640), "white"), id="all white"),
        pytest.param(noise((640, 640)), id="noise"),
    ],
)
def test_images_without_text_give_no_lines(image: Image.Image, text: Text) -> None:
    assert text.read([image]) == [()]


def test_a_page_full_of_text_takes_limited_time_and_keeps_its_headline(text: Text) -> None:
    rows = [(4, 60 + 11 * row, "all work and no play makes jack a dull boy " * 3) for row in range(52)]
    image = written(*rows, size=(640, 640), points=9)
    image.paste(written((4, 4, "HEADLINE"), size=(300, 50)), (0, 0))
    started = time.process_time()
    (lines,) = text.read([image])
    took = time.process_time() - started
    print(f"{len(lines)} lines in {took:.1f} s of one core")
    assert lines[0].text == "HEADLINE"
    assert len(lines) <= BUDGET / MAX_WIDTH + 1, "each of these lines is as wide as can be"
    assert took < 20


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a network connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    (lines,) = Text(1).read([written((40, 40, "offline"))])
    assert [line.text for line in lines] == ["offline"]
    assert capfd.readouterr() == ("", "")
