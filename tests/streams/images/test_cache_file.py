"""The file of the image cache: private, shared between workers, and harmless when it is faulty."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from streams.images import database
from streams.images.cache import CacheLookup, ImageCache
from streams.images.database import PAUSE_S
from streams.images.errors import ImageError
from streams.settings import ImageLimits
from tests.conftest import ROOT
from tests.streams.images.caches import OTHER, URL, Make, is_fresh, keep, size
from tests.streams.images.clock import Clock


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
        pytest.param("UPDATE image SET width = -1", id="a width below one"),
        pytest.param("UPDATE image SET width = 'wide'", id="a width in words"),
        pytest.param("UPDATE image SET format = 'SVG'", id="a format that is none"),
        pytest.param("UPDATE image SET phash = '../../x'", id="a hash that is none"),
        pytest.param("UPDATE image SET used = 'often'", id="a use in words"),
        pytest.param("UPDATE answer SET checked = 'yesterday'", id="a time in words"),
        pytest.param("UPDATE answer SET checked = 9e999", id="a time without end"),
        pytest.param("UPDATE answer SET stale = 2", id="neither yes nor no"),
        pytest.param("UPDATE answer SET final = x'ff'", id="a URL in bytes"),
        pytest.param("UPDATE answer SET final = CAST(x'ff' AS TEXT)", id="a URL that is not UTF-8"),
        pytest.param("DELETE FROM image", id="no image"),
    ],
)
async def test_an_invalid_row_is_a_miss_and_is_replaced(make: Make, clock: Clock, path: Path, tampering: str) -> None:
    cache = make()
    await keep(cache, b"body")
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(tampering)
    assert await cache.find(URL) == CacheLookup()
    clock.now += PAUSE_S
    await keep(cache, b"body")
    assert await is_fresh(cache)


@pytest.mark.parametrize("kind", ["fantasy", "<script>", 7])
async def test_an_invalid_refusal_is_ignored(make: Make, path: Path, kind: object) -> None:
    cache = make()
    await cache.refuse(URL, ImageError("not_found", "HTTP 404"))
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE refusal SET kind = ?", (kind,))
    assert await cache.find(URL) == CacheLookup()


async def test_a_file_that_does_not_match_its_hash_is_deleted(make: Make, path: Path) -> None:
    cache = make()
    image = await keep(cache, b"body")
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE body SET bytes = x'00'")
    assert await cache.body(image.sha256) is None
    assert await cache.find(URL) == CacheLookup()
    await keep(cache, b"body")
    assert await cache.body(image.sha256) == b"body"


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def _damaged_within(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size(path) - 4096))


def _other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("PRAGMA user_version = 99")


def _other_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE image(name TEXT)")


@pytest.mark.parametrize("damage", [_garbage, _damaged_within, _other_version, _other_tables])
async def test_an_unusable_file_is_replaced(
    make: Make, clock: Clock, path: Path, damage: Callable[[Path], None]
) -> None:
    first = make()
    await keep(first, b"body")
    await first.close()
    damage(path)
    cache = make()
    assert await cache.find(URL) == CacheLookup()
    clock.now += PAUSE_S
    await keep(cache, b"body")
    assert await is_fresh(cache)


async def test_a_file_that_is_deleted_while_in_use_is_replaced(make: Make, path: Path) -> None:
    cache = make()
    await keep(cache, b"body")
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    assert await cache.find(URL) == CacheLookup()
    await keep(cache, b"body")
    assert size(path)
    assert await is_fresh(cache)


async def test_a_missing_folder_is_logged_once_and_does_no_harm(
    make: Make, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = make(home=tmp_path / "file")
    for _ in range(3):
        await keep(cache, b"body")
        assert await cache.find(URL) == CacheLookup()
        clock.now += PAUSE_S
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "is not used for" in warnings[0]


@pytest.mark.skipif(os.getuid() == 0, reason="no folder is read-only to root")
async def test_a_read_only_folder_does_no_harm(make: Make, path: Path) -> None:
    path.parent.parent.chmod(0o500)
    cache = make()
    await keep(cache, b"body")
    assert await cache.find(URL) == CacheLookup()


async def test_a_full_disk_does_no_harm_and_keeps_what_is_stored(make: Make, clock: Clock) -> None:
    cache = make()
    await keep(cache, b"body")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        await keep(cache, os.urandom(400_000), OTHER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    clock.now += PAUSE_S
    assert await is_fresh(cache)
    assert await cache.find(OTHER) == CacheLookup()


async def test_a_lock_that_is_held_for_long_does_no_harm_and_is_then_not_waited_for(make: Make, path: Path) -> None:
    cache = make()
    await keep(cache, b"body")
    loop = asyncio.get_running_loop()
    with closing(sqlite3.connect(path, isolation_level=None)) as file, file:
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


async def test_a_hanging_file_system_delays_no_image(
    make: Make, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process locks the folder to replace the file, and never finishes."""
    monkeypatch.setattr(database, "OPERATION_S", 0.2)
    cache = make()
    held = _held(path.parent)
    async with asyncio.timeout(1):
        assert await cache.find(URL) == CacheLookup()
        await keep(cache, b"body")
    assert _files_in(path.parent) == []
    os.close(held)
    clock.now += PAUSE_S
    await keep(cache, b"body")
    assert await is_fresh(cache)


WRITER = """
import asyncio, hashlib, os, sys
from pathlib import Path
from streams.images.cache import ImageCache
from streams.images.decode import LoadedImage
from streams.images.conditional import Answer, Validators
from streams.settings import ImageLimits

async def main(home, name, count):
    cache = ImageCache(ImageLimits(cache_mb=4), Path(home))
    number = 0
    while number != count:
        url, body = f"http://{name}.example/{number}", os.urandom(20_000)
        image = LoadedImage(url, hashlib.sha256(body).hexdigest(), "PNG", 80, 40, "0f" * 32, None)
        await cache.keep(image, Answer(body, Validators(url)))
        assert (await cache.find(url)).cached, number
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


async def test_several_processes_create_and_share_one_file(tmp_path: Path) -> None:
    writers = [writer(tmp_path, name, 50) for name in ("a", "b")]
    for process in writers:
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
        assert (process.returncode, len(output.split())) == (0, 50)
    cache = ImageCache(ImageLimits(cache_mb=4), tmp_path)
    assert all([(await cache.find(f"http://{name}.example/49")).cached for name in ("a", "b")])
    await cache.close()


async def test_a_worker_that_is_killed_while_it_writes_leaves_a_usable_file(
    make: Make, clock: Clock, tmp_path: Path, path: Path
) -> None:
    for _ in range(2):
        killed = writer(tmp_path, "killed", -1)
        assert killed.stdout is not None
        stdout = killed.stdout
        for _ in range(20):
            await asyncio.to_thread(stdout.readline)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        killed.stdout.close()
    with closing(sqlite3.connect(path)) as file, file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    clock.now = 4_000_000_000.0
    cache = make(cache_s=1e10, cache_hours=1e10)
    assert (await cache.find("http://killed.example/10")).cached
    await keep(cache, b"body")
    assert await is_fresh(cache)
