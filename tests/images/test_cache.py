"""The cache alone, on a real file: what it finds again, what it forgets, and that no fault of the file is ever felt."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from streams.images import cache_tables, database
from streams.images.cache import Found, ImageCache
from streams.images.cache_policy import BRIEF_S, STALE_TIMES
from streams.images.conditional import Validators
from streams.images.database import AWAY_S
from streams.images.decode import Picture
from streams.images.errors import ImageError
from streams.settings import Settings
from tests.conftest import ROOT
from tests.images.clock import Clock

URL = "http://pictures.example/a.jpg"
OTHER = "http://elsewhere.example/b.jpg"
VALIDATORS = Validators("http://cdn.example/a.jpg", '"one"', "Sat, 21 Nov 2026 07:00:00 GMT")


def picture_of(body: bytes, url: str = URL) -> Picture:
    return Picture(url, hashlib.sha256(body).hexdigest(), "PNG", 80, 40, "0f" * 32, None)


async def keep(cache: ImageCache, body: bytes, url: str = URL, fresh_s: float | None = None) -> Picture:
    picture = picture_of(body, url)
    await cache.keep(picture, body, VALIDATORS, fresh_s)
    return picture


def size(path: Path) -> int:
    """Bytes."""
    return path.stat().st_size


async def is_fresh(cache: ImageCache, url: str = URL) -> bool:
    kept = (await cache.find(url)).kept
    return kept is not None and kept.fresh


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "images.sqlite3"


Make = Callable[..., ImageCache]


@pytest.fixture
async def make(clock: Clock, tmp_path: Path) -> Any:
    """Caches on this test's file, closed at its end."""
    made: list[ImageCache] = []

    def make_one(**settings: Any) -> ImageCache:
        made.append(ImageCache(Settings(**{"home": tmp_path, "image_cache_mb": 1, **settings}), clock))
        return made[-1]

    yield make_one
    for one in made:
        with suppress(RuntimeError):  # the test has closed it
            await one.close()


async def test_a_picture_is_found_again_with_its_body_by_url_and_by_content(make: Make) -> None:
    cache = make()
    picture = await keep(cache, b"body")
    kept = (await cache.find(URL)).kept
    assert kept is not None
    assert (kept.picture, kept.validators, kept.fresh) == (picture, VALIDATORS, True)
    assert await cache.known(picture.sha256, OTHER) == picture_of(b"body", OTHER)
    assert await cache.body(picture.sha256) == b"body"
    assert await cache.find(OTHER) == Found()


async def test_it_is_found_after_a_restart(make: Make) -> None:
    first = make()
    await keep(first, b"body")
    await first.close()
    assert await is_fresh(make())


async def test_a_body_is_kept_once_however_many_urls_have_it(make: Make, path: Path) -> None:
    cache = make()
    for number in range(5):
        await keep(cache, b"body", f"{URL}?{number}")
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM body").fetchone() == (1,)


@pytest.mark.parametrize(
    ("max_age", "until"),
    [
        pytest.param(None, 3600, id="the server says nothing: the setting"),
        pytest.param(60.0, 60, id="the server may shorten it"),
        pytest.param(1e9, 3600, id="and never lengthen it"),
    ],
)
async def test_a_picture_is_fresh_until(make: Make, clock: Clock, max_age: float | None, until: float) -> None:
    cache = make(image_cache_s=3600)
    await keep(cache, b"body", fresh_s=max_age)
    clock.now += until - 1
    assert await is_fresh(cache)
    clock.now += 1
    assert not await is_fresh(cache)


async def test_a_304_makes_it_fresh_again_with_the_new_validators(make: Make, clock: Clock) -> None:
    cache = make(image_cache_s=60)
    picture = await keep(cache, b"body")
    clock.now += 61
    newer = Validators(URL, '"two"', None)
    await cache.renew(picture, newer, None)
    kept = (await cache.find(URL)).kept
    assert kept is not None
    assert (kept.fresh, kept.validators) == (True, newer)


async def test_a_picture_stands_in_for_its_server_for_a_bounded_time(make: Make, clock: Clock) -> None:
    cache = make(image_cache_s=60)
    await keep(cache, b"body")
    for after, stands_in in ((60 * STALE_TIMES - 1, True), (1, False)):
        clock.now += after
        kept = (await cache.find(URL)).kept
        assert kept is not None
        assert (kept.fresh, kept.stands_in) == (False, stands_in)


async def test_a_clock_that_was_set_back_makes_nothing_fresh(make: Make, clock: Clock) -> None:
    cache = make()
    await keep(cache, b"body")
    await cache.refuse(OTHER, ImageError("not_found", "HTTP 404"))
    clock.now -= 10
    assert not await is_fresh(cache)
    assert await cache.find(OTHER) == Found()


async def test_what_the_server_forbids_to_keep_is_not_kept_and_what_was_is_forgotten(make: Make) -> None:
    cache = make()
    picture = await keep(cache, b"body")
    await keep(cache, b"body", fresh_s=0)
    assert await cache.find(URL) == Found()
    assert await cache.body(picture.sha256) is None


@pytest.mark.parametrize(
    ("error", "remembered_s"),
    [
        pytest.param(ImageError("not_found", "HTTP 404"), 60, id="404"),
        pytest.param(ImageError("private_address", "10.0.0.7"), 60, id="a private address"),
        pytest.param(ImageError("http_status", "HTTP 403"), 60, id="403"),
        pytest.param(ImageError("bomb", "too many pixels"), 60, id="a bomb"),
        pytest.param(ImageError("decoder_died", "killed"), 60, id="what killed a decoder is not tried again at once"),
        pytest.param(ImageError("unresolvable", "no such name"), 60, id="no address"),
        pytest.param(ImageError("timeout", "not done"), BRIEF_S, id="a timeout, briefly"),
        pytest.param(ImageError("connection_lost", "reset"), BRIEF_S, id="a reset, briefly"),
        pytest.param(ImageError("http_status", "HTTP 503"), BRIEF_S, id="503, briefly"),
        pytest.param(ImageError("http_status", "HTTP 429"), BRIEF_S, id="429, briefly"),
        pytest.param(ImageError("host_down", "left alone"), 0, id="a host that is left alone, never"),
        pytest.param(ImageError("internal", "a bug"), 0, id="our own fault, never"),
    ],
)
async def test_a_refusal_is_remembered_for(make: Make, clock: Clock, error: ImageError, remembered_s: float) -> None:
    cache = make(image_cache_failed_s=60)
    await cache.refuse(URL, error)
    if remembered_s:
        clock.now += remembered_s - 0.5
        refusal = (await cache.find(URL)).refusal
        assert refusal is not None
        assert (refusal.kind, refusal.reason) == (error.kind, error.reason)
        clock.now += 0.5
    assert await cache.find(URL) == Found()


async def test_what_the_server_took_back_is_forgotten_also_where_refusals_are_not_remembered(make: Make) -> None:
    cache = make(image_cache_failed_s=0)
    picture = await keep(cache, b"body")
    await cache.refuse(URL, ImageError("not_found", "HTTP 410"))
    assert await cache.find(URL) == Found()
    assert await cache.body(picture.sha256) is None


async def test_a_refusal_of_the_image_takes_its_picture_along_one_of_the_server_does_not(make: Make) -> None:
    cache = make()
    picture = await keep(cache, b"body")
    await cache.refuse(URL, ImageError("timeout", "not done"))
    found = await cache.find(URL)
    assert (found.kept is not None, found.refusal is not None) == (True, True)
    await cache.refuse(URL, ImageError("not_found", "HTTP 404"))
    assert (await cache.find(URL)).kept is None
    assert await cache.body(picture.sha256) is None


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"image_allow": ()}, id="a host is no longer allowed"),
        pytest.param({"image_ports": (443,)}, id="a port is no longer allowed"),
        pytest.param({"image_max_bytes": 2048}, id="fewer bytes are allowed"),
        pytest.param({"image_max_pixels": 2048}, id="fewer pixels are allowed"),
    ],
)
async def test_nothing_kept_under_other_rules_is_served(make: Make, changed: dict[str, Any]) -> None:
    before = {"image_allow": ("intranet.example:80",)}
    await keep(make(**before), b"body")
    await make(**before).refuse(OTHER, ImageError("too_big", "1 byte too many"))
    for url in (URL, OTHER):
        assert await make(**before).find(url) != Found()
        assert await make(**{**before, **changed}).find(url) == Found()


async def test_a_shorter_life_holds_for_what_is_already_kept(make: Make, clock: Clock) -> None:
    await keep(make(image_cache_s=3600), b"body")
    clock.now += 100
    assert not await is_fresh(make(image_cache_s=60))


async def test_what_another_decoder_said_is_not_believed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make()
    picture = await keep(cache, b"body")
    monkeypatch.setattr(cache_tables, "DECODER", cache_tables.DECODER + 1)
    assert await cache.find(URL) == Found()
    assert await cache.known(picture.sha256, URL) is None
    await keep(cache, b"body")
    assert await cache.known(picture.sha256, URL) == picture


async def test_the_least_recently_used_goes_first_and_the_file_stays_within_the_bound(
    make: Make, clock: Clock, path: Path
) -> None:
    cache = make(image_cache_mb=1)
    bodies = [os.urandom(100_000) for _ in range(30)]
    first = await keep(cache, bodies[0], f"{URL}?0")
    for number, body in enumerate(bodies[1:], start=1):
        clock.now += 61
        await cache.find(f"{URL}?0")
        await keep(cache, body, f"{URL}?{number}")
    kept = [number for number in range(30) if (await cache.find(f"{URL}?{number}")).kept]
    assert kept == [0, *range(30 - len(kept) + 1, 30)]
    assert 6 <= len(kept) <= 9
    assert await cache.body(first.sha256) == bodies[0]
    await cache.close()
    assert size(path) <= 1_200_000  # pages given free by the last are used by the next


async def test_a_lower_bound_gives_the_space_back(make: Make, path: Path) -> None:
    cache = make(image_cache_mb=4)
    for number in range(20):
        await keep(cache, os.urandom(150_000), f"{URL}?{number}")
    await cache.close()
    assert size(path) > 3_000_000
    cache = make(image_cache_mb=1)
    await keep(cache, b"body")
    await cache.close()
    cache = make(image_cache_mb=1)
    assert await is_fresh(cache)
    await cache.close()
    assert size(path) < 1_100_000


async def test_urls_are_bounded_in_number(make: Make, path: Path) -> None:
    cache = make(image_cache_mb=1)
    for number in range(150):
        await keep(cache, b"body", f"{URL}?{number}")
        await cache.refuse(f"{OTHER}?{number}", ImageError("not_found", "HTTP 404"))
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM answer").fetchone() == (100,)
        assert file.execute("SELECT count(*) FROM refusal").fetchone() == (100,)
    assert await is_fresh(cache, f"{URL}?149")


async def test_one_picture_cannot_push_out_all_others(make: Make) -> None:
    cache = make(image_cache_mb=1)
    await keep(cache, b"body")
    await keep(cache, os.urandom(600_000), OTHER)
    assert await is_fresh(cache)
    assert await cache.find(OTHER) == Found()


async def test_with_no_megabytes_there_is_no_file(make: Make, path: Path) -> None:
    cache = make(image_cache_mb=0)
    picture = await keep(cache, b"body")
    await cache.refuse(OTHER, ImageError("not_found", "HTTP 404"))
    assert await cache.find(URL) == await cache.find(OTHER) == Found()
    assert await cache.body(picture.sha256) is None
    assert not path.parent.exists()


def _open_to_all(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    path.touch(0o644)


async def test_only_its_owner_can_read_the_file(make: Make, path: Path) -> None:
    _open_to_all(path)
    await keep(make(), b"body")
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert modes == {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "tampering",
    [
        pytest.param("UPDATE picture SET width = -1", id="a width below one"),
        pytest.param("UPDATE picture SET width = 'wide'", id="a width in words"),
        pytest.param("UPDATE picture SET format = 'SVG'", id="a format that is none"),
        pytest.param("UPDATE picture SET phash = '../../x'", id="a hash that is none"),
        pytest.param("UPDATE picture SET used = 'often'", id="a use in words"),
        pytest.param("UPDATE answer SET checked = 'yesterday'", id="a time in words"),
        pytest.param("UPDATE answer SET checked = 9e999", id="a time without end"),
        pytest.param("UPDATE answer SET final = x'ff'", id="a URL in bytes"),
        pytest.param("UPDATE answer SET final = CAST(x'ff' AS TEXT)", id="a URL that is not UTF-8"),
        pytest.param("DELETE FROM picture", id="no picture"),
    ],
)
async def test_a_row_that_does_not_validate_is_a_miss_and_the_next_one_takes_its_place(
    make: Make, clock: Clock, path: Path, tampering: str
) -> None:
    cache = make()
    await keep(cache, b"body")
    with sqlite3.connect(path) as file:
        file.execute(tampering)
    assert await cache.find(URL) == Found()
    clock.now += AWAY_S
    await keep(cache, b"body")
    assert await is_fresh(cache)


@pytest.mark.parametrize("kind", ["fantasy", "<script>", 7])
async def test_a_refusal_that_does_not_validate_is_none(make: Make, path: Path, kind: object) -> None:
    cache = make()
    await cache.refuse(URL, ImageError("not_found", "HTTP 404"))
    with sqlite3.connect(path) as file:
        file.execute("UPDATE refusal SET kind = ?", (kind,))
    assert await cache.find(URL) == Found()


async def test_a_body_that_is_not_what_its_hash_says_is_a_miss_and_deleted(make: Make, path: Path) -> None:
    cache = make()
    picture = await keep(cache, b"body")
    with sqlite3.connect(path) as file:
        file.execute("UPDATE body SET bytes = x'00'")
    assert await cache.body(picture.sha256) is None
    assert await cache.find(URL) == Found()
    await keep(cache, b"body")
    assert await cache.body(picture.sha256) == b"body"


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def _damaged_within(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size(path) - 4096))


def _other_version(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")


def _other_tables(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE picture(name TEXT)")


@pytest.mark.parametrize("damage", [_garbage, _damaged_within, _other_version, _other_tables])
async def test_a_file_that_cannot_be_used_is_made_anew(
    make: Make, clock: Clock, path: Path, damage: Callable[[Path], None]
) -> None:
    first = make()
    await keep(first, b"body")
    await first.close()
    damage(path)
    cache = make()
    assert await cache.find(URL) == Found()
    clock.now += AWAY_S
    await keep(cache, b"body")
    assert await is_fresh(cache)


async def test_a_file_that_was_deleted_while_in_use_is_gone_and_a_new_one_is_begun(make: Make, path: Path) -> None:
    cache = make()
    await keep(cache, b"body")
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    assert await cache.find(URL) == Found()
    await keep(cache, b"body")
    assert size(path)
    assert await is_fresh(cache)


async def test_a_folder_that_cannot_be_made_is_said_once_and_gone_around(
    make: Make, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = make(home=tmp_path / "file")
    for _ in range(3):
        await keep(cache, b"body")
        assert await cache.find(URL) == Found()
        clock.now += AWAY_S
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "is gone around" in warnings[0]


@pytest.mark.skipif(os.getuid() == 0, reason="no folder is read-only to root")
async def test_a_read_only_folder_is_gone_around(make: Make, path: Path) -> None:
    path.parent.parent.chmod(0o500)
    cache = make()
    await keep(cache, b"body")
    assert await cache.find(URL) == Found()


async def test_a_full_disk_is_gone_around_and_what_is_there_stays(make: Make, clock: Clock) -> None:
    cache = make()
    await keep(cache, b"body")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        await keep(cache, os.urandom(400_000), OTHER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    clock.now += AWAY_S
    assert await is_fresh(cache)
    assert await cache.find(OTHER) == Found()


async def test_a_lock_that_is_held_for_long_is_gone_around_and_then_not_waited_for(make: Make, path: Path) -> None:
    cache = make()
    await keep(cache, b"body")
    loop = asyncio.get_running_loop()
    with sqlite3.connect(path, isolation_level=None) as file:
        file.execute("BEGIN IMMEDIATE")
        started = loop.time()
        for _ in range(20):
            await keep(cache, b"other", OTHER)
        assert loop.time() - started < 2
        file.execute("ROLLBACK")


def _held(folder: Path) -> int:
    folder.mkdir()
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def _files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_file_system_that_hangs_holds_up_no_image(
    make: Make, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here another process holds the folder while it makes the file anew, and never comes to an end."""
    monkeypatch.setattr(database, "PATIENCE_S", 0.2)
    cache = make()
    held = _held(path.parent)
    async with asyncio.timeout(1):
        assert await cache.find(URL) == Found()
        await keep(cache, b"body")
    assert _files_in(path.parent) == []
    os.close(held)
    clock.now += AWAY_S
    await keep(cache, b"body")
    assert await is_fresh(cache)


WRITER = """
import asyncio, hashlib, os, sys
from pathlib import Path
from streams.images.cache import ImageCache
from streams.images.decode import Picture
from streams.images.conditional import Validators
from streams.settings import Settings

async def main(home, name, count):
    cache = ImageCache(Settings(home=Path(home), image_cache_mb=4))
    number = 0
    while number != count:
        url, body = f"http://{name}.example/{number}", os.urandom(20_000)
        picture = Picture(url, hashlib.sha256(body).hexdigest(), "PNG", 80, 40, "0f" * 32, None)
        await cache.keep(picture, body, Validators(url, None, None), None)
        assert (await cache.find(url)).kept, number
        print(number, flush=True)
        number += 1
    await cache.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def writer(home: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(home), name, str(count)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )


async def test_several_processes_begin_and_share_one_file(tmp_path: Path) -> None:
    writers = [writer(tmp_path, name, 50) for name in ("a", "b")]
    for one in writers:
        output, _ = await asyncio.to_thread(one.communicate, timeout=60)
        assert (one.returncode, len(output.split())) == (0, 50)
    cache = ImageCache(Settings(home=tmp_path, image_cache_mb=4))
    assert all([(await cache.find(f"http://{name}.example/49")).kept for name in ("a", "b")])
    await cache.close()


async def test_a_worker_that_is_killed_while_it_writes_leaves_a_usable_file(
    make: Make, clock: Clock, tmp_path: Path, path: Path
) -> None:
    for _ in range(2):
        killed = writer(tmp_path, "killed", -1)
        assert killed.stdout is not None
        await asyncio.to_thread(lambda stdout=killed.stdout: [stdout.readline() for _ in range(20)])
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        killed.stdout.close()
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    clock.now = 4_000_000_000.0
    cache = make(image_cache_s=1e10)
    assert (await cache.find("http://killed.example/10")).kept
    await keep(cache, b"body")
    assert await is_fresh(cache)
