"""Processes share the servers of a test run. The servers run until the last process leaves them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO, cast

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection

from local.stack import running
from tests.conftest import ROOT

USER = """
import sys
from functools import partial
from pathlib import Path
from tests import shared_servers

shared_servers.Stack = partial(shared_servers.Stack, names=["redis"])
with shared_servers.shared_servers(Path(sys.argv[1])) as addresses:
    print(addresses["redis"], flush=True)
    sys.stdin.readline()
"""

pytestmark = pytest.mark.servers


def test_the_servers_run_until_the_last_process_leaves(tmp_path: Path) -> None:
    def enter() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", USER, str(tmp_path)]
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return child, cast(IO[str], child.stdout).readline().strip()

    first, address = enter()
    second, same = enter()
    with first, second, Redis.from_url(address) as client:
        assert same == address
        cast(IO[str], first.stdin).close()
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(1)
        assert client.ping()
        second.communicate("")
        assert first.wait(30) == 0
        with pytest.raises(NoConnection):
            client.ping()
    assert running(tmp_path) is None
