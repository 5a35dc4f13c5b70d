"""A file of compliance events as a source: a recorded compliance stream, or the result of a batch compliance job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.json_text import read_json
from streams.feeds.adapters.common import UNREADABLE, unreadable
from streams.feeds.adapters.x import Subject, compliance_event, compliance_result, fields
from streams.feeds.source import Adapted, Fault, FeedRefused, Gap, Received, Steps

MAX_LINE = 1_000_000
"""Largest line, in bytes. An event has some hundred."""


class ComplianceFile:
    """JSON Lines, in a file or a pipe. Has no cursor: events that are sent again do no harm."""

    name = fields.SOURCE
    heartbeat_s: float | None = None
    backoff: dict[Fault, Steps] = {}  # noqa: RUF012  # a file has no connection

    def __init__(self, path: Path, subject: Subject | None) -> None:
        """`subject`: what the ids of a batch job's result name. Raises `UserError` for a file that cannot be read."""
        self.identity = f"{fields.SOURCE}:compliance:{path.resolve()}"
        self._path, self._subject = path, subject
        try:
            self._file: BufferedReader = path.open("rb")  # once: a pipe gives its bytes only once
            self._file.peek(1)  # a folder can be opened, but not read
        except OSError as error:
            raise UserError(f"--compliance {path}: {error.strerror or error}") from None

    @contextmanager
    def open(self, cursor: str | None, since: datetime | None) -> Iterator[Iterator[Received | Gap]]:
        """Yields the events of all lines."""
        with self._file:
            yield self._messages(self._file)

    def _messages(self, file: BufferedReader) -> Iterator[Received]:
        while line := file.readline(MAX_LINE):
            if line.strip():
                yield self._message(line.strip())

    def _message(self, line: bytes) -> Received:
        try:
            value = read_json(line)
        except (ValueError, RecursionError):
            return unreadable(line)
        adapted = self._adapted(value)
        return Received(adapted, raw=line if adapted.skipped == UNREADABLE else None)

    def _adapted(self, value: Any) -> Adapted:
        if not isinstance(value, dict) or "action" not in value:
            return compliance_event(value)
        if self._subject is None:
            raise FeedRefused(
                f"--compliance {self._path}: its lines do not say whether their ids are posts or users; "
                "add --ids tweets or --ids users, as the job was made"
            )
        return compliance_result(value, self._subject)
