"""The cache of visual contexts: found by hash or by likeness, limited, and harmless when its file is faulty."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from model.vision.cache import MAX_NEAR, SCHEMA, SCHEMA_VERSION, ContextCache, HashIndex
from model.vision.values import MAX_LINES, MAX_WORDS, Tag, TextLine, VisualContext
from streams.images.database import Database


def context(label: str = "dog") -> VisualContext:
    return VisualContext(tags=(Tag(label=label, score=0.5),))


def phash(*bits: int) -> str:
    return f"{sum(1 << bit for bit in bits):064x}"


COLOURS = bytes(48)


async def near(cache: ContextCache, asked: str, bits: int) -> list[str]:
    return [lender.context.tags[0].label for lender in await cache.near(asked, bits)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "vision.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Database]:
    database = Database(path, SCHEMA, SCHEMA_VERSION)
    yield database
    await database.close()


async def test_only_the_same_reader_version_finds_a_context(store: Database) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1), COLOURS, context())
    assert await cache.get("a") == context()
    assert await cache.get("b") is None
    assert await ContextCache(store, "two", 10).get("a") is None
    assert await ContextCache(store, "two", 10).near(phash(1), 64) == []


@pytest.mark.parametrize(
    ("asked", "bits", "found"),
    [
        pytest.param(phash(1, 2), 0, ["few bits"], id="the very hash"),
        pytest.param(phash(1, 2, 3), 0, [], id="one bit too far"),
        pytest.param(phash(1, 2, 3), 1, ["few bits"], id="just near enough"),
        pytest.param(phash(*range(100, 208)), 16, ["more bits", "many bits"], id="the nearest of several first"),
        pytest.param(phash(1, 2), -1, [], id="none, not even the same"),
        pytest.param("", 256, [], id="no hash"),
        pytest.param("xyz", 256, [], id="nonsense"),
        pytest.param("ff", 256, [], id="a shorter hash"),
    ],
)
async def test_near_duplicates_differ_in_few_bits(store: Database, asked: str, bits: int, found: list[str]) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1, 2), COLOURS, context("few bits"))
    await cache.put("b", phash(*range(100, 200)), COLOURS, context("many bits"))
    await cache.put("c", phash(*range(100, 210)), COLOURS, context("more bits"))
    await cache.put("d", None, COLOURS, context("not lent"))
    await cache.put("e", phash(1, 2), None, context("plain, not lent"))
    assert await near(cache, asked, bits) == found


async def test_near_duplicates_are_found_after_a_restart(store: Database) -> None:
    await ContextCache(store, "one", 10).put("a", phash(1), COLOURS, context())
    assert await ContextCache(store, "one", 10).near(phash(2), 2) == [("a", COLOURS, context())]


async def test_a_deleted_file_does_not_hide_new_contexts(store: Database, path: Path) -> None:
    cache = ContextCache(store, "one", 10 * MAX_NEAR)
    for number in range(MAX_NEAR):
        await cache.put(f"old {number}", phash(1), COLOURS, context("old"))
    for file in path.parent.iterdir():
        file.unlink()
    await cache.put("new", phash(1), COLOURS, context("new"))
    assert await near(cache, phash(1), 0) == ["new"]


async def test_an_evicted_context_does_not_hide_others(store: Database) -> None:
    cache = ContextCache(store, "one", 2)
    await cache.put("a", phash(1), COLOURS, context("a"))
    await ContextCache(store, "another worker", 1).put("b", None, None, context("b"))
    await cache.put("c", phash(1), COLOURS, context("c"))
    assert await near(cache, phash(1), 0) == ["c"]


async def test_use_by_a_near_duplicate_keeps_a_context_for_longer(store: Database) -> None:
    now = iter(range(100))
    cache = ContextCache(store, "one", 2, lambda: float(next(now)))
    for name in "ab":
        await cache.put(name, None, None, context(name))
    cache.used("a")
    await cache.put("c", None, None, context("c"))
    assert [name for name in "abc" if await cache.get(name)] == ["a", "c"]


async def test_uses_are_written_without_a_new_context(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    cache = ContextCache(store, "one", 3, lambda: float(next(now)))
    for name in "abc":
        await cache.put(name, None, None, context(name))
    monkeypatch.setattr("model.vision.cache.SLACK", 1)
    for name in "ba":
        await cache.get(name)
    monkeypatch.undo()
    again = ContextCache(store, "one", 3, lambda: float(next(now)))
    await again.put("d", None, None, context("d"))
    assert [name for name in "abcd" if await again.get(name)] == ["a", "b", "d"]


async def test_contexts_are_deleted_when_they_are_too_old_also_if_they_are_used(store: Database) -> None:
    now = [1000.0]
    cache = ContextCache(store, "one", 10, lambda: now[0], longest_s=100)
    await cache.put("a", phash(1), COLOURS, context("a"))
    await cache.put("b", phash(2), COLOURS, context("b"))
    now[0] += 50
    await cache.put("b", None, None, context("b"))
    now[0] += 49
    assert await cache.get("a")
    now[0] += 1
    assert await cache.get("a") is None
    assert await cache.near(phash(1), 0) == []
    await cache.drop_old()
    kept = await store.read(lambda file: [row[0] for row in file.execute("SELECT sha256 FROM contexts")])
    assert kept == ["b"]


async def test_a_forgotten_context_is_gone_for_every_version_of_the_reader(store: Database) -> None:
    for reader in ("one", "two"):
        for name in "ab":
            await ContextCache(store, reader, 10).put(name, None, None, context(name))
    assert await ContextCache(store, "", 0).forget(["a"]) == 2
    assert await ContextCache(store, "", 0).forget(["a"]) == 0
    for reader in ("one", "two"):
        cache = ContextCache(store, reader, 10)
        assert [name for name in "ab" if await cache.get(name)] == ["b"]


async def test_the_least_recently_used_contexts_are_evicted_first(store: Database) -> None:
    now = iter(range(100))
    cache = ContextCache(store, "one", 3, lambda: float(next(now)))
    for name in "abc":
        await cache.put(name, phash(ord(name)), COLOURS, context(name))
    await cache.get("a")
    await cache.put("d", phash(9), COLOURS, context("d"))
    kept = [name for name in "abcd" if await cache.get(name)]
    assert kept == ["a", "c", "d"]
    assert await cache.near(phash(ord("b")), 0) == [], "what was thrown out is not lent either"


async def test_a_damaged_row_is_a_miss_and_is_deleted(store: Database, path: Path) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1), COLOURS, context())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE contexts SET context = '{\"tags\": 7}'")
    assert await cache.get("a") is None
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT count(*) FROM contexts").fetchone() == (0,)


@pytest.fixture
def broken(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 1000)


@pytest.fixture
def folder(path: Path) -> None:
    """Makes a folder where the file should be."""
    path.mkdir(parents=True)


@pytest.mark.usefixtures("broken")
async def test_a_broken_file_is_replaced(store: Database) -> None:
    cache = ContextCache(store, "one", 10)
    assert await cache.near(phash(1), 4) == []
    await cache.put("a", phash(1), COLOURS, context())
    assert await cache.get("a") == context()


@pytest.mark.usefixtures("folder")
async def test_an_unusable_file_does_no_harm(store: Database) -> None:
    cache = ContextCache(store, "one", 10)
    await cache.put("a", phash(1), COLOURS, context())
    assert await cache.get("a") is None
    assert await cache.near(phash(1), 4) == []


async def test_a_page_full_of_text_is_not_kept(store: Database) -> None:
    cache = ContextCache(store, "one", 10)
    line = TextLine(text='"' * MAX_WORDS, score=0.5, box=((0.0, 0.0),) * 4)
    await cache.put("a", phash(1), COLOURS, VisualContext(lines=(line,) * MAX_LINES))
    assert await cache.get("a") is None


def test_the_index_forgets_the_oldest_hash_and_counts_differing_bits() -> None:
    chance = np.random.default_rng(7)
    hashes = [chance.bytes(32) for _ in range(300)]
    index = HashIndex(200)
    for number, each in enumerate(hashes):
        index.add(each, str(number))
    for asked in hashes[:5]:
        assert index.nearest(asked, 0) == []
    for _ in range(20):
        asked = chance.bytes(32)
        apart = [(int.from_bytes(each) ^ int.from_bytes(asked)).bit_count() for each in hashes[100:]]
        assert [apart[int(owner) - 100] for owner in index.nearest(asked, 256)] == sorted(apart)[:MAX_NEAR]
