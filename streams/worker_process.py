"""Runs a worker as a child process, for the demo, the benchmarks and the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from core.errors import UserError
from streams.settings import NO_CHANNEL, VARIABLES, Settings

READY = "worker ready"
LOG_LINES = 12


class WorkerProcess:
    """Runs `mner worker` with these settings and its log in a file. Unless `detached`, it ends with this process.

    `only`: names of the agents to run; empty runs all. `module`: the module to run in place of `cli.main`.
    `python_path`: another folder from which the worker may import modules, such as a model.
    `pid_file`: a file that the worker locks, and to which it writes its process id.
    """

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *,
        detached: bool = False,
        only: tuple[str, ...] = (),
        module: str = "cli.main",
        python_path: Path | None = None,
        pid_file: Path | None = None,
    ) -> None:
        self._module = module
        self._python_path = python_path
        self._pid_file = pid_file
        self._settings = settings
        self.log = log
        self._detached = detached
        self._only = only
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code. None before the start and while the worker runs."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self.disown()
        return code

    def start(self) -> None:
        """Starts the worker and returns before it is ready. Appends to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        # -P: a folder `model` or `streams` in the current folder must not be imported
        command = [sys.executable, "-P", "-m", self._module, "worker"]
        command += [f"--only={name}" for name in self._only]
        command += [] if self._detached else ["--owned"]
        command += [f"--pid-file={self._pid_file}"] if self._pid_file else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | environment(self._settings) | self._imports(),
                start_new_session=True,
            )

    def ready(self, timeout_s: float = 120.0) -> None:
        """Waits until the agents run.

        Raises `UserError`, with the end of the log, when the worker ends first or needs more than `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while READY not in self.output():
            if self.code is not None or time.monotonic() > deadline:
                state = f"ended with code {self.code}" if self.code is not None else "is not ready"
                raise UserError(f"the worker {state}; its log {self.log} ends:\n{self.tail()}")
            time.sleep(0.05)

    def stop(self, timeout_s: float = 60.0) -> int:
        """Sends SIGTERM, so that the worker finishes what is in flight. Returns its exit code.

        Raises `subprocess.TimeoutExpired` when the worker still runs after `timeout_s` seconds.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout_s)
        self.disown()
        return code

    def disown(self) -> None:
        """Closes the worker's standard input, as the end of this process does. A worker stops then, unless detached."""
        assert self._process is not None
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """Sends SIGKILL, as the out-of-memory killer does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self.disown()

    def output(self) -> str:
        """Returns the log of this run so far."""
        return self.log.read_bytes()[self._read_from :].decode(errors="replace")

    def tail(self) -> str:
        """Returns the last lines of the log, indented."""
        return "\n".join(f"  {line}" for line in self.output().rstrip().splitlines()[-LOG_LINES:])

    def _imports(self) -> dict[str, str]:
        if self._python_path is None:
            return {}
        existing = os.environ.get("PYTHONPATH")
        return {"PYTHONPATH": os.pathsep.join([str(self._python_path), *([existing] if existing else [])])}


def environment(settings: Settings) -> dict[str, str]:
    """Returns the settings that differ from the defaults, as MNER_* variables."""
    values = {variable: variable.value(settings) for variable in VARIABLES}
    return {
        variable.name: ",".join(map(str, value)) or NO_CHANNEL if isinstance(value, tuple) else str(value)
        for variable, value in values.items()
        if value != variable.field.default
    }
