"""Photos of posts, through our own fetcher."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from PIL import Image

from core.events import Extraction, Media, Tweet
from core.pixels import Pixels
from core.terms import Sources, Terms
from desk import images
from desk.access.access import tokens_of, users_of
from desk.access.people import ROLES
from desk.images import Images, Jpeg
from sinks.queue.queue import ReviewQueue
from streams.images.errors import ImageError
from streams.routing import route
from streams.settings import Settings
from tests.desk.conftest import served
from tests.desk.file_server import served_files
from tests.desk.filled import extraction, fill, mention

TEXT = "Paris at night"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the desk asks for. Each is a red square, except `gone.jpg`."""
    addresses: list[str] = []

    async def jpeg(self: Images, url: str, *, thumbnail: bool = False, known: str = "") -> Jpeg:
        addresses.append(url)
        if url.endswith("gone.jpg"):
            raise ImageError("not_found", "HTTP 404")
        file = io.BytesIO()
        Image.new("RGB", (20, 20) if thumbnail else (200, 200), "red").save(file, "JPEG")
        return Jpeg(f'"{url}"', file.getvalue())

    monkeypatch.setattr(Images, "jpeg", jpeg)
    return addresses


async def get(address: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(address, headers=headers)


async def put(settings: Settings, post: str, probability: float, source: str = "file", days: float = 0) -> None:
    """Puts a post with two photos into the index and, if the model is not sure, into the queue."""
    await fill(settings, [found_in(post, probability, source, days)])


async def put_task_alone(settings: Settings, post: str) -> None:
    """Puts the task of a post that the index does not hold."""
    task = route(found_in(post, 0.5)).task
    assert task is not None
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    await queue.add([task])
    await queue.close()


def found_in(post: str, probability: float, source: str = "file", days: float = 0) -> Extraction:
    media = tuple(Media(url=f"https://images.example/{post}/{name}.jpg") for name in ("one", "gone"))
    received = datetime.now(UTC) - timedelta(days=days)
    tweet = Tweet(id=post, text=TEXT, media=media, source=source, received_at=received)
    return extraction(tweet, [mention(TEXT, 0, 5, "LOC", probability)])


async def test_photos_of_tasks_and_of_found_posts_are_served(
    desk: str, desk_settings: Settings, asked: list[str]
) -> None:
    await put(desk_settings, "task", 0.5)
    await put(desk_settings, "found", 0.99)
    for post in ("task", "found"):
        answer = await get(f"{desk}/images/{post}/0.jpg")
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).size == (200, 200)
        small = await get(f"{desk}/images/{post}/0.jpg?small")
        assert Image.open(io.BytesIO(small.content)).size == (20, 20)
    assert set(asked) == {"https://images.example/task/one.jpg", "https://images.example/found/one.jpg"}


async def test_a_role_sees_photos_of_what_it_works_on(desk_settings: Settings, asked: list[str]) -> None:
    await put(desk_settings, "task", 0.5)
    await put(desk_settings, "found", 0.99)
    await put_task_alone(desk_settings, "alone")
    users_of(desk_settings).add("ada", "correct horse battery staple", ("admin",))
    tokens = {role: tokens_of(desk_settings).add(role, (role,), None) for role in ROLES}
    seen = {}
    with served(desk_settings) as desk:
        for role, token in tokens.items():
            for post in ("task", "found", "alone"):
                answer = await get(f"{desk}/images/{post}/0.jpg", Authorization=f"Bearer {token}")
                seen[role, post] = answer.status_code
                assert answer.status_code == 200 or "your role" in answer.json()["error"]
    assert {case for case, status in seen.items() if status == 200} == {
        *(("reviewer", "task"), ("reviewer", "alone")),
        *(("analyst", "task"), ("analyst", "found")),
        *(("admin", "task"), ("admin", "found"), ("admin", "alone")),
    }
    assert set(seen.values()) == {200, 404}


async def test_what_is_no_photo_of_ours_is_refused_with_a_reason(
    desk: str, desk_settings: Settings, asked: list[str]
) -> None:
    await put(desk_settings, "1", 0.5)
    gone = await get(f"{desk}/images/1/1.jpg")
    assert (gone.status_code, gone.json()) == (404, {"error": "not_found: HTTP 404"})
    for path in ("/images/1/2.jpg", "/images/2/0.jpg"):
        answer = await get(desk + path)
        assert (answer.status_code, "no such photo" in answer.json()["error"]) == (404, True)
    assert (await get(f"{desk}/images/1/-1.jpg")).status_code == 422
    assert asked == ["https://images.example/1/gone.jpg"]


async def test_a_hidden_or_erased_post_shows_no_photo(desk: str, desk_settings: Settings, asked: list[str]) -> None:
    queue = ReviewQueue(str(desk_settings.redis), desk_settings.name("review:"))
    for post, change in (("1", queue.hide), ("2", queue.erase)):
        await put(desk_settings, post, 0.5)
        await change(post)
        assert (await get(f"{desk}/images/{post}/0.jpg")).status_code == 404
    await queue.close()
    assert asked == []


async def test_the_terms_of_a_source_may_forbid_photos(
    desk_settings: Settings, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = Terms(may_train=False, may_show_text=False, delete_within_hours=24)
    monkeypatch.setattr("desk.services.load_sources", lambda settings: Sources({"x": terms}))
    await put(desk_settings, "1", 0.5, source="x")
    with served(desk_settings) as desk:
        assert (await get(f"{desk}/images/1/0.jpg")).status_code == 404
    assert asked == []


async def test_a_photo_of_a_post_that_is_too_old_is_not_shown(desk_settings: Settings, asked: list[str]) -> None:
    for post, probability, days in (("task", 0.5, 8), ("found", 0.99, 8), ("young", 0.5, 6)):
        await put(desk_settings, post, probability, days=days)
    with served(desk_settings.changed(index_retention_days=7)) as desk:
        status = {post: (await get(f"{desk}/images/{post}/0.jpg")).status_code for post in ("task", "found", "young")}
    assert status == {"task": 404, "found": 404, "young": 200}


async def test_a_browser_asks_again_and_gets_nothing_of_a_post_that_was_erased(
    desk_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, encoded = io.BytesIO(), []
    Image.new("RGB", (900, 700), "red").save(file, "PNG")
    encode = images._encode

    def counted(pixels: Pixels, thumbnail: bool) -> bytes:
        encoded.append(thumbnail)
        return encode(pixels, thumbnail)

    monkeypatch.setattr(images, "_encode", counted)

    async def send(request: web.Request) -> web.Response:
        return web.Response(body=file.getvalue(), content_type="image/png")

    async with served_files(send) as host:
        media = (Media(url=f"http://{host}/a.png"),)
        tweet = Tweet(id="1", text=TEXT, media=media)
        await fill(desk_settings, [extraction(tweet, [mention(TEXT, 0, 5, "LOC", 0.5)])])
        with served(desk_settings.changed(image={"allow": (host,)})) as desk:
            async with httpx.AsyncClient(base_url=desk, timeout=60) as client:
                first, again, small = [await client.get("/images/1/0.jpg" + end) for end in ("", "", "?small")]
                assert (first.content, first.headers["ETag"]) == (again.content, again.headers["ETag"])
                assert first.headers["Cache-Control"] == "private, no-cache"
                assert small.headers["ETag"] != first.headers["ETag"]
                assert encoded == [False, True], "each is encoded once"
                known = {"If-None-Match": f'"other", W/{first.headers["ETag"]}'}
                same = await client.get("/images/1/0.jpg", headers=known)
                assert (same.status_code, same.content) == (304, b"")
                assert same.headers["ETag"] == first.headers["ETag"]
                queue = ReviewQueue(str(desk_settings.redis), desk_settings.name("review:"))
                await queue.erase("1")
                await queue.close()
                for headers in ({}, known):
                    assert (await client.get("/images/1/0.jpg", headers=headers)).status_code == 404


def test_encoded_images_have_a_bound_and_an_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_BYTES", 100)
    now = [0.0]
    kept = images.EncodedImages(lambda: now[0])
    for name in "abc":
        kept.put(name, bytes(40))
    kept.put("large", bytes(101))
    assert [kept.get(name) is not None for name in ("a", "b", "c", "large")] == [False, True, True, False]
    now[0] = images.KEEP_S
    assert kept.get("b") is None
    assert kept._bytes == 0
