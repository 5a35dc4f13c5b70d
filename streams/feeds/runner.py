"""Drives a feed: reads its source, sends to Kafka, and saves the cursor of the acknowledged messages.

The source is read in a thread (`streams.feeds.reading`). Everything else happens in the thread that calls `run`.
A message that is received twice is sent twice. This does no harm, since ids and edits are the same.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from kafka.errors import KafkaError

from core.errors import UserError
from core.events import Tweet
from streams.feeds.account import DEAD, LIFECYCLE, SENT, Account
from streams.feeds.cursor import CursorFile
from streams.feeds.orders import LATE_S, FeedEnded, Options, Oversize, Target, key_of
from streams.feeds.reading import Ended, Item, Reader
from streams.feeds.records import dead_letters, gap_record
from streams.feeds.sending import STOP_S, Sender, TooLarge
from streams.feeds.source import Began, Disconnected, Gap, Received, Source

SAVE_S = 1.0
"""Time, in seconds, between two savings of the cursor."""

LOOK_S = 0.1
"""Time, in seconds, after which a waiting feed looks at acknowledgements and at the clock."""


class Runner:
    """One feed. `cursor` is the position up to which Kafka has every message, also after an error."""

    def __init__(
        self,
        source: Source,
        target: Target,
        cursors: CursorFile | None,
        options: Options | None = None,
        on_look: Callable[[Account], None] = lambda _: None,
        on_trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Without `cursors`, no position is kept. `on_look` gets the counts several times a second.

        `on_trouble` gets a sentence for each gap and each lost connection. Repeated failures without a message between
        them give one sentence.
        """
        self.account = Account(source.name)
        self.cursor: str | None = None
        self.acknowledged = 0  # records that Kafka has
        self.signalled: int | None = None
        self.on_post: Callable[[Tweet], None] = lambda _: None  # gets each post that was sent, but no lines of files
        self._source, self._target, self._cursors = source, target, cursors
        self._options = options or Options()
        self._on_look, self._on_trouble = on_look, on_trouble
        self._told: tuple[str, int] | None = None  # the last fault, and how many messages there were before it
        self._is_stopping = False  # no `Event`: a signal may interrupt the code that holds its lock
        self._letters = 0
        self._repeated = 0  # posts that an earlier run or connection had sent, so that they do not count for the limit
        self._is_within_a_page = False
        self._saved: tuple[str | None, int] = (None, 0)
        self._saved_at = self._looked_at = 0.0
        self._due = 0.0  # when the next post may be sent, by the monotonic clock

    def stop(self) -> None:
        """Ends the feed soon, after the sent records are acknowledged and the cursor is saved. For any thread."""
        self._is_stopping = True

    def run(self) -> Account:
        """Feeds until the source or the limit ends, or `stop` is called. Returns the counts.

        Raises `FeedEnded` when Kafka fails, and `UserError` when the platform or the disk refuses this feed. The cursor
        is saved in each case.
        """
        saved = self._cursors.load() if self._cursors is not None and not self._options.fresh else None
        self._letters = saved.letters if saved else 0
        ignored = self._options.since is not None
        self.cursor = saved.cursor if saved and not ignored else None
        self._saved = (self.cursor, self._letters)
        sender = Sender(self._target.brokers, self._target.limits)
        reader = Reader(self._source, self.cursor, self._options.since)
        sender.done = (self.cursor, self._letters)
        try:
            sender.prepare()
            reader.start()
            try:
                self._feed(reader, sender)
            except KafkaError:
                raise
            except Exception:  # of the source: Kafka gets what came before it
                sender.settle(0, 0, stop=lambda: self._is_stopping)
                raise
            reader.stop()
            patience = STOP_S if self._is_stopping else None
            sender.settle(0, 0, patience_s=patience)
        except KafkaError as error:
            sentence = sender.sentence(error, self._target.tweets)
            raise FeedEnded(sentence) from None
        finally:
            reader.stop()
            sender.close()
            sender.reap()
            self._save(sender)
            self._on_look(self.account)
        return self.account

    def _feed(self, reader: Reader, sender: Sender) -> None:
        while not self._is_over():
            for item in reader.items(LOOK_S):
                if isinstance(item, Ended):
                    if item.error is not None:
                        raise item.error
                    return
                self._handle(item, sender)
                self._tick(sender)
                if self._is_over():
                    return
            self._tick(sender)

    def _is_over(self) -> bool:
        limit, new = self._options.limit, self.account.posts - self._repeated
        return self._is_stopping or (limit is not None and new >= limit and not self._is_within_a_page)

    def _tick(self, sender: Sender) -> None:
        """Waits if too many records are open. Saves the cursor and shows the counts when they are due."""
        sender.settle(stop=lambda: self._is_stopping)
        now = time.monotonic()
        if now - self._saved_at >= SAVE_S:
            self._save(sender)
            self._saved_at = now
        if now - self._looked_at >= LOOK_S:
            self._on_look(self.account)
            self._looked_at = now

    def _handle(self, item: Item, sender: Sender) -> None:
        if isinstance(item, Disconnected):
            self.account.reconnect(item.fault)
            if (trouble := (item.fault, self.account.received)) != self._told:
                self._on_trouble(f"{self._source.name}: {item}; connecting again")
                self._told = trouble
        elif isinstance(item, Gap):
            self._on_trouble(f"{self._source.name}: messages may be missing: {item.reason}")
            self._send_gap(item, sender)
        elif isinstance(item, Began):
            sender.mark((item.cursor, self._letters))
            self._save(sender)
        elif isinstance(item, Received):
            # a file has no position within a page: it would begin again with the same post for ever
            self._is_within_a_page = self._source.heartbeat_s is None and item.cursor is None
            self.account.message(self._send(item, sender), item.at)
            if item.cursor is not None:
                sender.mark((item.cursor, self._letters))

    def _send(self, message: Received, sender: Sender) -> str:
        """Sends the posts and events of a message. Returns its outcome."""
        adapted, refusal = message.adapted, adapted_reason(message)
        outcome = None
        for post in adapted.posts:
            if refused := self._options.filters.refusal(post):
                refusal = refused
                continue
            value = post.model_dump_json(exclude_none=True, exclude_defaults=True).encode()
            outcome = self._send_post(post.id.encode(), value, message, sender)
            if outcome == SENT:
                self.on_post(post)
        for line in adapted.lines:
            if refused := self._refusal_of_line(line):
                refusal = refused
                continue
            outcome = self._send_post(key_of(line), line, message, sender)
        for event in adapted.lifecycle:
            self._send_small(self._target.tombstones, event.key, event.encoded(), sender)
            self.account.record("lifecycle")
            outcome = outcome or LIFECYCLE
        if message.raw is not None and adapted.skipped is not None:
            self._send_letter(message.raw, message.why or adapted.skipped, "Unreadable", sender)
            outcome = outcome or DEAD
        return outcome or refusal

    def _send_post(self, key: bytes | None, value: bytes, message: Received, sender: Sender) -> str:
        self._pace()
        try:
            sender.send(self._target.tweets, key, value)
        except TooLarge as error:
            if message.adapted.lines:
                if message.cursor is not None:  # so that the next run goes on after it
                    sender.mark((message.cursor, self._letters))
                raise Oversize(message.cursor, error.size) from None
            self._send_letter(value, str(error), "TooLarge", sender)
            return DEAD
        self.account.record("post")
        self._repeated += message.is_repeated
        return SENT

    def _refusal_of_line(self, line: bytes) -> str | None:
        if not self._options.filters:
            return None
        try:
            return self._options.filters.refusal(Tweet.model_validate_json(line))
        except ValueError:
            return None  # a worker makes a dead letter of it, with the reason

    def _send_letter(self, raw: bytes, reason: str, error: str, sender: Sender) -> None:
        """Sends the bytes, cut where the topic takes no more."""
        dead = self._target.dead
        for key, value in dead_letters(self._source, self._letters, raw, reason, error, sender.limits[dead]):
            try:
                sender.send(dead, key, value)
            except TooLarge as refused:
                last = refused
            else:
                self._letters += 1
                self.account.record("dead_letter")
                return
        raise self._too_small(last)

    def _send_small(self, topic: str, key: bytes, value: bytes, sender: Sender) -> None:
        """Sends a record of our own, which has no place in the dead letters. Raises `UserError` if it is too large."""
        try:
            sender.send(topic, key, value)
        except TooLarge as error:
            raise self._too_small(error) from None

    def _too_small(self, error: TooLarge) -> UserError:
        return UserError(f"{error}; `mner topics create` says which limit it should have")

    def _send_gap(self, gap: Gap, sender: Sender) -> None:
        self._send_small(self._target.gaps, *gap_record(self._source, gap), sender)
        self.account.gap()

    def _pace(self) -> None:
        if self._options.rate is not None:
            while not self._is_stopping and (left_s := self._due - time.monotonic()) > 0:
                time.sleep(min(left_s, LOOK_S))
            # counted from now after a silence, so that no burst follows it
            self._due = max(self._due, time.monotonic() - LATE_S) + 1 / self._options.rate

    def _save(self, sender: Sender) -> None:
        """Saves the cursor of the acknowledged messages, if it has moved."""
        self.cursor, letters = sender.done
        self.acknowledged = sender.acknowledged
        if self._cursors is not None and (self.cursor, letters) != self._saved:
            self.account.saved_at = self._cursors.save(self.cursor, letters).saved_at
            self._saved = (self.cursor, letters)

    @contextlib.contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Ends the feed at SIGTERM and at Ctrl-C. A second signal has its usual effect. For the main thread."""
        usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def restore() -> None:
            for number, handler in usual.items():
                signal.signal(number, handler)

        def stop(number: int, _: FrameType | None) -> None:
            restore()
            self.signalled = number
            self.stop()

        for number in usual:
            signal.signal(number, stop)
        try:
            yield
        finally:
            restore()


def adapted_reason(message: Received) -> str:
    """Returns the adapter's reason for skipping a message. A filter's reason replaces it."""
    return message.adapted.skipped or "empty"
