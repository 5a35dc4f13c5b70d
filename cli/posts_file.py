"""Opens a file of posts for a command, and says what the file is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from core.errors import UserError
from core.files.formats import EVENTS, Format
from core.files.posts import NoPosts, Posts, open_lines, open_posts
from core.text import printable


@contextmanager
def reading(
    name: str, option: str = "", *, as_is: bool = False, hint: str = "", formats: frozenset[Format] = EVENTS
) -> Iterator[Posts]:
    """Yields the posts of a file, or of standard input for `-`. With `as_is`, each line comes as it stands.

    `formats`: what the caller can read.

    Raises `UserError` when the file cannot be opened or holds no posts. `option` names what gave the file. `hint` says
    what else can be done with text that holds no posts.
    """
    from streams.topics import EVENT_BYTES

    label = printable(f"{option} {name}".strip())
    with ExitStack() as stack:
        try:
            file = _standard_input() if name == "-" else stack.enter_context(Path(name).open("rb"))
            posts = open_lines(file, EVENT_BYTES) if as_is else open_posts(file, EVENT_BYTES, formats)
        except NoPosts as error:
            raise UserError(f"{label} {error}{hint}") from None
        except UserError as error:
            raise UserError(f"{label} {error}") from None
        except OSError as error:
            raise UserError(f"{label}: {error.strerror or error}") from None
        try:
            yield posts
        finally:
            for remark in posts.remarks:
                print(f"mner: {label}: {printable(remark)}", file=sys.stderr)


def _standard_input() -> IO[bytes]:
    """Returns standard input without a buffer. The buffer's lock would keep Python from ending while a thread waits."""
    try:
        number = sys.stdin.fileno()
    except OSError:  # a stand-in within this process has none
        return sys.stdin.buffer
    return open(number, "rb", buffering=0, closefd=False)  # never closed


def described(name: str, posts: Posts) -> str:
    """Returns one line that says what the file is and how it is read."""
    return f"{'standard input' if name == '-' else printable(name)}: {posts.says}"
