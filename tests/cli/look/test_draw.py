"""What is drawn of an image: boxes at their place, text in fonts that have it, cards that show the whole of it."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
from PIL import Image, ImageChops

from cli.look.draw import OBJECT, TEXT, fit, paint
from cli.look.fonts import Type, lacking
from cli.look.sheet import BAD, BAR, MUTED, Bar, Card, Heading, Layout, Numbered, Paragraph, Shown, sheet
from model.vision.values import Tag, TextLine, VisualContext

BODY = Type(15)
PICTURE = Image.new("RGB", (200, 100), "white")
LINE = TextLine(text="EXIT", score=0.98, box=((0.5, 0.5), (0.9, 0.5), (0.9, 0.8), (0.5, 0.8)))
LONG = "a line of text that goes on and on, " * 20
HOSTILE = "\x1b[31m \u202e\u2066 \ud800 \x00 e\u0301\u0301\u0301 \U0010fffe"


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def changed(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int]:
    box = ImageChops.difference(one, other).getbbox()
    assert box is not None
    return box


def test_a_picture_without_boxes_is_only_scaled() -> None:
    painted = paint(PICTURE, VisualContext(tags=(Tag(label="sign", score=0.9),)), (400, 200))
    assert painted.tobytes() == Image.new("RGB", (400, 200), "white").tobytes()


def test_a_line_of_text_has_its_box_at_its_place_and_its_number_beside_it() -> None:
    painted = paint(PICTURE, VisualContext(lines=(LINE,)), (400, 200))
    assert painted.getpixel((280, 100)) == rgb(TEXT)  # on the upper edge
    left, top, right, bottom = changed(painted, Image.new("RGB", (400, 200), "white"))
    assert 170 <= left < 199  # the number stands left of the box
    assert 85 <= top < 100
    assert 360 <= right <= 363
    assert 160 <= bottom <= 163


def test_the_text_itself_stands_at_its_box_unless_it_would_hide_another() -> None:
    number, words = (paint(PICTURE, VisualContext(lines=(LINE,)), (400, 200), words=on) for on in (False, True))
    assert changed(number, words)[1] < 85  # a label above the box
    above = TextLine(text="NO", score=0.9, box=((0.5, 0.38), (0.9, 0.38), (0.9, 0.48), (0.5, 0.48)))
    crowd = VisualContext(lines=(LINE, above))
    assert paint(PICTURE, crowd, (400, 200), words=True).getpixel((240, 92)) != rgb(TEXT)


def test_an_object_has_a_box_of_its_own_colour() -> None:
    visual = VisualContext(tags=(Tag(label="dog", score=0.5, box=(0.25, 0.25, 0.75, 0.75)),))
    assert paint(PICTURE, visual, (400, 200)).getpixel((200, 150)) == rgb(OBJECT)


def test_boxes_at_the_rim_and_degenerate_ones_are_painted_too() -> None:
    point = TextLine(text=HOSTILE.encode("utf-8", "ignore").decode(), score=0, box=((0, 0),) * 4)
    whole = TextLine(text=LONG[:256], score=1, box=((0, 0), (1, 0), (1, 1), (0, 1)))
    tag = Tag(label=LONG[:256], score=1, box=(1, 1, 1, 1))
    for size in ((1, 1), (640, 3), (400, 200)):
        painted = paint(PICTURE, VisualContext(lines=(point, whole), tags=(tag,)), size, words=True)
        assert painted.size == size


@pytest.mark.parametrize(
    ("size", "room", "fitted"),
    [
        pytest.param((600, 300), (500, 375), (500, 250), id="wide"),
        pytest.param((300, 600), (500, 375), (188, 375), id="high"),
        pytest.param((10, 10), (500, 375), (20, 20), id="small: enlarged, but not without end"),
        pytest.param((5000, 1), (500, 375), (500, 1), id="a strip"),
    ],
)
def test_a_picture_keeps_its_shape(size: tuple[int, int], room: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit(size, room, 2.0) == fitted


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LONG, id="words"),
        pytest.param("https://a.test/" + "x" * 500, id="an address"),
        pytest.param("勝利のために情け捨て、" * 20, id="no blanks"),
        pytest.param(HOSTILE * 20, id="what no font has"),
        pytest.param("W", id="one letter"),
    ],
)
def test_wrapped_text_stays_within_its_width_and_lines(text: str) -> None:
    lines = BODY.wrap(text, 200, 3)
    assert 1 <= len(lines) <= 3
    assert all(BODY.width(line) <= 200 for line in lines)


def test_wrapping_loses_nothing_that_fits_and_says_what_is_cut_off() -> None:
    assert " ".join(BODY.wrap("one two three four five", 90, 9)) == "one two three four five"
    assert BODY.wrap("one two three four five", 90, 1)[0].endswith("…")
    assert BODY.wrap("  \n ", 90, 3) == []
    assert len(BODY.wrap("narrow", 1, 9)) == 6  # a letter a line rather than none


def test_a_character_that_no_font_has_takes_room_and_is_named() -> None:
    assert lacking("Paris") == set()
    assert lacking("P\U00050000s") == {"\U00050000"}  # unassigned
    assert BODY.width("\U00050000") > 0
    assert BODY.width("a\x1b\u202e\u200db") == BODY.width("ab")  # controls are not drawn


def card(*blocks: Bar | Heading | Numbered | Paragraph, title: str = "a.jpg") -> Card:
    return Card(title, "JPEG 200 x 100", Shown(PICTURE.size, partial(paint, PICTURE, VisualContext())), blocks)


def test_cards_stand_in_a_grid_in_the_order_given() -> None:
    sizes = [sheet([card()] * count).size for count in (1, 2, 4, 5, 8)]
    assert sizes[1][0] < sizes[2][0] == sizes[3][0] == sizes[4][0]
    assert sizes[1][1] == sizes[2][1] < sizes[3][1] == sizes[4][1]


def test_a_row_is_as_high_as_its_highest_card_and_each_block_adds_its_height() -> None:
    blocks = [Heading("Tags"), Bar("a", 0.5), Numbered(1, LONG, 0.5), Paragraph(LONG), Paragraph("")]
    heights = [sheet([card(), card(*blocks[:count])]).height for count in range(len(blocks) + 1)]
    assert all(one < two for one, two in pairwise(heights[:-1]))
    assert heights[-1] == heights[-2]  # an empty paragraph


def test_a_bar_is_as_long_as_its_score() -> None:
    def length(score: float) -> int:
        page = sheet([card(Bar("a", score))], shape=Layout(1, (500, 100)))
        return sum(page.getpixel((x, y)) == rgb(BAR) for x in range(page.width) for y in range(page.height))

    none, half, full = length(0.0), length(0.5), length(1.0)
    assert 0 < none < half < full
    assert half / full == pytest.approx(0.5, abs=0.05)


def test_a_refusal_is_a_card_with_its_reason() -> None:
    refused = Card("b.jpg", "http://a.test/b.jpg", ("too_big", "more than the 10000000 bytes allowed"))
    page = sheet([refused, card()])
    assert page.height == sheet([card(), card()]).height
    red = Image.new("RGB", page.size, BAD)
    assert sum(pixel == 0 for pixel in ImageChops.difference(page, red).convert("L").tobytes()) > 100


def test_what_strangers_wrote_can_be_drawn_whatever_it_is() -> None:
    blocks = [Bar(HOSTILE, 1.0), Numbered(10_000, HOSTILE + LONG, 0.0), Paragraph(HOSTILE, MUTED)]
    assert sheet([Card(HOSTILE, LONG, (HOSTILE, LONG)), card(*blocks, title=LONG)], heading=LONG).width == 1094
