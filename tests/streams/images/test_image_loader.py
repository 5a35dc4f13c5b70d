"""The loader as the pipeline uses it: limits, sharing, caching and cancellation."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.events import ImageResult, Media
from streams.images.cache import ImageCache
from streams.images.cache_policy import PASSING_S, REFUSED_S
from streams.images.conditional import Answer, Validators
from streams.images.decode import LoadedImage
from streams.images.errors import ImageError
from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.metrics_read import metric
from tests.streams.images.clock import Clock
from tests.streams.images.hostile import HostileServer, hostile_server, reply, silence
from tests.streams.images.sample_images import encoded, half_and_half
from tests.waiting import LoopClock, turns, until

PNG = encoded(half_and_half(), "PNG")
OTHER_PNG = encoded(half_and_half(size=(60, 60)), "PNG")
ONE_TRY = FailurePolicy(tries=1)


async def refused(loader: ImageLoader, url: str) -> str:
    with pytest.raises(ImageError) as error:
        await loader.load(url)
    return error.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
async def test_each_format_is_loaded(loader: ImageLoader, server: HostileServer, kind: str) -> None:
    server.answers["/a"] = reply(encoded(half_and_half(), kind))
    url = f"{server.url}/a"
    result, image = await loader.load_first_photo([Media(url=url)])
    assert image is not None
    assert result == ImageResult(status="ok", url=url, width=80, height=40, format=kind, phash=image.phash)
    assert (image.url, image.format, image.width, image.height) == (url, kind, 80, 40)
    assert await loader.pixels(image) is image.pixels is not None


async def test_a_post_without_a_photo_has_no_image(loader: ImageLoader) -> None:
    video = Media(url="http://10.0.0.7/film.mp4", type="video")
    assert (
        await loader.load_first_photo([])
        == await loader.load_first_photo([video])
        == (ImageResult(status="none"), None)
    )


async def test_the_first_photo_is_taken(loader: ImageLoader, server: HostileServer) -> None:
    server.answers["/first"] = reply(PNG)
    media = [
        Media(url=f"{server.url}/film", type="video"),
        Media(url=f"{server.url}/first"),
        Media(url=f"{server.url}/second"),
    ]
    result, _ = await loader.load_first_photo(media)
    assert result.url == f"{server.url}/first"
    assert len(server.requests) == 1


async def test_concurrent_fetches_are_limited_and_waiting_does_not_count_as_slow(
    limits: Callable[..., ImageLimits], server: HostileServer, loop_clock: LoopClock
) -> None:
    answers = asyncio.Semaphore(0)

    async def answer(writer: asyncio.StreamWriter) -> None:
        await answers.acquire()
        writer.write(reply(PNG, "Connection: close"))
        await writer.drain()

    server.answers = {f"/{number}": answer for number in range(9)}
    failures = FailurePolicy(wait_s=10_000)
    async with ImageLoader(limits(workers=3, decoders=1, timeout_s=1000), failures=failures) as loader:
        loads = [asyncio.create_task(loader.load(f"{server.url}/{number}")) for number in range(9)]
        for done in (0, 3, 6):
            await until(lambda done=done: sum(load.done() for load in loads) == done)  # type: ignore[misc]
            await until(lambda done=done: len(server.requests) >= done + 3)  # type: ignore[misc]
            await turns()
            assert len(server.requests) == done + 3
            loop_clock.pass_s(600)
            for _ in range(3):
                answers.release()
        assert [(await load).format for load in loads] == ["PNG"] * 9


async def test_received_bytes_are_counted_also_for_refused_images(
    limits: Callable[..., ImageLimits], server: HostileServer
) -> None:
    server.answers = {"/a": reply(PNG), "/lost": reply(bytes(2000), length=3000)}
    server.answers["/endless"] = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000)
    before = metric("mner_image_bytes_total")
    async with ImageLoader(limits(max_bytes=50_000), failures=ONE_TRY) as loader:
        await loader.load(f"{server.url}/a")
        assert metric("mner_image_bytes_total") == before + len(PNG)
        assert (await refused(loader, f"{server.url}/lost")).startswith("connection_lost: ")
        assert metric("mner_image_bytes_total") == before + len(PNG) + 2000
        assert (await refused(loader, f"{server.url}/endless")).startswith("too_big: ")
        assert metric("mner_image_bytes_total") > before + len(PNG) + 52_000


async def test_cancellation_frees_the_slot(limits: Callable[..., ImageLimits], server: HostileServer) -> None:
    server.answers = {"/silent": silence, "/a": reply(PNG)}
    async with ImageLoader(limits(workers=1, timeout_s=60)) as loader:
        task = asyncio.create_task(loader.load(f"{server.url}/silent"))
        await until(lambda: server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(20):
            assert (await loader.load(f"{server.url}/a")).format == "PNG"


async def test_a_broken_answer_does_not_spoil_the_next_one(loader: ImageLoader, server: HostileServer) -> None:
    server.answers = {"/bad": reply(b"<p>hi"), "/a": reply(PNG)}
    for _ in range(3):
        assert await refused(loader, f"{server.url}/bad")
        assert (await loader.load(f"{server.url}/a")).format == "PNG"


async def test_a_decoder_that_died_is_replaced_and_counted(
    limits: Callable[..., ImageLimits], server: HostileServer
) -> None:
    server.answers["/a"] = reply(PNG)
    restarts = metric("mner_image_decoder_restarts_total")
    async with ImageLoader(limits(decoders=1)) as loader:
        await loader.load(f"{server.url}/a")
        os.kill(loader.decoders.pids[0], signal.SIGKILL)
        await until(lambda: not loader.decoders.pids)
        await loader.load(f"{server.url}/a")
    assert metric("mner_image_decoder_restarts_total") == restarts + 1


async def test_a_host_keeps_its_slot_until_its_image_is_decoded(
    limits: Callable[..., ImageLimits], server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the files of one host would occupy every decoder."""
    server.answers = {f"/{number}": reply(PNG + bytes(number)) for number in range(6)}
    async with ImageLoader(limits(per_host=2, decoders=1)) as loader:
        decode, decoding, go = loader.decoders.decode, [], asyncio.Event()

        async def held(body: bytes, url: str, **options: Any) -> LoadedImage:
            decoding.append(url)
            await go.wait()
            return await decode(body, url, **options)

        monkeypatch.setattr(loader.decoders, "decode", held)
        loads = [asyncio.create_task(loader.load(f"{server.url}/{number}")) for number in range(6)]
        await until(lambda: len(decoding) >= 2)
        await turns()
        assert len(decoding) == len(server.requests) == 2
        go.set()
        await asyncio.gather(*loads)


async def test_the_wait_for_a_decoder_counts_neither_against_the_image_nor_the_host(
    limits: Callable[..., ImageLimits],
    server: HostileServer,
    monkeypatch: pytest.MonkeyPatch,
    loop_clock: LoopClock,
) -> None:
    server.answers = {f"/{number}": reply(PNG + bytes(number)) for number in range(3)}
    failures = FailurePolicy(break_after=1)
    async with ImageLoader(limits(timeout_s=1000, decoders=1), failures=failures, monotonic=loop_clock) as loader:
        decode = loader.decoders.decode

        async def late(body: bytes, url: str, **options: Any) -> LoadedImage:
            loop_clock.pass_s(2000)
            await turns()
            return await decode(body, url, **options)

        monkeypatch.setattr(loader.decoders, "decode", late)
        for number in range(3):
            assert (await loader.load(f"{server.url}/{number}")).format == "PNG"


async def test_a_crowd_at_a_slow_host_is_refused_in_time_and_not_remembered(
    remembering: Remembering, server: HostileServer, loop_clock: LoopClock
) -> None:
    server.answers = {f"/{number}": silence for number in range(12)}
    failures = FailurePolicy(wait_s=1000, tries=1, break_after=5)
    async with (
        hostile_server() as other,
        remembering(failures, loop_clock, allow=(server.address, other.address), timeout_s=1000, per_host=2) as loader,
    ):
        crowd = [asyncio.create_task(refused(loader, f"{server.url}/{number}")) for number in range(12)]
        await until(lambda: len(server.requests) == 2)
        await refused(loader, f"{other.url}/missing")  # the cache answers in order: the whole crowd waits for a slot
        loop_clock.pass_s(1001)
        async with asyncio.timeout(60):
            reasons = await asyncio.gather(*crowd)
        assert set(reasons) == {"timeout: not fetched within 1000 s", "busy: no slot was free within 1000 s"}
        server.answers = {f"/{number}": reply(PNG) for number in range(12)}
        busy = next(number for number, reason in enumerate(reasons) if reason.startswith("busy"))
        assert (await loader.load(f"{server.url}/{busy}")).format == "PNG"


async def test_the_wait_for_a_slot_after_a_redirect_is_busy_not_a_timeout(
    limits: Callable[..., ImageLimits], server: HostileServer
) -> None:
    async with hostile_server() as other:
        server.answers["/a"] = reply(b"", f"Location: {other.url}/a", status="302 Found")
        image_limits = limits(timeout_s=0.2, per_host=1, allow=(server.address, other.address))
        async with ImageLoader(image_limits) as loader, loader.fetcher.slot(f"{other.url}/b"):
            assert await refused(loader, f"{server.url}/a") == "busy: no slot was free within 0.2 s"


class Held:
    """A server's answer that waits until the test releases it."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await self.go.wait()
        writer.write(self.answer)
        await writer.drain()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [pytest.param(PNG, "PNG", id="an image"), pytest.param(b"<p>hi", "not_an_image", id="a failure")],
)
async def test_fifty_concurrent_callers_share_one_fetch(
    loader: ImageLoader, server: HostileServer, answer: bytes, outcome: str
) -> None:
    held = server.answers["/a"] = Held(reply(answer))

    async def ask() -> str:
        try:
            return (await loader.load(f"{server.url}/a")).format
        except ImageError as error:
            return error.kind

    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(ask()) for _ in range(50)]
        await held.asked.wait()
        held.go.set()
    assert [caller.result() for caller in callers] == [outcome] * 50
    assert len(server.requests) == 1


async def test_a_cancelled_caller_does_not_disturb_the_others(loader: ImageLoader, server: HostileServer) -> None:
    held = server.answers["/a"] = Held(reply(PNG))
    callers = [asyncio.create_task(loader.load(f"{server.url}/a")) for _ in range(3)]
    await held.asked.wait()
    callers[0].cancel()
    await asyncio.wait(callers[:1])
    held.go.set()
    assert [(await caller).format for caller in callers[1:]] == ["PNG", "PNG"]
    assert callers[0].cancelled()
    assert len(server.requests) == 1


async def test_the_fetch_is_cancelled_with_its_last_caller(loader: ImageLoader, server: HostileServer) -> None:
    held = server.answers["/a"] = Held(reply(PNG))
    callers = [asyncio.create_task(loader.load(f"{server.url}/a")) for _ in range(3)]
    await held.asked.wait()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    held.go.set()
    assert (await loader.load(f"{server.url}/a")).format == "PNG"
    assert len(server.requests) == 2


Remembering = Callable[..., AbstractAsyncContextManager[ImageLoader]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remembering(limits: Callable[..., ImageLimits], clock: Clock, tmp_path: Path) -> Remembering:
    """Makes loaders that share one cache on disk."""

    @asynccontextmanager
    async def make(
        failures: FailurePolicy = ONE_TRY, monotonic: Callable[[], float] = time.monotonic, **overrides: Any
    ) -> AsyncIterator[ImageLoader]:
        image_limits = limits(**{"cache_mb": 8, "cache_s": 100, **overrides})
        async with ImageLoader(
            image_limits, clock=clock, home=tmp_path, failures=failures, monotonic=monotonic
        ) as loader:
            yield loader

    return make


def cache_count(outcome: str) -> float:
    return metric("mner_image_cache_total", outcome=outcome)


async def test_a_cached_image_is_not_fetched_again_and_still_has_pixels(
    remembering: Remembering, server: HostileServer
) -> None:
    server.answers = {"/a": reply(PNG), "/b": reply(PNG)}
    hits, known = cache_count("hit"), metric("mner_image_known_total")
    async with remembering() as loader:
        first = await loader.load(f"{server.url}/a")
        again = await loader.load(f"{server.url}/a")
        elsewhere = await loader.load(f"{server.url}/b")
        assert len(server.requests) == 2
        assert first.pixels is again.pixels is elsewhere.pixels is None  # until a caller asks for them
        assert (again.sha256, again.phash) == (elsewhere.sha256, elsewhere.phash) == (first.sha256, first.phash)
        assert await loader.pixels(again) == await loader.pixels(elsewhere) == await loader.pixels(first)
    async with remembering() as next_worker:
        assert (await next_worker.load(f"{server.url}/a")).sha256 == first.sha256
    assert len(server.requests) == 2
    assert (cache_count("hit") - hits, metric("mner_image_known_total") - known) == (2, 1)


async def test_an_image_that_may_not_be_cached_is_decoded_once_with_its_pixels(
    remembering: Remembering, server: HostileServer
) -> None:
    server.answers["/a"] = reply(PNG, "Cache-Control: no-store")
    async with remembering() as loader:
        image = await loader.load(f"{server.url}/a")
        assert image.pixels is not None
        assert await loader.pixels(image) is image.pixels
        assert loader.decoders.decoded == 1
    assert len(server.requests) == 1


async def test_pixels_are_fetched_again_if_the_cache_has_lost_them(
    remembering: Remembering, server: HostileServer, tmp_path: Path
) -> None:
    server.answers["/a"] = reply(PNG)
    async with remembering() as loader:
        await loader.load(f"{server.url}/a")
        kept = await loader.load(f"{server.url}/a")
        for file in (tmp_path / "cache").iterdir():
            file.unlink()
        assert (await loader.pixels(kept)).width == 80
        server.answers["/a"] = reply(OTHER_PNG)
        for file in (tmp_path / "cache").iterdir():
            file.unlink()
        with pytest.raises(ImageError, match="the URL now serves another image"):
            await loader.pixels(kept)


async def test_a_stale_image_is_requested_with_its_validators(
    remembering: Remembering, server: HostileServer, clock: Clock
) -> None:
    server.answers["/a"] = reply(PNG, 'ETag: "one"')
    async with remembering() as loader:
        first = await loader.load(f"{server.url}/a")
        clock.now += 101
        server.answers["/a"] = reply(b"", 'ETag: "one"', status="304 Not Modified")
        assert (await loader.load(f"{server.url}/a")).sha256 == first.sha256
        assert 'if-none-match: "one"' in server.requests[-1].lower()
        await loader.load(f"{server.url}/a")
        assert len(server.requests) == 2  # fresh again

        clock.now += 101
        server.answers["/a"] = reply(OTHER_PNG, 'ETag: "two"')
        changed = await loader.load(f"{server.url}/a")
        assert (changed.sha256 != first.sha256, changed.width) == (True, 60)
        clock.now += 101
        await loader.load(f"{server.url}/a")
        assert 'if-none-match: "two"' in server.requests[-1].lower()


@pytest.mark.parametrize(
    ("header", "seconds", "requests"),
    [
        pytest.param("max-age=10", 11, 2, id="the server shortens the life"),
        pytest.param("max-age=1000", 99, 1, id="it is the setting's at most"),
        pytest.param("max-age=1000", 101, 2, id="and not lengthened"),
        pytest.param("no-store", 0, 2, id="not kept at all"),
    ],
)
async def test_cache_control_is_obeyed(
    remembering: Remembering, server: HostileServer, clock: Clock, header: str, seconds: float, requests: int
) -> None:
    server.answers["/a"] = reply(PNG, f"Cache-Control: {header}")
    async with remembering() as loader:
        await loader.load(f"{server.url}/a")
        clock.now += seconds
        await loader.load(f"{server.url}/a")
    assert len(server.requests) == requests


async def test_a_refusal_is_remembered_for_a_while(
    remembering: Remembering, server: HostileServer, clock: Clock
) -> None:
    server.answers["/a"] = reply(b"", status="404 Not Found")
    async with remembering() as loader:
        for _ in range(3):
            assert await refused(loader, f"{server.url}/a") == "not_found: HTTP 404"
        assert len(server.requests) == 1
        server.answers["/a"] = reply(PNG)
        clock.now += REFUSED_S + 1
        assert (await loader.load(f"{server.url}/a")).format == "PNG"
        assert (await loader.load(f"{server.url}/a")).format == "PNG"
        assert len(server.requests) == 2


async def test_a_stale_image_is_used_while_the_server_fails(
    remembering: Remembering, server: HostileServer, clock: Clock
) -> None:
    server.answers["/a"] = reply(PNG)
    stale = cache_count("stale")
    async with remembering() as loader:
        first = await loader.load(f"{server.url}/a")
        clock.now += 101
        server.answers["/a"] = reply(b"", status="503 Unavailable")
        for _ in range(3):
            assert (await loader.load(f"{server.url}/a")).sha256 == first.sha256
        assert (len(server.requests), cache_count("stale") - stale) == (2, 3)
        clock.now += PASSING_S
        server.answers["/a"] = reply(OTHER_PNG)
        assert (await loader.load(f"{server.url}/a")).width == 60


async def test_retry_after_is_obeyed(remembering: Remembering, server: HostileServer, clock: Clock) -> None:
    server.answers["/a"] = reply(b"", "Retry-After: 120", status="429 Slow down")
    async with remembering() as loader:
        reason = await refused(loader, f"{server.url}/a")
        clock.now += 119
        assert await refused(loader, f"{server.url}/a") == reason
        clock.now += 1
        server.answers["/a"] = reply(PNG)
        assert (await loader.load(f"{server.url}/a")).format == "PNG"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(reply(b"", status="404 Not Found"), "not_found: HTTP 404", id="gone"),
        pytest.param(reply(b"", status="403 Forbidden"), "http_status: HTTP 403", id="made private"),
        pytest.param(reply(b"<p>hi"), "not_an_image: ", id="no image any more"),
    ],
)
async def test_a_stale_image_is_not_used_if_the_server_refuses_it(
    remembering: Remembering, server: HostileServer, clock: Clock, answer: bytes, expected: str
) -> None:
    server.answers["/a"] = reply(PNG)
    async with remembering() as loader:
        await loader.load(f"{server.url}/a")
        clock.now += 101
        server.answers["/a"] = answer
        assert (await refused(loader, f"{server.url}/a")).startswith(expected)


async def test_images_of_a_host_that_is_no_longer_allowed_are_not_served(
    remembering: Remembering, server: HostileServer
) -> None:
    server.answers["/a"] = reply(PNG)
    async with remembering() as loader:
        await loader.load(f"{server.url}/a")
    async with remembering(allow=(), ports=(server.port,)) as loader:
        assert (await refused(loader, f"{server.url}/a")).startswith("private_address: ")


async def test_the_url_is_checked_before_the_cache_is_read(
    remembering: Remembering, limits: Callable[..., ImageLimits], clock: Clock, tmp_path: Path
) -> None:
    url, body = "http://10.11.12.13/a.jpg", b"body"
    cache = ImageCache(limits(cache_mb=8), tmp_path, clock)
    image = LoadedImage(url, hashlib.sha256(body).hexdigest(), "PNG", 80, 40, "0f" * 32, None)
    await cache.keep(image, Answer(body, Validators(url)))
    assert (await cache.find(url)).cached
    await cache.close()
    async with remembering() as loader:
        assert (await refused(loader, url)).startswith("private_address: ")


async def test_a_cached_file_must_obey_the_current_pixel_limit(remembering: Remembering, server: HostileServer) -> None:
    server.answers["/a"] = reply(encoded(half_and_half(size=(80, 40)), "PNG"))
    async with remembering() as loader:
        await loader.load(f"{server.url}/a")
    async with remembering(max_pixels=1024) as loader:
        assert (await refused(loader, f"{server.url}/a")).startswith("bomb: 80 x 40 pixels; 1024 are allowed")


async def test_an_unusable_cache_only_costs_extra_work(
    remembering: Remembering, server: HostileServer, tmp_path: Path
) -> None:
    server.answers["/a"] = reply(PNG)
    (tmp_path / "cache").write_bytes(b"where the folder should be")
    before = metric("mner_cache_faults_total", file="images", fault="error")
    async with remembering() as loader:
        for _ in range(2):
            assert (await loader.load(f"{server.url}/a")).pixels is not None
    assert len(server.requests) == 2
    assert metric("mner_cache_faults_total", file="images", fault="error") > before
