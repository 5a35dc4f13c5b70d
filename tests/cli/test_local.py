"""`mner local up|status|down` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.stack import NAMES, running
from tests.local import processes
from tests.local.clients import CLIENTS

Mner = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.servers


@pytest.fixture
def mner(tmp_path: Path) -> Iterator[Mner]:
    """Runs `mner local ...` with a home of its own. Stops the servers afterwards."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MNER_")}
        return subprocess.run(
            [str(Path(sys.executable).with_name("mner")), "local", *arguments],
            env={**environment, "MNER_HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    yield run
    run("down")


def test_up_stays_until_down(mner: Mner, tmp_path: Path) -> None:
    done = mner("up")
    assert done.returncode == 0, done.stderr
    exports = dict(line.removeprefix("export MNER_").split("=") for line in done.stdout.splitlines())
    assert {name.lower(): address for name, address in exports.items()} == running(tmp_path)
    assert len(processes.of(tmp_path)) == 2 * len(NAMES)  # servers and guards; the process of the command has ended
    CLIENTS["redis"].put(exports["REDIS"], "kept")

    pids = [server["pid"] for server in json.loads(mner("status", "--json").stdout)]
    assert mner("up").stdout == done.stdout  # idempotent
    servers = json.loads(mner("status", "--json").stdout)
    assert [server["pid"] for server in servers] == pids
    assert [(server["name"], server["running"]) for server in servers] == [(name, True) for name in NAMES]

    assert mner("down").stdout == "stopped kafka, elasticsearch, redis\n"
    assert processes.of(tmp_path) == []
    assert [server["running"] for server in json.loads(mner("status", "--json").stdout)] == [False] * len(NAMES)

    assert mner("up").stdout == done.stdout  # on the same ports, if nothing took them meanwhile
    assert CLIENTS["redis"].all(exports["REDIS"]) == ["kept"]


def test_down_without_running_servers_says_so(mner: Mner, tmp_path: Path) -> None:
    done = mner("down")
    assert (done.returncode, done.stdout) == (0, f"no server runs in {tmp_path}\n")


def test_status_is_a_table_for_people(mner: Mner) -> None:
    shown = mner("status").stdout
    assert "stopped" in shown
    assert all(name in shown for name in NAMES)


def test_a_server_that_cannot_start_is_one_error_and_exit_code_2(mner: Mner, tmp_path: Path) -> None:
    broken = tmp_path / "redis" / "data" / "appendonly.aof"
    broken.parent.mkdir(parents=True)
    broken.write_text("not an append-only file")
    done = mner("up")
    assert done.returncode == 2
    assert "mner: redis did not start; the end of its log" in done.stderr
    assert "Traceback" not in done.stderr
    assert processes.of(tmp_path) == []
