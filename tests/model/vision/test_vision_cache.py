"""Contexts on disk: found by content and by likeness, bounded, and no fault of the file is anybody's trouble."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from model.vision.cache import SCHEMA, SCHEMA_VERSION, ContextCache, HashIndex
from model.vision.values import Tag, VisualContext
from streams.images.database import Database


def context(label: str = "dog") -> VisualContext:
    return VisualContext(tags=(Tag(label=label, score=0.5),))


def phash(*bits: int) -> str:
    return f"{sum(1 << bit for bit in bits):064x}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "vision.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Database]:
    database = Database(path, SCHEMA, SCHEMA_VERSION)
    yield database
    await database.close()


async def test_what_was_put_is_got_by_its_reader_alone(store: Database) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1), context())
    assert await cache.get("a") == context()
    assert await cache.get("b") is None
    assert await ContextCache(store, "two", 10).get("a") is None
    assert await ContextCache(store, "two", 10).near(phash(1), 64) is None


@pytest.mark.parametrize(
    ("asked", "bits", "found"),
    [
        pytest.param(phash(1, 2), 0, "few bits", id="the very hash"),
        pytest.param(phash(1, 2, 3), 0, None, id="one bit too far"),
        pytest.param(phash(1, 2, 3), 1, "few bits", id="just near enough"),
        pytest.param(phash(*range(100, 198)), 16, "many bits", id="the nearest of several"),
        pytest.param("", 256, None, id="no hash"),
        pytest.param("xyz", 256, None, id="nonsense"),
        pytest.param("ff", 256, None, id="a shorter hash"),
    ],
)
async def test_likeness_is_bits_that_differ(store: Database, asked: str, bits: int, found: str | None) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1, 2), context("few bits"))
    await cache.put("b", phash(*range(100, 200)), context("many bits"))
    await cache.put("c", phash(*range(100, 210)), context("more bits"))
    await cache.put("d", None, context("not lent"))
    near = await cache.near(asked, bits)
    assert (near.tags[0].label if near else None) == found


async def test_likeness_survives_a_restart(store: Database) -> None:
    await ContextCache(store, "one", 10).put("a", phash(1), context())
    assert await ContextCache(store, "one", 10).near(phash(2), 2) == context()


async def test_the_least_recently_used_go_first(store: Database) -> None:
    now = iter(range(100))
    cache = ContextCache(store, "one", 3, lambda: float(next(now)))
    for name in "abc":
        await cache.put(name, phash(ord(name)), context(name))
    await cache.get("a")
    await cache.put("d", phash(9), context("d"))
    kept = [name for name in "abcd" if await cache.get(name)]
    assert kept == ["a", "c", "d"]
    assert await cache.near(phash(ord("b")), 0) is None, "what was thrown out is not lent either"


async def test_a_damaged_row_is_a_miss_and_goes(store: Database, path: Path) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1), context())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE contexts SET context = '{\"tags\": 7}'")
    assert await cache.get("a") is None
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM contexts").fetchone() == (0,)


@pytest.fixture
def broken(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 1000)


@pytest.fixture
def folder(path: Path) -> None:
    """Where the file should be."""
    path.mkdir(parents=True)


@pytest.mark.usefixtures("broken")
async def test_a_broken_file_is_made_anew(store: Database) -> None:
    cache = ContextCache(store, "one", 10)
    assert await cache.near(phash(1), 4) is None
    await cache.put("a", phash(1), context())
    assert await cache.get("a") == context()


@pytest.mark.usefixtures("folder")
async def test_a_file_that_cannot_be_used_fails_nothing(store: Database) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1), context())
    assert await cache.get("a") is None
    assert await cache.near(phash(1), 4) is None


async def test_a_wall_of_text_is_not_kept(store: Database) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1), VisualContext(caption="x" * 200_000))
    assert await cache.get("a") is None


def test_the_index_forgets_the_oldest_and_agrees_with_counting_bits() -> None:
    chance = np.random.default_rng(7)
    hashes = [chance.bytes(32) for _ in range(300)]
    index = HashIndex(200)
    for number, one in enumerate(hashes):
        index.add(one, str(number))
    for asked in hashes[:5]:
        assert index.nearest(asked, 0) is None
    for _ in range(20):
        asked = chance.bytes(32)
        apart = [(int.from_bytes(one) ^ int.from_bytes(asked)).bit_count() for one in hashes[100:]]
        assert index.nearest(asked, 256) == str(100 + apart.index(min(apart))) or apart.count(min(apart)) > 1
