"""The image cache on a real file: what it finds, what it forgets, and how much it keeps."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.images.cache import CacheLookup
from streams.images.cache_policy import PASSING_S, STALE_FACTOR
from streams.images.conditional import Answer, Freshness, Validators
from streams.images.decode import DECODER
from streams.images.errors import ImageError
from tests.streams.images.caches import OTHER, URL, VALIDATORS, Make, image_of, is_fresh, keep, size
from tests.streams.images.clock import Clock


async def test_an_image_is_found_by_url_and_by_content(make: Make) -> None:
    cache = make()
    image = await keep(cache, b"body")
    cached = (await cache.find(URL)).cached
    assert cached is not None
    assert (cached.image, cached.validators, cached.fresh) == (image, VALIDATORS, True)
    assert await cache.find_decoded(image.sha256, OTHER) == image_of(b"body", OTHER)
    assert await cache.body(image.sha256) == b"body"
    assert await cache.find(OTHER) == CacheLookup()


async def test_a_file_is_hashed_outside_the_event_loop(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, threads = make(), set()
    image = await keep(cache, b"body")

    def sha256(body: bytes) -> Any:
        threads.add(threading.current_thread().name.rpartition("_")[0])
        return hashlib.sha256(body)

    monkeypatch.setattr("streams.images.cache.hashlib", SimpleNamespace(sha256=sha256))
    assert await cache.body(image.sha256) == b"body"
    assert threads == {"sqlite-images"}


async def test_an_image_is_found_after_a_restart(make: Make) -> None:
    first = make()
    await keep(first, b"body")
    await first.close()
    assert await is_fresh(make())


async def test_a_file_is_stored_once_for_all_its_urls(make: Make, path: Path) -> None:
    cache = make()
    for number in range(5):
        await keep(cache, b"body", f"{URL}?{number}")
    with closing(sqlite3.connect(path)) as file, file:
        assert file.execute("SELECT count(*) FROM body").fetchone() == (1,)


@pytest.mark.parametrize(
    ("max_age", "until"),
    [
        pytest.param(None, 3600, id="the server says nothing: the setting"),
        pytest.param(60.0, 60, id="the server may shorten it"),
        pytest.param(1e9, 3600, id="and never lengthen it"),
    ],
)
async def test_an_image_is_fresh_until(make: Make, clock: Clock, max_age: float | None, until: float) -> None:
    cache = make(cache_s=3600)
    await keep(cache, b"body", life=Freshness(max_age))
    clock.now += until - 1
    assert await is_fresh(cache)
    clock.now += 1
    assert not await is_fresh(cache)


async def test_a_304_makes_an_image_fresh_again_with_new_validators(make: Make, clock: Clock) -> None:
    cache = make(cache_s=60)
    await keep(cache, b"body")
    clock.now += 61
    cached = (await cache.find(URL)).cached
    assert cached is not None
    newer = Validators(URL, '"two"', None)
    await cache.renew(cached, Answer(None, newer))
    cached = (await cache.find(URL)).cached
    assert cached is not None
    assert (cached.fresh, cached.validators) == (True, newer)


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        pytest.param(Freshness(), Freshness(0, stale=False), id="it says nothing of it: as before"),
        pytest.param(Freshness(30), Freshness(30), id="it says something else"),
        pytest.param(Freshness(store=False), None, id="it forbids it now"),
    ],
)
async def test_a_304_updates_the_freshness(make: Make, answered: Freshness, expected: Freshness | None) -> None:
    cache = make()
    await keep(cache, b"body", life=Freshness(0, stale=False))
    cached = (await cache.find(URL)).cached
    assert cached is not None
    await cache.renew(cached, Answer(None, cached.validators, answered))
    cached = (await cache.find(URL)).cached
    assert (cached and cached.freshness) == expected


async def test_a_stale_image_is_usable_for_a_limited_time(make: Make, clock: Clock) -> None:
    cache = make(cache_s=60)
    await keep(cache, b"body")
    for after, usable in ((60 * STALE_FACTOR - 1, True), (1, False)):
        clock.now += after
        cached = (await cache.find(URL)).cached
        assert cached is not None
        assert (cached.fresh, cached.usable_when_stale) == (False, usable)


async def test_a_clock_that_goes_back_makes_nothing_fresh(make: Make, clock: Clock) -> None:
    cache = make()
    await keep(cache, b"body")
    await cache.refuse(OTHER, ImageError("not_found", "HTTP 404"))
    clock.now -= 10
    assert not await is_fresh(cache)
    assert await cache.find(OTHER) == CacheLookup()


async def test_no_store_is_obeyed_and_drops_the_stored_image(make: Make) -> None:
    cache = make()
    image = await keep(cache, b"body")
    await keep(cache, b"body", life=Freshness(store=False))
    assert await cache.find(URL) == CacheLookup()
    assert await cache.body(image.sha256) is None


@pytest.mark.parametrize(
    ("error", "remembered_s"),
    [
        pytest.param(ImageError("not_found", "HTTP 404"), 60, id="404"),
        pytest.param(ImageError("private_address", "10.0.0.7"), 60, id="a private address"),
        pytest.param(ImageError("http_status", "HTTP 403"), 60, id="403"),
        pytest.param(ImageError("bomb", "too many pixels"), 60, id="a bomb"),
        pytest.param(ImageError("decoder_died", "killed"), 60, id="what killed a decoder is not tried again at once"),
        pytest.param(ImageError("unresolvable", "no such name"), 60, id="no address"),
        pytest.param(ImageError("timeout", "not done"), PASSING_S, id="a timeout, briefly"),
        pytest.param(ImageError("connection_lost", "reset"), PASSING_S, id="a reset, briefly"),
        pytest.param(ImageError("http_status", "HTTP 503"), PASSING_S, id="503, briefly"),
        pytest.param(ImageError("http_status", "HTTP 429"), PASSING_S, id="429, briefly"),
        pytest.param(ImageError("http_status", "HTTP 429, may be asked again in 90 s"), 90, id="429 that says when"),
        pytest.param(
            ImageError("http_status", "HTTP 503, may be asked again in 1 s"), PASSING_S, id="503 that says soon"
        ),
        pytest.param(ImageError("http_status", "HTTP 503, may be asked again in 86400 s"), 3600, id="503, a day"),
        pytest.param(ImageError("busy", "no slot"), 0, id="no slot, never"),
        pytest.param(ImageError("host_down", "left alone"), 0, id="a host that is left alone, never"),
        pytest.param(ImageError("internal", "a bug"), 0, id="our own fault, never"),
    ],
)
async def test_a_refusal_is_remembered_for(make: Make, clock: Clock, error: ImageError, remembered_s: float) -> None:
    cache = make()
    await cache.refuse(URL, error)
    if remembered_s:
        clock.now += remembered_s - 0.5
        refusal = (await cache.find(URL)).refusal
        assert refusal is not None
        assert (refusal.kind, refusal.reason) == (error.kind, error.reason)
        clock.now += 0.5
    assert await cache.find(URL) == CacheLookup()


async def test_a_refusal_drops_the_image_unless_only_the_server_failed(make: Make) -> None:
    cache = make()
    image = await keep(cache, b"body")
    await cache.refuse(URL, ImageError("timeout", "not done"))
    lookup = await cache.find(URL)
    assert (lookup.cached is not None, lookup.refusal is not None) == (True, True)
    await cache.refuse(URL, ImageError("not_found", "HTTP 404"))
    assert (await cache.find(URL)).cached is None
    assert await cache.body(image.sha256) is None


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"allow": ()}, id="a host is no longer allowed"),
        pytest.param({"ports": (443,)}, id="a port is no longer allowed"),
        pytest.param({"max_bytes": 2048}, id="fewer bytes are allowed"),
        pytest.param({"max_pixels": 2048}, id="fewer pixels are allowed"),
    ],
)
async def test_an_entry_is_not_served_under_other_rules(make: Make, changed: dict[str, Any]) -> None:
    before = {"allow": ("intranet.example:80",)}
    await keep(make(**before), b"body")
    await make(**before).refuse(OTHER, ImageError("too_big", "1 byte too many"))
    for url in (URL, OTHER):
        assert await make(**before).find(url) != CacheLookup()
        assert await make(**{**before, **changed}).find(url) == CacheLookup()


async def test_a_shorter_freshness_applies_to_stored_images(make: Make, clock: Clock) -> None:
    await keep(make(cache_s=3600), b"body")
    clock.now += 100
    assert not await is_fresh(make(cache_s=60))


async def test_results_of_another_decoder_version_are_ignored(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make()
    image = await keep(cache, b"body")
    monkeypatch.setattr("streams.images.cache_tables.DECODER", DECODER + 1)
    assert await cache.find(URL) == CacheLookup()
    assert await cache.find_decoded(image.sha256, URL) is None
    await keep(cache, b"body")
    assert await cache.find_decoded(image.sha256, URL) == image


async def test_the_least_recently_used_image_is_evicted_to_keep_the_limit(make: Make, clock: Clock, path: Path) -> None:
    cache = make(cache_mb=1)
    bodies = [os.urandom(100_000) for _ in range(30)]
    first = await keep(cache, bodies[0], f"{URL}?0")
    for number, body in enumerate(bodies[1:], start=1):
        clock.now += 61
        await cache.find(f"{URL}?0")
        await keep(cache, body, f"{URL}?{number}")
    cached = [number for number in range(30) if (await cache.find(f"{URL}?{number}")).cached]
    assert cached == [0, *range(30 - len(cached) + 1, 30)]
    assert 6 <= len(cached) <= 9
    assert await cache.body(first.sha256) == bodies[0]
    await cache.close()
    assert size(path) <= 1_200_000  # the next write uses the pages that the last deletion freed


async def test_a_lower_limit_frees_the_space(make: Make, path: Path) -> None:
    cache = make(cache_mb=4)
    for number in range(20):
        await keep(cache, os.urandom(150_000), f"{URL}?{number}")
    await cache.close()
    assert size(path) > 3_000_000
    cache = make(cache_mb=1)
    await keep(cache, b"body")
    await cache.close()
    cache = make(cache_mb=1)
    assert await is_fresh(cache)
    await cache.close()
    assert size(path) < 1_100_000


async def test_the_number_of_urls_is_limited(make: Make, path: Path) -> None:
    cache = make(cache_mb=1)
    for number in range(150):
        await keep(cache, b"body", f"{URL}?{number}")
        await cache.refuse(f"{OTHER}?{number}", ImageError("not_found", "HTTP 404"))
    with closing(sqlite3.connect(path)) as file, file:
        assert file.execute("SELECT count(*) FROM answer").fetchone() == (100,)
        assert file.execute("SELECT count(*) FROM refusal").fetchone() == (100,)
    assert await is_fresh(cache, f"{URL}?149")


async def test_one_image_cannot_evict_all_others(make: Make) -> None:
    cache = make(cache_mb=1)
    await keep(cache, b"body")
    await keep(cache, os.urandom(600_000), OTHER)
    assert await is_fresh(cache)
    assert await cache.find(OTHER) == CacheLookup()


async def test_a_size_of_0_makes_no_file(make: Make, path: Path) -> None:
    cache = make(cache_mb=0)
    image = await keep(cache, b"body")
    await cache.refuse(OTHER, ImageError("not_found", "HTTP 404"))
    assert await cache.find(URL) == await cache.find(OTHER) == CacheLookup()
    assert await cache.body(image.sha256) is None
    assert not path.parent.exists()
