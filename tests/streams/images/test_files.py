"""`file:` URLs give an image or a reason, never another exception."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.events import Media
from streams.images.files import load_url_or_file
from streams.images.loader import ImageLoader, load_first_photo
from streams.settings import ImageLimits
from tests.streams.images.sample_images import encoded, half_and_half


async def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "an image.png"
    path.write_bytes(encoded(half_and_half(), "PNG"))
    async with ImageLoader(ImageLimits()) as loader:
        result, image = await load_first_photo(
            [Media(url=path.as_uri())], lambda url: load_url_or_file(url, loader, ImageLimits())
        )
    assert (result.status, result.format, result.width) == ("ok", "PNG", 80)
    assert image is not None
    assert image.pixels is not None


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("http://[", "bad_url", id="an address that does not close"),
        pytest.param("file://[", "bad_url", id="a file on a host that does not close"),
        pytest.param("file:///nowhere/%00", "not_found", id="a zero byte"),
        pytest.param("file:///" + "a" * 2000, "unreachable", id="a name too long"),
        pytest.param("file:///dev/zero", "not_found", id="a device"),
        pytest.param("ftp://a.test/1.jpg", "scheme", id="another scheme"),
    ],
)
async def test_a_bad_url_is_a_reason(url: str, kind: str) -> None:
    async with ImageLoader(ImageLimits()) as loader:
        result, image = await load_first_photo(
            [Media(url=url)], lambda url: load_url_or_file(url, loader, ImageLimits())
        )
    assert (result.status, image) == ("failed", None)
    assert (result.reason or "").startswith(f"{kind}: ")
