"""Files that commands write: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.errors import UserError


@contextmanager
def whole_file(path: Path, option: str) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` at the end; if the work fails, `path` stays as it was.

    Written beside it under the name PATH.partial. What is no regular file, as /dev/null, is written to directly.
    Raises `UserError`, which names `option`, when it cannot be written.
    """
    goal = path.resolve()  # through links, which stay links
    direct = goal.exists() and not goal.is_file()
    written = goal if direct else goal.with_name(f"{goal.name}.partial")
    try:
        sink = written.open("wb")
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}") from None
    try:
        with sink:
            yield sink
        if not direct:
            written.replace(goal)
    except BaseException as error:
        if not direct:
            written.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk
            raise UserError(f"{option} {path}: not written: {error.strerror or error}") from None
        raise
