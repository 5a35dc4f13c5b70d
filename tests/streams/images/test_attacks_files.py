"""Files that attack their decoder are refused or cost little, and the next image is read."""

from __future__ import annotations

import pytest

from streams.images.loader import ImageLoader
from tests.streams.images.hostile import HostileServer, reply
from tests.streams.images.hostile_files import FILES
from tests.streams.images.measured import attack

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = {"timeout_s": 20, "decode_s": 6}
SECONDS = 14.0
"""Longest time of an attack. Decoding may take 6 s on a busy machine, and the replacement of the process some more."""


@pytest.mark.parametrize("name", FILES)
async def test_a_hostile_file_is_refused_or_bounded(corpus: tuple[ImageLoader, HostileServer], name: str) -> None:
    loader, server = corpus
    build, expected = FILES[name]
    server.answers["/a"] = reply(build(), "Content-Type: image/jpeg")
    assert (await attack(name, loader, f"{server.url}/a", SECONDS)).startswith(expected)
    assert (await loader.load(f"{server.url}/honest")).format == "PNG"
