"""Writes files so that a reader sees the old content or the new content, never a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Yields a binary file that replaces `path` when the block ends. If the block raises, `path` stays as it was.

    The content goes to PATH.partial first, in the same folder. Links are followed and stay links. A path that is not
    a regular file, such as /dev/null, is written directly.

    Raises `OSError` when the file cannot be opened, written or renamed.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    partial = target.with_name(f"{target.name}.partial")
    with partial.open("wb") as file:
        try:
            yield file
            file.close()  # flushes, so that a full disk is noticed before the rename
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
