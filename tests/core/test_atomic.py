"""A file is written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.atomic import atomic_write


def test_the_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_stays_as_it_was_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_raises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"), atomic_write(path) as file:
        file.write(b"lost")
    assert list(tmp_path.iterdir()) == [path]


def test_parts_of_killed_processes_are_removed_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / "file[1]"
    for _ in range(2):
        process = writer(path, "x")
        process.kill()
        process.communicate()
    old, young = tmp_path.iterdir()
    others = [tmp_path / name for name in ("file[1].2.abcd1234.partial", "file[1].partial", "file1.abcd1234.partial")]
    for part in (old, *others):
        part.touch()
        os.utime(part, (time.time() - 90_000,) * 2)
    with atomic_write(path) as file:
        file.write(b"new")
    assert sorted(tmp_path.iterdir()) == sorted([path, young, *others])


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"content")
    assert link.is_symlink()
    assert target.read_bytes() == b"content"


def test_a_device_is_written_directly() -> None:
    with atomic_write(Path("/dev/null")) as file:
        file.write(b"content")
    assert not Path("/dev/null").is_file()


def test_a_folder_that_does_not_exist_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "missing" / "file"):
        pass


def test_only_the_owner_reads_a_part_and_the_whole_gets_the_mode_of_new_files(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    before = os.umask(0o027)
    try:
        with atomic_write(path):
            assert [part.stat().st_mode & 0o777 for part in tmp_path.iterdir()] == [0o600]
        other.touch()
    finally:
        os.umask(before)
    assert path.stat().st_mode == other.stat().st_mode


WRITER = """
import asyncio, signal, sys
from pathlib import Path
from core.atomic import atomic_write

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it

def write():
    with atomic_write(Path(sys.argv[1])) as file:
        file.write(sys.argv[2].encode() * 100_000)
        print("writes", flush=True)
        sys.stdin.read()

async def main():
    with atomic_write(Path(sys.argv[1])) as file:
        file.write(sys.argv[2].encode() * 100_000)
        print("writes", flush=True)
        await asyncio.sleep(60)

asyncio.run(main()) if sys.argv[3] == "async" else write()
"""


def writer(path: Path, what: str, how: str = "sync") -> subprocess.Popen[str]:
    """Starts a process that has written a part of the file, and waits until its standard input ends."""
    command = [sys.executable, "-c", WRITER, str(path), what, how]
    process = subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writes\n"
    return process


def test_two_processes_write_the_same_file_and_each_writes_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first, second = writer(path, "1"), writer(path, "2")
    for process, content in ((first, "1"), (second, "2")):
        process.communicate()
        assert process.returncode == 0
        assert path.read_text() == content * 100_000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_leaves_nothing_behind(tmp_path: Path, how: str, number: signal.Signals, code: int) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    process = writer(path, "new", how)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == code, told
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_gets_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    with atomic_write(path, 0o600) as file:
        file.write(b"new")
    assert path.stat().st_mode & 0o777 == 0o600
