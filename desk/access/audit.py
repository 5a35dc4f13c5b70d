"""The audit log: who saw and did what. One JSON object a line, in MNER_HOME/desk/audit.jsonl.

It holds ids, counts, and values that the desk itself defines. It never holds a post's text, a name out of a post, or
what somebody typed to find one: those would outlive the post. The files of past days have names such as
`audit.jsonl.2026-11-30.0000`. A day of UTC goes as a whole when it is too old.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.requests import Request

from core.errors import Stop
from core.text import plain
from core.threads import Threads
from desk.access.people import Person
from desk.access.private_file import PRIVATE, private_folder
from local.lock import alone
from sinks.searching.state import SearchState

MOST_BYTES = 4_000_000
"""Size of a file, in bytes, at which the next one begins, also within a day."""

MOST_TOTAL = 256_000_000
"""Size of all files, in bytes, at which the oldest one goes before its time."""

MOST_SEARCHED = 64_000_000
"""Size, in bytes, of the newest entries that one look at the log goes through."""

LONGEST = 500
"""Longest text of a value, in characters."""

MOST_IDS = 200
"""Number of ids in one entry. A note beyond says how many there were."""

ONCE_S = 600.0
"""Time, in seconds, within which `note_once` notes the same thing once."""

MOST_NOTED = 10_000
"""Number of things that `note_once` remembers. Of more, it notes some again."""

EVERY_S = 3600.0
"""Time, in seconds, between two looks for files that are too old."""

ROTATED = re.compile(r"audit\.jsonl\.(\d{4}-\d\d-\d\d)\.\d{4}")

Value = str | int | float | bool | None | list[str]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One line. `what` holds further values of the action: ids and counts."""

    at: str
    person: str
    way: str
    address: str
    action: str
    what: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """The newest entries first. `is_whole`: whether no older entry was left unsearched for the size of the log."""

    entries: list[Entry]
    is_whole: bool


class AuditLog:
    """A log that several processes of one machine may write to. The desk and `mner desk users` do."""

    def __init__(self, path: Path, clock: Callable[[], float], days: int) -> None:
        """`clock` returns Unix seconds. `days`: how many days of UTC are kept, the present one included."""
        self._path, self._clock, self._days = path, clock, days
        self._writer, self._reader = Threads("audit", 1), Threads("audit-page", 1)
        self._noted: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def write(self, person: str, way: str, address: str, action: str, **what: Value) -> None:
        """Appends one entry. Raises `Stop` if it cannot be written, so that nothing is done without a trace. Blocks."""
        now = self._now()
        entry = {"at": now.isoformat(timespec="milliseconds"), "person": person, "way": way, "address": address}
        line = json.dumps(entry | {"action": action} | _short(what), ensure_ascii=False) + "\n"
        with self._alone():
            self._rotate(now.date())
            self._append(line.encode("utf-8", "replace"))

    async def note(self, person: str, way: str, address: str, action: str, **what: Value) -> None:
        """Does what `write` does, and lets the event loop go on meanwhile."""
        await self._writer.run(self.write, person, way, address, action, **what)

    def is_new(self, *what: str) -> bool:
        """Whether this was not noted within the last `ONCE_S` seconds. Say `has_noted` after noting it."""
        until = self._noted.get(what)
        return until is None or until <= self._clock()

    def has_noted(self, *what: str) -> None:
        self._noted[what] = self._clock() + ONCE_S
        self._noted.move_to_end(what)
        if len(self._noted) > MOST_NOTED:
            self._noted.popitem(last=False)

    def latest(self, most: int, person: str = "", action: str = "") -> list[Entry]:
        """Returns the newest entries first, of one person and of one action if these are given. Blocks.

        Lines that cannot be read are left out. A killed process may leave half a line.
        """
        return self._page(most, person, action).entries

    async def page(self, most: int, person: str = "", action: str = "") -> Page:
        """Does what `latest` does, and lets the event loop go on meanwhile."""
        return await self._reader.run(self._page, most, person, action)

    def _page(self, most: int, person: str, action: str) -> Page:
        found: list[Entry] = []
        marks = [_mark(name, value) for name, value in (("person", person), ("action", action)) if value]
        searched = 0
        for lines in self._files():
            if searched >= MOST_SEARCHED:
                return Page(found, False)
            searched += len(lines)
            for line in reversed(lines.splitlines()):
                # to look for bytes is many times faster than to parse each line
                entry = _entry(line) if all(mark in line for mark in marks) else None
                if entry and person in {"", entry.person} and action in {"", entry.action}:
                    found.append(entry)
                    if len(found) == most:
                        return Page(found, True)
        return Page(found, True)

    def forget(self) -> None:
        """Removes the days that are too old. Raises `Stop` as `write` does. Blocks."""
        with self._alone():
            self._rotate(self._now().date())
            self._forget(self._now().date())

    async def forget_on(self) -> None:
        """Removes them for ever, hour by hour, also while nobody uses the desk."""
        while True:
            try:
                await self._writer.run(self.forget)
            except Stop as error:
                log.error("%s", error)
            await asyncio.sleep(EVERY_S)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes from changing the files. Raises `Stop` if these cannot be changed."""
        try:
            private_folder(self._path.parent)
            with alone(self._path.with_name(f"{self._path.name}.lock")):
                yield
        except OSError as error:
            raise Stop(f"the audit log {self._path} cannot be written: {error.strerror}") from None

    def _files(self) -> Iterator[bytes]:
        """Yields what each file holds, the newest one first."""
        for file in (self._path, *reversed(self._rotated())):
            with suppress(FileNotFoundError):  # it was rotated or forgotten meanwhile
                yield file.read_bytes()

    def _rotated(self) -> list[Path]:
        """Returns the files before the present one, the oldest first."""
        return sorted(path for path in self._path.parent.glob("audit.jsonl.*") if ROTATED.fullmatch(path.name))

    def _rotate(self, today: date) -> None:
        """Begins a new file for a new day, and when the present file is full."""
        day = self._first_day()
        if day is None or (day == today and self._path.stat().st_size < MOST_BYTES):
            return
        same = [int(path.name[-4:]) for path in self._rotated() if _day(path) == day]
        self._path.replace(self._path.with_name(f"{self._path.name}.{day}.{max(same, default=-1) + 1:04}"))
        self._forget(today)

    def _first_day(self) -> date | None:
        """Returns the day of the first line, or of the last change if the line is spoiled. None without any line."""
        try:
            with self._path.open("rb") as file:
                begin, changed = file.read(64), os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        found = re.match(rb'\{"at": "(\d{4}-\d\d-\d\d)T', begin)
        return date.fromisoformat(found[1].decode()) if found else datetime.fromtimestamp(changed, UTC).date()

    def _forget(self, today: date) -> None:
        files = self._rotated()
        total = sum(path.stat().st_size for path in files)
        for path in files:
            is_old = _day(path) <= today - timedelta(days=self._days)
            if not is_old and total <= MOST_TOTAL:
                break
            if not is_old:
                log.warning("the audit log is full: %s goes before its time", path.name)
            total -= path.stat().st_size
            path.unlink()

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)


async def note(request: Request, action: str, **what: Value) -> None:
    """Notes what the person of a request did or saw, such as `await note(request, "seen", posts=[tweet.id])`.

    `what`: ids and counts, never text or names of a post. Raises `Stop`, and so HTTP 503, if the log cannot be written.
    """
    name, way = _who(request)
    await _log(request).note(name, way, request.client.host if request.client else "", action, **what)


async def note_once(request: Request, action: str, key: str = "", **what: Value) -> None:
    """Does what `note` does, but not again within `ONCE_S` seconds for the same person, action and `key`.

    It is for what a page asks for again and again, such as its images.
    """
    log, once = _log(request), (*_who(request), action, key)
    if log.is_new(*once):
        await note(request, action, **what)
        log.has_noted(*once)


def audited(state: SearchState) -> dict[str, Value]:
    """Returns what the log holds of a search: days and types. Of what people type, only that there was some."""
    given = {
        "q": state.words,
        "name": state.names,
        "account": state.accounts,
        "author": state.authors,
        "lang": state.languages,
        "source": state.sources,
    }
    known = SearchState(types=state.types, decided_by=state.decided_by, since=state.since, until=state.until).to_query()
    typed = [name for name, value in given.items() if value]
    return ({"filters": known} if known else {}) | ({"typed": typed} if typed else {})


def _who(request: Request) -> tuple[str, str]:
    person: Person | None = getattr(request.state, "person", None)
    return (person.name, person.way) if person else ("", "")


def _log(request: Request) -> AuditLog:
    log: AuditLog = request.app.state.access.audit
    return log


def _day(path: Path) -> date:
    """Returns the day of a file before the present one."""
    found = ROTATED.fullmatch(path.name)
    assert found is not None
    return date.fromisoformat(found[1])


def _short(what: dict[str, Value]) -> dict[str, Value]:
    short: dict[str, Value] = {}
    for name, value in what.items():
        if isinstance(value, list):
            short[name] = [plain(item, LONGEST) for item in value[:MOST_IDS]]
            if len(value) > MOST_IDS:
                short[f"{name}_count"] = len(value)
        else:
            short[name] = plain(value, LONGEST) if isinstance(value, str) else value
    return short


def _mark(name: str, value: str) -> bytes:
    """Returns the bytes that each line with this value holds, as `AuditLog.write` writes them."""
    return json.dumps({name: value}, ensure_ascii=False)[1:-1].encode("utf-8", "replace")


def _entry(line: bytes) -> Entry | None:
    try:
        values: Any = json.loads(line)
        return Entry(
            **{name: str(values.pop(name)) for name in ("at", "person", "way", "address", "action")}, what=values
        )
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
