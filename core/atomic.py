"""Writes files so that a reader sees the old content or the new content, never a part of it."""

from __future__ import annotations

import glob
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

OLD_S = 86_400.0
"""Age, in seconds, from which a part belongs to no process that still writes it."""


@contextmanager
def atomic_write(path: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Yields a binary file that replaces `path` when the block ends. If the block raises, `path` stays as it was.

    The content goes to PATH.XXXX.partial first, in the same folder, so two processes never write to the same file. Only
    its owner may read it until it is whole. Then it gets `mode`, or else the mode of any new file. SIGTERM and Ctrl-C
    remove it. After `kill -9`, the first writing a day later removes it. Links are followed and stay links. A path that
    is not a regular file, such as /dev/null, is written directly.

    Raises `OSError` when the file cannot be opened, written or renamed.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    _remove_old_parts(target)
    with _sigterm_raises():
        number, name = tempfile.mkstemp(".partial", f"{target.name}.", target.parent)  # mode 0600
        partial = Path(name)
        try:
            with os.fdopen(number, "wb") as file:
                yield file
                file.flush()  # so that a full disk is noticed before the rename
                os.fchmod(number, _mode_of_new_files() if mode is None else mode)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _remove_old_parts(target: Path) -> None:
    """Removes what killed processes have left of this file, unless it is younger than `OLD_S`."""
    for part in target.parent.glob(f"{glob.escape(target.name)}.????????.partial"):
        with suppress(OSError):  # another process may have removed it, or it may be another user's
            if time.time() - part.stat().st_mtime > OLD_S:
                part.unlink()


def _mode_of_new_files() -> int:
    """Returns the mode that the umask gives. Where /proc does not tell it, a short change does, for all threads."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(errors="replace")
        return 0o666 & ~int(status.partition("\nUmask:")[2].split(None, 1)[0], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turns SIGTERM into `SystemExit` while the block runs, unless the program has a handler of its own.

    A second SIGTERM ends the process at once. Other threads than the main one cannot have handlers.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
