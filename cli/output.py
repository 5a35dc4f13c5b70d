"""What a command writes: to standard output, and to files that its options name."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from core.atomic import atomic_write
from core.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 100_000
"""Width, in cells, of output that no terminal shows. No value is that long."""


def replace_unencodable() -> None:
    """Lets standard output write a `?` for each character that its encoding lacks. Without this, a command would end
    with an error in a locale other than UTF-8."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def make_console(**options: Any) -> Console:
    """Returns a console on standard output. If that is no terminal, nothing is cut or wrapped."""
    from rich.console import Console

    return Console(**options) if sys.stdout.isatty() else Console(width=WIDE, **options)


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
