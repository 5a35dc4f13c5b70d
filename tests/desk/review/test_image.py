"""The image of a post on the review page, with what was found in it."""

from __future__ import annotations

import io

from aiohttp import web
from PIL import Image
from playwright.async_api import Page, expect

from core.events import ImageResult, Media, Region, Tweet
from desk.pages import static
from streams.settings import Settings
from tests.desk.conftest import served
from tests.desk.file_server import served_files
from tests.desk.filled import extraction, fill, mention
from tests.desk.review.made import opened

TEXT = "Paris at night"
REGIONS = (
    Region(kind="text", label="GARE DU NORD", score=0.91, box=(0.1, 0.2, 0.6, 0.3)),
    Region(kind="object", label="train", score=0.74, box=(0.25, 0.5, 0.75, 0.9)),
)

PLACED = """() => {
  const photo = document.querySelector(".review-image img").getBoundingClientRect();
  return [...document.querySelectorAll(".review-image .box")].map((box) => {
    const { left, top, right, bottom } = box.querySelector("rect:not(.box-halo)").getBoundingClientRect();
    const across = (x) => (x - photo.left) / photo.width, down = (y) => (y - photo.top) / photo.height;
    return [box.querySelector("text").textContent, across(left), down(top), across(right), down(bottom)];
  });
}"""
"""Returns the number of each box, and its edges on the screen as shares of the photo."""


async def test_photo_boxes_and_list_of_a_task_and_the_thumbnail_of_a_hit(desk_settings: Settings, page: Page) -> None:
    file = io.BytesIO()
    Image.new("RGB", (900, 600), "navy").save(file, "PNG")

    async def send(request: web.Request) -> web.Response:
        return web.Response(body=file.getvalue(), content_type="image/png")

    async with served_files(send) as host:
        url = f"http://{host}/a.png"
        image = ImageResult(status="ok", url=url, width=900, height=600, regions=REGIONS)
        for post, probability in (("task", 0.5), ("found", 0.99)):
            tweet = Tweet(id=post, text=TEXT, media=(Media(url=url),))
            await fill(desk_settings, [extraction(tweet, [mention(TEXT, 0, 5, "LOC", probability)], image=image)])
        with served(desk_settings.changed(image={"allow": (host,)})) as desk:
            await opened(page, desk)
            assert await loaded_size(page, ".review-image img") == (640, 427)
            placed = await page.evaluate(PLACED)
            assert [number for number, *_ in placed] == ["1", "2"]
            for (_, *edges), region in zip(placed, REGIONS, strict=True):
                assert all(abs(edge - wanted) < 0.02 for edge, wanted in zip(edges, region.box, strict=True)), edges
            found = page.locator(".review-image .regions li")
            await expect(found).to_have_text(["1GARE DU NORD91%", "2train74%"])
            await found.nth(1).hover()
            await expect(page.locator(".review-image .box.object.on")).to_be_visible()

            await page.goto(f"{desk}/search?q=night")
            assert await loaded_size(page, ".hit-image img[src*='/found/']") == (160, 107)


async def loaded_size(page: Page, image: str) -> tuple[int, int]:
    """Waits until the image is there, and returns its width and height as they came, in pixels."""
    await page.wait_for_function("image => document.querySelector(image)?.naturalWidth > 0", arg=image)
    await expect(page.locator(image)).to_be_visible()
    width, height = await page.locator(image).evaluate("image => [image.naturalWidth, image.naturalHeight]")
    return width, height


BOARD = [
    # left, top, right and bottom of what stands on a departure board
    (0.07, 0.10, 0.37, 0.23),
    (0.79, 0.14, 0.94, 0.27),
    (0.068, 0.27, 0.206, 0.38),
    (0.22, 0.28, 0.44, 0.39),
    (0.68, 0.30, 0.865, 0.41),
    (0.068, 0.44, 0.206, 0.55),
    (0.22, 0.45, 0.384, 0.56),
    (0.67, 0.48, 0.874, 0.60),
    (0.068, 0.62, 0.206, 0.72),
    (0.22, 0.63, 0.44, 0.75),
    (0.67, 0.65, 0.87, 0.77),
]


async def test_the_numbers_of_an_image_hide_nothing_that_was_found(desk: str, page: Page) -> None:
    await page.goto(f"{desk}/review")
    placed = await page.evaluate(
        """async ([module, found]) => {
             const { placeBoxes } = await import(module);
             return placeBoxes(found.map((box) => ({ kind: "text", box })), { w: 640, h: 335 });
           }""",
        [static("review_post.js"), BOARD],
    )
    numbers = [box["number"] for box in placed]
    others = [box["at"] for box in placed] + numbers
    for number in numbers:
        assert 0 <= number["x"] <= 640 - number["width"]
        assert 0 <= number["y"] <= 335 - number["height"]
        hidden = [other for other in others if other is not number and common(number, other) > 1]
        assert hidden == [], number


def common(one: dict[str, float], other: dict[str, float]) -> float:
    """Returns the area that two rectangles share."""
    across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    return max(0.0, across) * max(0.0, down)
