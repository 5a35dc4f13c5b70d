"""The caches of a machine forget what erased posts had, and what is too old."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from model.vision.cache import ContextCache
from model.vision.values import Tag, VisualContext
from streams.caches import MachineCaches
from streams.images import database
from streams.images.cache import ImageCache
from streams.images.conditional import Answer, Freshness, Validators
from streams.images.decode import LoadedImage
from streams.settings import ImageLimits, VisionLimits
from streams.vision import context_database

A, B, SHARED = "http://h/a.jpg", "http://h/b.jpg", "http://h/shared.jpg"


def hash_of(url: str) -> str:
    return ("a" if url == A else "b") * 64


async def filled(home: Path) -> None:
    """Caches two images. The second has two URLs."""
    images, file = ImageCache(ImageLimits(), home), context_database(home)
    contexts = ContextCache(file, "reader", 10)
    for url in (A, B, SHARED):
        sha256 = hash_of(url)
        image = LoadedImage(url, sha256, "JPEG", 80, 40, "0" * 64, None)
        assert await images.keep(image, Answer(b"secret " + sha256.encode(), Validators(url), Freshness()))
        await contexts.put(sha256, None, None, VisualContext(tags=(Tag(label=f"words {sha256}", score=0.5),)))
    await images.close()
    await file.close()


def held(home: Path) -> tuple[set[str], set[str]]:
    """Returns the hashes of the images and of the contexts in the files."""
    hashes = []
    for name, table in (("images", "image"), ("vision", "contexts")):
        with closing(sqlite3.connect(home / "cache" / f"{name}.sqlite3")) as file:
            rows = [row[0] for row in file.execute(f"SELECT sha256 FROM {table}")]
            hashes.append({row.hex() if isinstance(row, bytes) else row for row in rows})
    return hashes[0], hashes[1]


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


async def test_an_image_is_forgotten_with_its_context_unless_another_url_served_it(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with MachineCaches(ImageLimits(), VisionLimits(), tmp_path) as caches:
        await caches.forget([A, SHARED, "http://h/unknown.jpg"])
    assert held(tmp_path) == ({hash_of(B)}, {hash_of(B)})
    for file in (tmp_path / "cache").iterdir():
        assert hash_of(A).encode() not in file.read_bytes(), "what is deleted is overwritten"


async def test_the_log_is_emptied_only_after_something_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "OPERATION_S", 60.0)
    await filled(tmp_path)
    path = tmp_path / "cache" / "images.sqlite3"
    log = path.with_name("images.sqlite3-wal")
    images = ImageCache(ImageLimits(), tmp_path)
    with closing(sqlite3.connect(path)) as other:
        with other:
            other.execute("UPDATE image SET used = used + 1")
        assert await images.forget(["http://h/unknown.jpg"]) == []
        assert log.stat().st_size > 0
        assert await images.forget([SHARED]) == []  # only its answer is deleted
        assert log.stat().st_size == 0
        assert await images.forget([A, B]) == [hash_of(A), hash_of(B)]
    await images.close()


async def test_old_entries_are_dropped_while_a_worker_runs(tmp_path: Path) -> None:
    await filled(tmp_path)
    short = 1e-9
    async with MachineCaches(ImageLimits(cache_hours=short), VisionLimits(cache_hours=short), tmp_path, every_s=0.01):
        for _ in range(500):
            if held(tmp_path) == (set(), set()):
                return
            await asyncio.sleep(0.01)
    raise AssertionError(held(tmp_path))


async def test_a_machine_without_caches_gets_none(tmp_path: Path) -> None:
    async with MachineCaches(ImageLimits(), VisionLimits(), tmp_path) as caches:
        await caches.forget([A])
        await caches.drop_old()
    assert is_empty(tmp_path)


async def test_an_image_that_is_too_old_is_not_served_however_fresh_it_is(tmp_path: Path) -> None:
    now = [1e9]
    cache = ImageCache(ImageLimits(cache_s=1e9, cache_hours=1), tmp_path, lambda: now[0])
    image = LoadedImage(A, hash_of(A), "JPEG", 80, 40, "0" * 64, None)
    await cache.keep(image, Answer(b"body", Validators(A), Freshness()))
    now[0] += 3599
    assert (await cache.find(A)).cached
    now[0] += 1
    assert (await cache.find(A)).cached is None
    assert await cache.find_decoded(hash_of(A), A) is None
    await cache.close()
