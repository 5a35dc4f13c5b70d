"""A recogniser in a child process that answers lines with lines."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

from benchmarks.run import Wrong

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"), "1")


class LineProcess:
    """A context manager that starts `command` and ends it. Lines are UTF-8 and end with a line feed.

    `variables` are added to the environment.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        self._command, self._variables = list(command), dict(variables or {})

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **ONE_THREAD, **self._variables},
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def ask(self, lines: Iterable[str]) -> Iterator[str]:
        """Yields the answers while a thread writes the `lines`.

        Read all answers. An answer left in the pipe would be taken for the answer to the next question.
        Raises `Wrong` if the process ends.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        writer = threading.Thread(target=self._write, args=("".join(f"{line}\n" for line in lines).encode(),))
        writer.start()
        for line in self._process.stdout:
            yield line.decode().removesuffix("\n")
        writer.join()
        self._log.seek(0)
        raise Wrong(f"`{self._command[0]}` ended: {self._log.read().decode(errors='replace')[-2000:]}")

    def _write(self, lines: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(lines)
            self._process.stdin.flush()
        except OSError:  # the process has ended; the reader notices and says why
            return
