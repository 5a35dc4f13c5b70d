"""Regions say what was found where, are bounded, and are the same for the same context."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.events import MAX_LABEL, MAX_REGIONS, ImageResult, Region
from model.vision.regions import MAX_OBJECTS, regions
from model.vision.values import Tag, TextLine, VisualContext

UPRIGHT = ((0.1, 0.2), (0.5, 0.2), (0.5, 0.3), (0.1, 0.3))


def line(text: str = "EXIT", box: object = UPRIGHT) -> TextLine:
    return TextLine.model_validate({"text": text, "score": 0.876543, "box": box})


def test_objects_come_before_lines_and_a_slanted_line_gets_the_box_around_it() -> None:
    cup = Tag(label="cup", score=0.9, box=(0.123456, 0, 1, 1))
    slanted = line("“EXIT”", ((0.3, 0.1), (0.7, 0.4), (0.6, 0.5), (0.2, 0.2)))
    found = regions(VisualContext(tags=(cup,), lines=(line(), slanted)))
    assert found == (
        Region(kind="object", label="cup", score=0.9, box=(0.1235, 0, 1, 1)),
        Region(kind="text", label="EXIT", score=0.8765, box=(0.1, 0.2, 0.5, 0.3)),
        Region(kind="text", label="“EXIT”", score=0.8765, box=(0.2, 0.1, 0.7, 0.5)),
    )


def test_what_has_no_place_or_no_visible_letter_is_left_out() -> None:
    whole = Tag(label="a scene", score=0.9)
    assert regions(VisualContext(tags=(whole,), lines=(line("\u202e\u200f"),))) == ()


def test_an_image_full_of_text_and_objects_stays_within_the_limits() -> None:
    tags = tuple(Tag(label=f"{place}", score=0.9, box=(0, 0, 1, 1)) for place in range(100))
    lines = tuple(line(f"{place} " + '🗼"\\' * 84) for place in range(200))
    found = regions(VisualContext(tags=tags, lines=lines))
    assert [region.label for region in found[:MAX_OBJECTS]] == [str(place) for place in range(MAX_OBJECTS)]
    assert [region.label.split()[0] for region in found[MAX_OBJECTS:]] == [
        str(place) for place in range(MAX_REGIONS - MAX_OBJECTS)
    ]
    assert len(ImageResult(status="ok", regions=found).model_dump_json().encode()) < 40_000
    only_lines = regions(VisualContext(lines=lines))
    assert len(only_lines) == MAX_REGIONS


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"box": (0, 0, 1.1, 1)}, id="a box outside of the image"),
        pytest.param({"label": "x" * (MAX_LABEL + 1)}, id="a long label"),
        pytest.param({"kind": "face"}, id="an unknown kind"),
    ],
)
def test_an_event_takes_no_other_regions(fields: dict[str, object]) -> None:
    whole = {"kind": "text", "label": "x", "score": 1, "box": (0, 0, 1, 1)}
    assert ImageResult.model_validate({"regions": [whole] * MAX_REGIONS})
    with pytest.raises(ValidationError):
        ImageResult.model_validate({"regions": [whole | fields]})
    with pytest.raises(ValidationError):
        ImageResult.model_validate({"regions": [whole] * (MAX_REGIONS + 1)})
