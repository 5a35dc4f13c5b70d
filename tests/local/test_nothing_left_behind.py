"""Servers end with their owner, however it ends. The tests send real signals and read the process table."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from core.errors import UserError
from local.stack import KINDS, NAMES, Stack, down, running, status
from tests.local import processes

pytestmark = pytest.mark.servers


def test_the_end_of_the_block_stops_every_server(tmp_path: Path) -> None:
    with Stack(tmp_path, ["redis"]) as stack:
        assert len(processes.of(tmp_path)) == 2  # the server and its guard
        assert running(tmp_path) == stack.addresses
    assert processes.of(tmp_path) == []
    assert running(tmp_path) is None


def test_kill_9_of_the_owner_leaves_nothing(tmp_path: Path) -> None:
    with processes.owner_of(tmp_path, *NAMES) as owner:
        assert len(processes.of(tmp_path)) == 1 + 2 * len(NAMES)
        owner.kill()
        owner.wait()
        assert processes.eventually(lambda: processes.of(tmp_path) == [])
    assert running(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent (PR_SET_PDEATHSIG)")
def test_kill_9_of_owner_and_guards_at_once_leaves_nothing(tmp_path: Path) -> None:
    with processes.owner_of(tmp_path, "kafka", "redis") as owner:
        guards = [int(line.split()[0]) for line in processes.of(tmp_path) if "guard.py" in line]
        assert len(guards) == 2
        for pid in (owner.pid, *guards):
            os.kill(pid, signal.SIGKILL)
        owner.wait()
        assert processes.eventually(lambda: processes.of(tmp_path) == [], within_s=5)


def test_a_child_that_the_owner_forked_does_not_keep_the_servers_alive(tmp_path: Path) -> None:
    forks = processes.OWNER.replace(
        "    time", "    import os\n    if os.fork() == 0: print(os.getpid(), flush=True)\n    time"
    )
    with processes.owner_of(tmp_path, "redis", script=forks) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        try:
            owner.kill()
            owner.wait()
            assert processes.eventually(lambda: running(tmp_path) is None)
            os.kill(child, 0)  # still alive, so it still holds the other end of the pipe
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_to_stop_the_owner_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with processes.owner_of(tmp_path, "redis") as owner:
        owner.send_signal(number)
        owner.wait()
        assert processes.eventually(lambda: processes.of(tmp_path) == [])


def test_a_stack_started_right_after_kill_9_waits_for_the_old_servers_and_keeps_their_data(tmp_path: Path) -> None:
    from redis import Redis

    with processes.owner_of(tmp_path, "redis") as owner:
        with Redis.from_url(KINDS["redis"](tmp_path).address) as client:
            client.set("kept", "yes")
        owner.kill()
        owner.wait()
        with Stack(tmp_path, ["redis"]) as stack, Redis.from_url(stack.addresses["redis"]) as client:
            assert client.get("kept") == b"yes"


def test_a_stack_waits_for_a_guard_that_has_removed_its_numbers_and_is_about_to_end(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    with (tmp_path / "redis" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ending = threading.Timer(0.5, lock.close)
        ending.start()
        with Stack(tmp_path, ["redis"]) as stack:
            assert running(tmp_path) == stack.addresses
        ending.join()


def test_if_one_server_does_not_start_the_others_are_stopped(tmp_path: Path) -> None:
    broken = tmp_path / "redis" / "data" / "appendonly.aof"
    broken.parent.mkdir(parents=True)
    broken.write_text("not an append-only file")
    with pytest.raises(UserError, match="redis did not start"), Stack(tmp_path):
        pytest.fail("the stack must not start")
    assert processes.of(tmp_path) == []


def test_files_that_a_crash_left_do_not_count_as_a_server(tmp_path: Path) -> None:
    """The process numbers in them may belong to another process by then; here, to this test."""
    with Stack(tmp_path, ["redis"]):
        pass
    (tmp_path / "redis" / "lock").write_text(f"{os.getpid()} {os.getpid()} 0\n")
    assert running(tmp_path) is None
    assert not any(server.running for server in status(tmp_path))
    assert down(tmp_path) == []  # and this test is still running
    with Stack(tmp_path, ["redis"]) as stack:
        assert running(tmp_path) == stack.addresses
