"""The web page of `mner look`: complete, self-contained, and inert whatever strangers wrote."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from cli.look.inspector import InspectedImage
from cli.look.page import page
from core.pixels import Pixels
from model.vision.values import Tag, TextLine, VisualContext
from streams.images.decode import LoadedImage

IMAGE = LoadedImage("file:///a.png", "ab" * 32, "PNG", 400, 200, "cd" * 32, None)
PIXELS = Pixels.of(Image.new("RGB", (200, 100), "white"))
LINE = TextLine(text="EXIT", score=0.98, box=((0.5, 0.5), (0.9, 0.5), (0.9, 0.8), (0.5, 0.8)))
HOSTILE = "</p></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def inspected(visual: VisualContext, context: str | None = None, source: str = "/home/ann/a.png") -> InspectedImage:
    return InspectedImage(source, None, IMAGE, PIXELS, visual, context)


class Elements(HTMLParser):
    """Collects the elements of a page, their attributes and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style" and not self.style:
            self.style = data
        else:
            self.text += data

    def of(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag and kind in (None, attrs.get("class"))]


def test_a_card_holds_everything_that_was_read() -> None:
    tags = (Tag(label="espresso", score=0.83), Tag(label="cup", score=0.2))
    visual = VisualContext(tags=tags, caption="A cup of coffee", lines=(LINE,), absent={})
    text = Elements(page([inspected(visual, "espresso . EXIT")])).text
    for shown in (
        "a.png",
        "PNG · 400 × 200 pixels",
        "espresso",
        "0.83",
        "cup",
        "0.20",
        "A cup of coffee",
        "EXIT",
        "0.98",
    ):
        assert shown in text
    assert "espresso . EXIT" in text
    assert IMAGE.sha256 in text
    assert IMAGE.phash in text


def test_an_absent_channel_has_its_reason() -> None:
    text = Elements(page([inspected(VisualContext(absent={"ocr": "off", "caption": "no model"}))])).text
    assert "off" in text
    assert "no model" in text


def test_boxes_are_where_the_text_and_the_objects_are() -> None:
    tag = Tag(label="dog", score=0.5, box=(0.25, 0.25, 0.75, 0.75))
    elements = Elements(page([inspected(VisualContext(tags=(tag,), lines=(LINE,)))]))
    assert elements.of("svg")[0]["viewbox"] == "0 0 900 450"
    assert elements.of("polygon")[0]["points"] == "450.0,225.0 810.0,225.0 810.0,360.0 450.0,360.0"
    box = elements.of("rect", "box object-box")[0]
    assert [box[name] for name in ("x", "y", "width", "height")] == ["225.0", "112.5", "450.0", "225.0"]


def test_recognised_text_lies_over_the_image_so_that_it_can_be_selected() -> None:
    turned = TextLine(text="UP", score=0.9, box=((0.5, 0.5), (0.5, 0.1), (0.6, 0.1), (0.6, 0.5)))
    (text,) = Elements(page([inspected(VisualContext(lines=(turned,)))])).of("text", "on-image")
    assert text["transform"] == "translate(450.0 225.0) rotate(-90.0)"
    assert text["textlength"] == "180.0"


def test_the_number_of_a_line_leads_to_its_box() -> None:
    elements = Elements(page([inspected(VisualContext(lines=(LINE, LINE)))] * 2))
    links = [link["href"] for link in elements.of("a")]
    assert links == [f"#{box['id']}" for box in elements.of("polygon")]
    assert len(set(links)) == 4


def test_the_image_is_a_copy_inside_the_page() -> None:
    (image,) = Elements(page([inspected(VisualContext())])).of("image")
    kind, _, data = str(image["href"]).partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as copy:
        assert copy.size == (200, 100)


def test_a_refused_image_has_a_card_with_the_reason() -> None:
    refused = InspectedImage("http://a.test/b.jpg", "too_big: more than allowed")
    elements = Elements(page([refused, inspected(VisualContext())]))
    assert "too_big" in elements.text
    assert "more than allowed" in elements.text
    assert "2 images, 1 refused" in elements.text
    assert len(elements.of("image")) == 1


@pytest.mark.parametrize("hostile", [HOSTILE, "javascript:alert(1)//" + HOSTILE, "\x1b[31m\u202e" + HOSTILE])
def test_strangers_strings_are_inert(hostile: str) -> None:
    visual = VisualContext(
        tags=(Tag(label=hostile, score=0.9, box=(0, 0, 1, 1)),),
        caption=hostile,
        lines=(TextLine(text=hostile, score=0.9, box=LINE.box),),
        absent={"ocr": hostile},
    )
    images = [inspected(visual, hostile, hostile), InspectedImage(hostile, f"broken: {hostile}")]
    harmless = [
        inspected(VisualContext(tags=visual.tags, lines=visual.lines), "x", "x"),
        InspectedImage("x", "broken: x"),
    ]
    html = page(images)
    elements = Elements(html)
    assert [tag for tag, _ in elements.elements] == [tag for tag, _ in Elements(page(harmless)).elements]
    assert not any(name.startswith("on") for _, attrs in elements.elements for name in attrs)
    assert "{{ 7 * 7 }}" in elements.text
    assert not set(html) & set("\x1b\u202e")


def test_the_page_loads_nothing_and_its_policy_allows_only_its_own_parts() -> None:
    html = page([inspected(VisualContext(lines=(LINE,))), InspectedImage("http://a.test/b.jpg", "not_found: HTTP 404")])
    elements = Elements(html)
    (policy,) = [meta["content"] for meta in elements.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(elements.style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    addresses = [value for _, attrs in elements.elements for name, value in attrs.items() if name in {"href", "src"}]
    assert all(str(value).startswith(("data:", "#")) for value in addresses)
    assert not re.search(r"url\(|@import", elements.style)
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in elements.elements}
    assert not any("style" in attrs for _, attrs in elements.elements)
