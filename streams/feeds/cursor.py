"""The position up to which Kafka has a feed's messages, in a file that a crash leaves whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.atomic import atomic_write
from core.errors import UserError

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


class Position(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(frozen=True)

    cursor: str | None = None  # in the source's own form
    letters: int = Field(default=0, ge=0)  # number of dead letters so far: it is the offset of the next one
    saved_at: float = 0.0  # Unix seconds
    prefix: str | None = None
    cluster: str | None = None


@dataclass(frozen=True)
class Destination:
    """The Kafka that the records went to. None means unknown."""

    prefix: str | None = None
    cluster: str | None = None  # Kafka's id of itself


class CursorFile:
    """The file of one feed. The identity of the source names it."""

    def __init__(
        self,
        home: Path,
        identity: str,
        destination: Destination | None = None,
        remedy: str = "--fresh starts with what is published now",
    ) -> None:
        """`remedy`: how to start without the saved position."""
        self.identity, self._remedy = identity, remedy
        self._destination = destination or Destination()
        self.path = home / "feeds" / f"{_file_name(identity)}.json"

    def load(self) -> Position:
        """Returns the saved position, or an empty one if there is no file.

        Raises `UserError` for a broken file, and for the position of another Kafka or of other topics.
        """
        try:
            position = Position.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return Position()
        except (ValidationError, OSError) as error:
            cause = "is damaged" if isinstance(error, ValidationError) else f"cannot be read: {error.strerror}"
            raise UserError(f"{self.path} {cause}, so the position to go on from is unknown; {self._remedy}") from None
        ours = self._destination
        for name, was, now in (
            ("MNER_PREFIX", position.prefix, ours.prefix),
            ("the Kafka cluster", position.cluster, ours.cluster),
        ):
            if was is not None and now is not None and was != now:
                raise UserError(
                    f"{self.path} is the position of a feed for another Kafka: {name} was {was!r} and is {now!r} now; "
                    f"set MNER_HOME to another folder, or {self._remedy}"
                )
        return position

    def save(self, cursor: str | None, letters: int) -> Position:
        """Saves a position. Raises `UserError` when the disk refuses it."""
        position = Position(cursor=cursor, letters=letters, saved_at=time.time(), **asdict(self._destination))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as file:
                file.write(json.dumps({"identity": self.identity} | position.model_dump()).encode() + b"\n")
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror or error}") from None
        return position

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Locks the feed for this process. Raises `UserError` if another process runs it."""
        from local.lock import pid_file

        file = self.path.with_suffix(".pid")
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(pid_file(file))
            except UserError:
                raise UserError(f"another process runs this feed, as {file} says; stop it first") from None
            yield


def _file_name(identity: str) -> str:
    """Returns a file name that is unique for the identity."""
    if PLAIN_NAME.fullmatch(identity):
        return identity
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", identity).strip("-.")[:60]
    return f"{readable or 'feed'}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
