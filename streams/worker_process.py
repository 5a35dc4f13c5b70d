"""Runs `mner worker`, or another command that does not end, as a child process: for demo, benchmarks and tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from core.errors import UserError
from streams.settings import NO_CHANNEL, VARIABLES, Settings

READY = "worker ready"
LOG_LINES = 12


class CommandProcess:
    """Runs `mner` with a command that does not end, with these settings, and with its log in a file.

    `command`: the command and its options. `ready`: what it prints when it is ready. Unless `detached`, its standard
    input is a pipe, which closes with this process. `module`: the module to run in place of `cli.main`. `python_path`:
    another folder from which it may import modules, such as a model. `pid_file`: a file that it locks, and to which it
    writes its process id.
    """

    def __init__(
        self,
        settings: Settings,
        log: Path,
        command: Sequence[str],
        ready: str,
        *,
        detached: bool = False,
        module: str = "cli.main",
        python_path: Path | None = None,
        pid_file: Path | None = None,
    ) -> None:
        self._module = module
        self._python_path = python_path
        self._settings = settings
        self.log = log
        self._command = [*command, *([f"--pid-file={pid_file}"] if pid_file else [])]
        self._ready = ready
        self._detached = detached
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
        """Starts the process and returns before it is ready. Appends to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        # -P: a folder `model` or `streams` in the current folder must not be imported
        command = [sys.executable, "-P", "-m", self._module, *self._command]
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
        """Waits until it is ready.

        Raises `UserError`, with the end of the log, when it ends first or needs more than `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while self._ready not in self.output():
            if self.code is not None or time.monotonic() > deadline:
                state = f"ended with code {self.code}" if self.code is not None else "is not ready"
                raise UserError(f"the {self._command[0]} {state}; its log {self.log} ends:\n{self.tail()}")
            time.sleep(0.05)

    def stop(self, timeout_s: float = 60.0) -> int:
        """Sends SIGTERM, so that it finishes what is in flight. Returns its exit code.

        Raises `subprocess.TimeoutExpired` when it still runs after `timeout_s` seconds.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout_s)
        self.disown()
        return code

    def disown(self) -> None:
        """Closes its standard input, as the end of this process does. A worker stops then, unless detached."""
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


class WorkerProcess(CommandProcess):
    """Runs `mner worker`. Unless `detached`, it ends with this process.

    `only`: names of the agents to run; empty runs all. The other options are those of `CommandProcess`.
    """

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *,
        detached: bool = False,
        only: Sequence[str] = (),
        module: str = "cli.main",
        python_path: Path | None = None,
        pid_file: Path | None = None,
    ) -> None:
        command = ["worker", *(f"--only={name}" for name in only), *([] if detached else ["--owned"])]
        super().__init__(
            settings,
            log,
            command,
            READY,
            detached=detached,
            module=module,
            python_path=python_path,
            pid_file=pid_file,
        )


def environment(settings: Settings) -> dict[str, str]:
    """Returns the settings that differ from the defaults, as MNER_* variables."""
    values = {variable: variable.value(settings) for variable in VARIABLES}
    return {variable.name: _text(value) for variable, value in values.items() if value != variable.field.default}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) or NO_CHANNEL if isinstance(value, tuple) else str(value)
