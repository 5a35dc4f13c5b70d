"""A file of recorded Jetstream frames. It has no connection, so it breaks only with its process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.files.formats import FORMATS
from core.files.posts import open_posts
from streams.feeds.adapters.bluesky import adapt
from streams.feeds.file_place import Place
from streams.feeds.files import FileSource
from streams.feeds.source import Source
from streams.topics import EVENT_BYTES
from tests.streams.feeds.contract import Item, Record, parted
from tests.streams.feeds.platforms import bluesky

STEP_S = bluesky.STEP_US / 1e6


class Served(bluesky.Served):
    name = "file"

    def __init__(self, seed: int, *, faults: bool = True, pace_s: float = 0.0) -> None:
        del faults
        super().__init__(seed, faults=False, pace_s=pace_s)
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name).resolve() / "frames.jsonl"
        self._speed = STEP_S / pace_s if pace_s else None
        lines = [value[1] for _, value in self._steps]
        raw = self._lines = [line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line for line in lines]
        self._path.write_bytes(b"\n".join(raw) + b"\n")

    @contextmanager
    def serving(self) -> Iterator[None]:
        with self._folder:
            yield

    def source(self, home: Path) -> Source:
        posts = open_posts(self._path.open("rb"), EVENT_BYTES, frozenset(FORMATS))
        return FileSource(posts, f"file:{self._path}", speed=self._speed)

    def arguments(self) -> list[str]:
        return [str(self._path), "--resume", *(["--speed", str(self._speed)] if self._speed else [])]

    def parted(self, cursor: str) -> tuple[set[Record], set[Record]]:
        items = (Item.of(number, adapt(line)) for number, line in enumerate(self._lines, 1))
        return parted(items, Place.read(cursor).number)

    @property
    def has_ended(self) -> bool:
        return True
