"""The contract of all feeds: what a local server of each platform does wrong, and what must be in the topics then.

A platform gives a class `Served` in `tests.streams.feeds.platforms`. Its script is made from a seed: posts and
lifecycle events of the platform's real shapes, 1% garbage, duplicates, messages out of order, three disconnects, a rate
limit, and one connection that dies silently. The same checks run over all platforms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from kafka import KafkaConsumer, TopicPartition

from core.events import DeadLetter, Tweet
from core.lifecycle import Lifecycle
from streams import topics
from streams.feeds.cursor import CursorFile
from streams.feeds.orders import Options, Target
from streams.feeds.runner import Runner
from streams.feeds.source import Received, Source, Steps
from streams.settings import Settings
from tests.conftest import ROOT

HEARTBEAT_S = 0.4
"""The heartbeat of every source here, so that a silent death is noticed within 0.8 s."""

QUICK = Steps(0.01, 0.05)
"""Takes the place of the platforms' back-off, which is tested on its own. `retry_at` is obeyed all the same."""

Event = tuple[str, str, str | None]
"""A lifecycle event: its kind, its subject (`post:ID` or `author:ID`), its cause."""

Record = tuple[str, int] | Event | bytes
"""What a record of the topics holds: a post with its edit, a lifecycle event, or the bytes of a dead letter."""


@dataclass(frozen=True)
class Item:
    """A message that a platform publishes. `position`: its place by the cursor's measure, or None if it has none."""

    position: int | None
    records: frozenset[Record]

    @classmethod
    def of(cls, position: int | None, message: Received) -> Item:
        """Returns the item of an adapter's message."""
        adapted = message.adapted
        records: set[Record] = {(post.id, post.edit) for post in adapted.posts}
        records |= set(map(event_of, adapted.lifecycle))
        if message.raw is not None and adapted.skipped is not None:
            records.add(message.raw)
        return cls(position, frozenset(records))


def event_of(event: Lifecycle) -> Event:
    """Returns what the tests compare of a lifecycle event."""
    return event.kind, f"post:{event.post}" if event.post else f"author:{event.author}", event.cause


def parted(items: Iterable[Item], position: int) -> tuple[set[Record], set[Record]]:
    """Parts the records of items, in the order in which they are published, at a cursor's position.

    Returns those that Kafka must hold, since they came before the cursor, and those that come after it. Messages that
    are out of order stand in neither, if the cursor does not tell.
    """
    before: set[Record] = set()
    after: set[Record] = set()
    reached: int | None = None
    for item in items:
        is_passed = reached is not None and reached >= position
        reached = max(place for place in (reached, item.position, -1) if place is not None)
        place = reached if item.position is None else item.position
        if place > position:
            after |= item.records
        elif not is_passed:
            before |= item.records
    return before, after - before


class Platform(ABC):
    """A local server with a script. Subclasses serve real payloads over the real protocol."""

    name: ClassVar[str]
    breaks_are_gaps: ClassVar[bool] = False
    """Whether the protocol cannot tell all that was missed in a break."""

    def __init__(self, seed: int, *, faults: bool = True, pace_s: float = 0.0) -> None:
        """`faults`: whether the server breaks off, is silent and limits rates. `pace_s`: time before each message."""
        self.seed, self.faults, self.pace_s = seed, faults, pace_s
        self.posts: set[tuple[str, int | None]] = set()
        """(id, edit) of each post that must arrive. An edit of None stands for any but 0."""
        self.events: set[Event] = set()
        """Every lifecycle event that must arrive."""
        self.last: dict[str, str] = {}
        """Id -> text of each post that was edited, after its last edit."""
        self.garbage: set[bytes] = set()
        """Bytes of every message that must become a dead letter."""
        self.violations: list[str] = []
        """What the client did although the protocol forbids it, such as connecting before a rate limit ends."""

    @abstractmethod
    def serving(self) -> AbstractContextManager[None]:
        """Runs the server, and ends it."""

    @abstractmethod
    def source(self, home: Path) -> Source:
        """Returns a source that reads this server, with `HEARTBEAT_S`."""

    @abstractmethod
    def arguments(self) -> list[str]:
        """Returns what follows `mner feed` to read this server."""

    @abstractmethod
    def parted(self, cursor: str) -> tuple[set[Record], set[Record]]:
        """Returns the records that Kafka must hold if this cursor is saved, and those that come after it."""

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """Whether every message was served at least once, and every fault of the script has happened."""

    def environment(self) -> dict[str, str]:
        """Returns variables that the command needs, such as a token."""
        return {}


@dataclass
class Found:
    """What is in the topics."""

    posts: dict[tuple[str, int], set[bytes]] = field(default_factory=dict)  # (id, edit) -> distinct values
    events: set[Event] = field(default_factory=set)
    letters: list[DeadLetter] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def records(self) -> set[Record]:
        """Everything but the gaps."""
        return {*self.posts, *self.events, *map(raw_of, self.letters)}

    def missing(self, platform: Platform) -> list[object]:
        """Returns what the platform published and the topics lack."""
        ids = {name for name, edit in self.posts if edit}
        posts = [
            (name, edit)
            for name, edit in platform.posts
            if (name not in ids if edit is None else (name, edit) not in self.posts)
        ]
        values = {raw_of(letter) for letter in self.letters}
        return [*posts, *(platform.events - self.events), *(platform.garbage - values)]


def raw_of(letter: DeadLetter) -> bytes:
    """Returns the bytes that a dead letter keeps."""
    import base64

    value = letter.value or ""
    return base64.b64decode(value) if letter.encoding == "base64" else value.encode()


class Watcher:
    """Reads the topics of a feed as they grow. Checks each record against its key."""

    def __init__(self, settings: Settings) -> None:
        """Begins with what is sent from now on."""
        self.found = Found()
        self._names = [settings.name(name) for name in (topics.TWEETS, topics.TOMBSTONES, topics.DEAD, topics.GAPS)]
        self._consumer = KafkaConsumer(bootstrap_servers=settings.kafka, group_id=None)
        places = [TopicPartition(name, number) for name in self._names for number in range(settings.partitions)]
        self._places = places
        self._consumer.assign(places)
        self._consumer.seek_to_end(*places)
        for place in places:
            self._consumer.position(place)  # asked for now, not at the first look

    def close(self) -> None:
        self._consumer.close()

    def look(self, timeout_ms: int = 100) -> Found:
        """Reads what is new."""
        tweets, tombstones, dead, _ = self._names
        for place, records in self._consumer.poll(timeout_ms).items():
            for record in records:
                if place.topic == tweets:
                    post = Tweet.model_validate_json(record.value)
                    assert record.key == post.id.encode()
                    self.found.posts.setdefault((post.id, post.edit), set()).add(record.value)
                elif place.topic == tombstones:
                    event = Lifecycle.model_validate_json(record.value)
                    assert record.key == event.key
                    self.found.events.add(event_of(event))
                elif place.topic == dead:
                    letter = DeadLetter.model_validate_json(record.value)
                    assert record.key == (letter.key or "").encode()
                    self.found.letters.append(letter)
                else:
                    self.found.gaps.append(json.loads(record.value))
        return self.found

    def all(self) -> Found:
        """Reads everything that the topics hold by now."""
        ends = self._consumer.end_offsets(self._places)
        while any(self._consumer.position(place) < ends[place] for place in self._places):
            self.look()
        return self.found

    def until(self, enough: Callable[[Found], bool], what: Callable[[Found], object], timeout_s: float = 60.0) -> Found:
        """Looks until `enough` says so. `what` tells what is missing if that takes too long."""
        deadline = time.monotonic() + timeout_s
        while not enough(self.look()):
            assert time.monotonic() < deadline, f"after {timeout_s:g} s: {what(self.found)}"
        return self.found


@contextmanager
def watched(settings: Settings) -> Iterator[Watcher]:
    """Creates the topics, and watches them."""
    topics.create(str(settings.kafka), topics.plan(settings))
    with closing(Watcher(settings)) as watcher:
        yield watcher


def quick(source: Source) -> Source:
    """Gives a source short waits."""
    source.backoff = dict.fromkeys(source.backoff, QUICK)
    return source


class Running:
    """A runner in a thread."""

    def __init__(self, source: Source, settings: Settings, options: Options | None = None) -> None:
        self.cursors = CursorFile(settings.home, source.identity)
        self.runner = Runner(source, Target.of(settings, str(settings.kafka)), self.cursors, options)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:  # told by `stop`
            self.error = error

    @property
    def has_failed(self) -> bool:
        return self.error is not None

    def stop(self) -> None:
        """Ends the feed. Raises what it raised."""
        self.runner.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def check(platform: Platform, settings: Settings) -> Found:
    """Feeds a platform with all faults, and asserts that nothing is lost, doubled or silent. Returns what is there."""
    with watched(settings) as watcher, platform.serving():
        running = Running(quick(platform.source(settings.home)), settings)
        try:
            found = watcher.until(
                lambda found: running.has_failed or (platform.has_ended and not found.missing(platform)),
                lambda found: found.missing(platform)[:5] or "the script has not ended",
            )
            # After a break, messages have no cursor until what was missed is there too.
            watcher.until(
                lambda found: running.has_failed or not sent_after(platform, running.cursors.load().cursor, found),
                lambda _: f"the cursor stays at {running.cursors.load().cursor}",
            )
        finally:
            running.stop()
        found = watcher.all()
    account = running.runner.account
    assert_true_to(platform, found)
    assert sum(account.outcomes.values()) == account.received
    assert account.reconnects["silent"] >= 1 or not platform.faults
    assert sum(account.reconnects.values()) >= 4 or not platform.faults
    assert account.gaps == len(found.gaps)
    assert (account.gaps > 0) == (platform.breaks_are_gaps and platform.faults)
    assert_exact(platform, running.cursors.load().cursor, found)
    return found


def assert_not_ahead(platform: Platform, cursor: str | None, found: Found) -> None:
    """Asserts that the topics hold every record before the saved cursor. `found`: everything that they hold."""
    if cursor is not None:
        lost = platform.parted(cursor)[0] - found.records
        assert not lost, f"{len(lost)} records before the cursor {cursor[:40]} are not in Kafka: {list(lost)[:3]}"


def sent_after(platform: Platform, cursor: str | None, found: Found) -> set[Record]:
    """Returns the records in the topics that come after the cursor."""
    return found.records if cursor is None else platform.parted(cursor)[1] & found.records


def assert_exact(platform: Platform, cursor: str | None, found: Found) -> None:
    """Asserts that the saved cursor stands right behind the last record. `found`: everything that the topics hold."""
    assert cursor is not None
    assert_not_ahead(platform, cursor, found)
    sent = sent_after(platform, cursor, found)
    assert not sent, f"{len(sent)} records in Kafka come after the cursor {cursor[:40]}: {list(sent)[:3]}"


def assert_true_to(platform: Platform, found: Found) -> None:
    """Asserts that the topics hold what the platform published, and nothing else."""
    assert not found.missing(platform)
    known = {name for name, _ in platform.posts}
    strange = {name for name, _ in found.posts} - known
    assert not strange, f"posts that nobody published: {sorted(strange)[:5]}"
    assert found.events == platform.events
    doubled = {key for key, values in found.posts.items() if len(values) > 1}
    assert not doubled, f"two texts under one id and edit: {sorted(doubled)[:5]}"
    for name, text in platform.last.items():
        edit = max(edit for known, edit in found.posts if known == name)
        (value,) = found.posts[name, edit]
        assert Tweet.model_validate_json(value).text == text, f"the last edit of {name} is not the last version"
    letters = {raw_of(letter) for letter in found.letters}
    keys = {letter.key for letter in found.letters}
    assert len(keys) == len(platform.garbage), "a repeated dead letter has another key"
    assert letters == platform.garbage, sorted(letters - platform.garbage)[:5]
    assert all(letter.stage == "feed" and letter.topic == f"feed:{platform.name}" for letter in found.letters)
    assert not platform.violations, platform.violations


@contextmanager
def command(platform: Platform, settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """Runs `mner feed` for a platform as a process, and kills it at the end if it still runs."""
    environment = os.environ | platform.environment() | {"PYTHONPATH": str(ROOT)}
    for name in ("kafka", "prefix", "home"):
        environment[f"MNER_{name.upper()}"] = str(getattr(settings, name))
    child = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "feed", *platform.arguments()],
        env=environment,
        cwd=settings.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()
