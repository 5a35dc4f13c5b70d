"""JSON files that only their owner may read: users, tokens, ended sessions, the key of the cookies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.atomic import atomic_write
from core.errors import UserError
from local.lock import alone

PRIVATE = 0o600
OTHERS = 0o077
"""The bits of a mode that let anybody but the owner do something."""


class Content(BaseModel):
    """What a private file holds. All fields have defaults: a file that does not exist holds these."""

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=Content)


def private_folder(path: Path) -> None:
    """Makes a folder that only its owner may enter. Its parents get the mode of any new folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


class PrivateFile(Generic[C]):
    """A file of mode 0600, read again whenever it changes. Several processes may change it, and several threads."""

    def __init__(self, path: Path, kind: type[C]) -> None:
        self.path = path
        self._kind = kind
        self._known: tuple[tuple[int, ...], C] = (), kind()  # state of the file, and its content then

    def read(self) -> C:
        """Returns the content. Raises `UserError` for a file that is not private, not readable or not whole."""
        try:
            status = self.path.stat()
            state = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode)
            known, content = self._known
            if state != known:
                if status.st_mode & OTHERS:
                    raise UserError(f"{self.path}: others than its owner may use it; run: chmod 600 {self.path}")
                content = self._kind.model_validate_json(self.path.read_bytes())
                self._known = state, content
        except FileNotFoundError:
            return self._kind()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from None
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, fault["loc"])) or "the file"
            raise UserError(f"{self.path}: {place}: {fault['msg']}; restore it from a copy, or remove it") from None
        return content

    def change(self, change: Callable[[C], C]) -> C:
        """Writes what `change` makes of the content, and returns it. Nobody else writes meanwhile.

        Raises as `read` does, and `OSError` when the file cannot be written. What `change` raises comes through.
        """
        private_folder(self.path.parent)
        with alone(self.path.with_name(f"{self.path.name}.lock")):
            content = change(self.read())
            with atomic_write(self.path, PRIVATE) as file:
                file.write(content.model_dump_json(indent=1).encode())
        return content
