"""What Chromium shows, the worker reads: the same files, answers and addresses, beside each other.

`chromium.json` holds what Chromium did (see `record`). `DIFFERENCES` and `docs/images.md` say where the worker does
something else, and why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from streams.images.address import UrlPolicy
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.families.images.answers import ANSWERS, HOSTS, LOCATIONS, TARGETS, answer
from tests.families.images.make_files import CORPUS
from tests.families.images.record import POINTS, RECORD
from tests.streams.images.hostile import HostileServer

CHROMIUM: dict[str, Any] = json.loads(RECORD.read_text())
TOLERANCE = 16
"""Largest difference of a colour value. Decoders round differently, and the small copy is averaged."""

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIFFERENCES: dict[str, str] = {
    # files
    "jpeg-profile-swapped.jpg": "read: colour profiles are not applied",
    "png-profile-swapped.png": "read: colour profiles are not applied",
    "png-gamma-linear.png": "read: the gamma chunk is not applied",
    "png-unknown-critical-chunk.png": "read: the pixels are whole",
    "ico-plain.ico": "refused: icons are no photos",
    "svg-plain.svg": "refused: a document that needs a browser",
    # answers
    "type of an SVG": "read: the type never counts",
    "labelled gzip though it is not": "read: the bytes are intact",
    "labelled deflate though it is not": "read: the bytes are intact",
    "labelled br though it is not": "read: the bytes are intact",
    "gzip with aws-chunked": "read: only the unknown name is passed over",
    "aws-chunked with gzip": "read: only the unknown name is passed over",
    "length twice": "refused: two lengths are a sign of a split response",
    "chunked and a length": "refused: two lengths are a sign of a split response",
    "404 with an image": "refused: it is not the image that was posted",
    "500 with an image": "refused: it is not the image that was posted",
    # addresses
    "/a.jpg?it's": "/a.jpg?it's",
    "/a|b.jpg?c|d": "/a|b.jpg?c|d",
    "http://ex%61mple.org/a.jpg": "refused: an encoded host is a disguise",
}
"""Name of the case -> what the worker does instead, and why. Of an address: what is asked for."""


@dataclass(frozen=True)
class Shown:
    """An image with the colours of its grid, from left to right and from top to bottom."""

    width: int
    height: int
    pixels: tuple[tuple[int, ...], ...]

    @property
    def is_empty(self) -> bool:
        """Whether the browser only reserves the place of an image that it cannot draw."""
        return set(self.pixels) == {(255, 255, 255)}

    def is_like(self, other: Shown) -> bool:
        pairs = zip(self.pixels, other.pixels, strict=True)
        near = all(abs(a - b) <= TOLERANCE for one, two in pairs for a, b in zip(one, two, strict=True))
        return near and (self.width, self.height) == (other.width, other.height)


def in_chromium(found: dict[str, Any]) -> Shown | None:
    """Returns what Chromium showed. None if it showed nothing."""
    if not found["shown"]:
        return None
    return Shown(found["width"], found["height"], tuple(map(tuple, found["pixels"])))


async def load(loader: ImageLoader, url: str) -> Shown | str:
    """Returns what the worker reads, or the reason of its refusal."""
    try:
        image = await loader.load(url)
        pixels = await loader.pixels(image)
    except ImageError as error:
        return error.reason
    grid = []
    for y in range(POINTS):
        for x in range(POINTS):
            row, column = (2 * y + 1) * pixels.height // (2 * POINTS), (2 * x + 1) * pixels.width // (2 * POINTS)
            at = 3 * (row * pixels.width + column)
            grid.append(tuple(pixels.rgb[at : at + 3]))
    return Shown(image.width, image.height, tuple(grid))


def compare(name: str, ours: Shown | str, theirs: Shown | None) -> None:
    if name in DIFFERENCES:
        assert isinstance(ours, str) is DIFFERENCES[name].startswith("refused"), ours
    elif theirs is None:
        assert isinstance(ours, str), "the browser shows nothing"
    elif isinstance(ours, str):
        assert theirs.is_empty, ours
    else:
        assert ours.is_like(theirs), (ours, theirs)


@pytest.mark.parametrize("name", CHROMIUM["files"])
async def test_a_file_is_read_as_the_browser_shows_it(served: tuple[ImageLoader, HostileServer], name: str) -> None:
    loader, server = served
    server.answers["/file"] = answer((CORPUS / name).read_bytes())
    compare(name, await load(loader, f"{server.url}/file"), in_chromium(CHROMIUM["files"][name]))


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_is_read_as_the_browser_shows_it(served: tuple[ImageLoader, HostileServer], name: str) -> None:
    loader, server = served
    server.answers["/answer"] = ANSWERS[name]
    compare(name, await load(loader, f"{server.url}/answer"), in_chromium(CHROMIUM["answers"][name]))


@pytest.mark.parametrize("target", TARGETS)
async def test_an_address_is_asked_for_as_the_browser_asks(
    served: tuple[ImageLoader, HostileServer], target: str
) -> None:
    loader, server = served
    server.requests.clear()
    await load(loader, server.url + target)
    assert [head.split(" ")[1] for head in server.requests] == [DIFFERENCES.get(target, CHROMIUM["targets"][target])]


@pytest.mark.parametrize("location", LOCATIONS)
async def test_a_redirect_is_followed_as_the_browser_follows_it(
    served: tuple[ImageLoader, HostileServer], location: bytes
) -> None:
    loader, server = served
    moved = location.replace(b"{authority}", server.address.encode())
    server.requests.clear()
    server.answers["/folder/start?0"] = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + moved + b"\r\n\r\n"
    await load(loader, f"{server.url}/folder/start?0")
    wanted = CHROMIUM["locations"][location.decode("latin-1")]
    assert [head.split(" ")[1] for head in server.requests] == ["/folder/start?0", wanted]


@pytest.mark.parametrize("text", HOSTS)
async def test_a_whole_address_is_read_as_the_browser_reads_it(text: str) -> None:
    policy = UrlPolicy.of(ImageLimits())
    if text in DIFFERENCES:
        with pytest.raises(ImageError):
            policy.check_url(text)
    else:
        assert str(policy.check_url(text)) == CHROMIUM["hosts"][text]
