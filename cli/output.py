"""Files that a command writes, named by one of its options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from core.atomic import atomic_write
from core.errors import UserError


@contextmanager
def output_file(path: Path, option: str) -> Iterator[IO[bytes]]:
    """Yields a binary file that replaces `path` when the block ends; see `atomic_write`.

    Raises `UserError`, which names `option`, when the file cannot be opened or written.
    """
    stack = ExitStack()
    try:
        file = stack.enter_context(atomic_write(path))
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}") from None
    try:
        with stack:
            yield file
    except OSError as error:  # a full disk
        raise UserError(f"{option} {path}: not written: {error.strerror or error}") from None
